"""Blackhole: the People's Cloud."""
