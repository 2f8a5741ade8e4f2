"""The gate: a graph is used only if every member answers in it as it does by itself, on real rows."""

from __future__ import annotations

import logging

from quorate.core.types import Tensors
from quorate.errors import FormatRefused, MemberError, ParityError
from quorate.runtimes.compile.parity import REWRITTEN, TOLERANCE, compare, own_answers
from quorate.runtimes.compile.pool import CompiledGraph, Members, compile_pool
from quorate.runtimes.graph import GraphSession

log = logging.getLogger("quorate.compile")


def compile_verified(members: Members, rows: Tensors) -> CompiledGraph:
    """The fastest graph that answers ``rows`` as its members do: with rewritten operators, else as they came.

    :class:`FormatRefused` or :class:`ParityError`, naming the member where it is one, if there is no such graph.
    """
    graph = compile_pool(members, rows)
    if graph.rewritten:
        try:
            verify_graph(graph, members, rows)
        except (FormatRefused, ParityError, MemberError) as error:
            log.warning("The graph is compiled again without rewritten operators: %s", error)
            graph = compile_pool(members)
        else:
            return graph
    verify_graph(graph, members, rows)
    return graph


def verify_graph(graph: CompiledGraph, members: Members, inputs: Tensors) -> float:
    """Run the graph and every member by itself on the same rows; returns the largest difference.

    :class:`ParityError` if an output differs by more than 1e-6 (1e-5 for a member with rewritten operators; relative
    where it is larger than 1), or if a row's largest class is another.
    """
    session = GraphSession(graph.model, graph.members)
    try:
        fused = session.run(inputs)
    finally:
        session.close()
    worst = 0.0
    for position, name in enumerate(graph.members):
        artifact = dict(members)[name]
        tolerance = REWRITTEN if name in graph.rewritten else TOLERANCE
        worst = max(worst, compare(name, artifact, own_answers(artifact, inputs), fused[:, position], tolerance))
    return worst
