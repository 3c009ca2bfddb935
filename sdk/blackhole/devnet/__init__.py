"""A whole Blackhole network of real processes on one machine."""
