"""The pool behind serving frameworks; each module is run by the Python of an environment that has that framework only.

So nothing here imports Quorate, and of the benchmarks only :mod:`benchmarks.peers.pool`.
"""

PICKLES = "QUORATE_BENCH_PICKLES"
"""The variable that names the pickled members."""
