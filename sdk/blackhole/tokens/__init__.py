"""HOLE, the token."""
