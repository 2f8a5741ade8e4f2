"""Benchmarks: one table each, with this system, its peers and the limit measured in the same run."""
