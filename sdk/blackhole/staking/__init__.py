"""The vault of bonds: stake, exits, freezes."""
