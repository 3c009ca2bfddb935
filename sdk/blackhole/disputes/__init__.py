"""Claims with a bond and an arbitrator."""
