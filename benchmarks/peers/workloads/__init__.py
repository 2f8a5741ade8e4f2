"""The workloads of ``make bench-peers``, each a module with ``measure(asked) -> (rows, bad)``."""
