"""Fuse the ONNX members of a pool into one graph with one output, and show that it answers as they do.

Needs the ``onnx`` package (extra ``train``), which no worker imports: a pool is compiled once, when it is set up;
workers load the result with :mod:`quorate.runtimes.graph`.
"""

from quorate.runtimes.compile.gate import compile_verified, verify_graph
from quorate.runtimes.compile.pool import CompiledGraph, compile_pool

__all__ = ["CompiledGraph", "compile_pool", "compile_verified", "verify_graph"]
