"""Support vector machines as matrix products, which ONNX Runtime computes many times faster than its own operators.

``SVMClassifier`` and ``SVMRegressor`` compute ``f(x) = sum_s a_s k(v_s, x) + rho`` one support vector after
the other. All machines of a member that see the same tensor through the same kind of kernel become one::

    rbf      K = exp(2 g (x - c) V' - g |v|^2 - g |x - c|^2)    V without the centre c, which keeps the numbers small
    poly     K = (g x V' + r)^d          sigmoid  K = tanh(g x V' + r)
    linear   f(x) = x (V' A) + rho       without a kernel matrix
    f(x) = K A + rho                     for every machine and every pair of classes at once

where equal support vectors (of folds, of one class against the rest) are one row of V. Decision values are float32
sums in another order than the operator's. Where the operator goes on from decision values (Platt's probabilities with
libsvm's pairwise coupling, another transformation, labels), the operator itself does that, with decision values as its
input and one support vector a pair.

References: C.-C. Chang, C.-J. Lin, "LIBSVM: a library for support vector machines", ACM TIST 2(3), 2011; the
operators' definitions in ONNX, domain ai.onnx.ml, version 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quorate.runtimes.compile import parts

if TYPE_CHECKING:
    import onnx

ML = "ai.onnx.ml"
_MOST_STEPS = 2_000_000_000
_CLASSIFIERS = ("LinearClassifier", "TreeEnsembleClassifier")
_KERNELS = ("LINEAR", "POLY", "RBF", "SIGMOID")
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class _Machine:
    """One node: support vectors ``[s, f]``, and for each of its d decision values coefficients ``[s, d]`` and rho."""

    node: onnx.NodeProto
    attributes: Mapping[str, Any]
    kernel: str
    gamma: float
    coef0: float
    degree: float
    vectors: Doubles
    coefficients: Doubles
    rho: Doubles

    @property
    def group(self) -> tuple[object, ...]:
        """Machines of one group share a kernel matrix; rbf kernels may differ in gamma."""
        shape = (self.gamma, self.coef0, self.degree) if self.kernel in ("POLY", "SIGMOID") else ()
        return self.node.input[0], self.kernel, *shape, self.vectors.shape[1]


def rewrite(graph: onnx.GraphProto, opset: int, stem: str = "") -> tuple[int, tuple[str, ...]]:
    """Rewrite a graph's machines, in place; how many there were, and the tensors of decision values made for them.

    ``opset`` is the version of the standard operators that the graph may use, ``stem`` what new names begin with.
    Machines that are not understood stay, and those of two classes whose label is read: how it follows from decision
    values differs between releases of ONNX Runtime.
    """
    readers = parts.consumers(graph.node, graph.output)
    groups: dict[tuple[object, ...], list[_Machine]] = {}
    for node in graph.node:
        machine = _machine(node)
        if machine is not None and not (_binary(machine) and readers.get(node.output[0])):
            groups.setdefault(machine.group, []).append(machine)
    if not groups:
        return 0, ()
    build = parts.Builder(graph, f"{stem}svm/", opset)
    replaced: dict[str, list[onnx.NodeProto]] = {}  # by the node's last output
    scores = []
    for machines in groups.values():
        start = len(build.nodes)
        decisions = _decisions(build, machines)
        scores.append(decisions)
        column = 0
        for machine in machines:
            width = machine.rho.size
            _finish(build, machine, decisions, range(column, column + width), readers)
            column += width
            replaced[machine.node.output[-1]] = build.nodes[start:]
            start = len(build.nodes)
    # A group's kernel matrix is made where its first machine was: all of them see the same tensor.
    nodes = [new for node in graph.node for new in (replaced.get(node.output[-1]) or [node] if node.output else [node])]
    parts.replace(graph.node, nodes)
    graph.initializer.extend(build.weights)
    return sum(map(len, groups.values())), tuple(scores)


def _binary(machine: _Machine) -> bool:
    return machine.node.op_type == "SVMClassifier" and len(_labels(machine.attributes)) == 2


def _labels(attributes: Mapping[str, Any]) -> Sequence[Any]:
    found = (attributes.get(f"classlabels_{kind}") for kind in ("strings", "ints", "int64s"))
    return next((labels for labels in found if labels), ())


def _machine(node: onnx.NodeProto) -> _Machine | None:
    from onnx import helper

    if node.op_type not in ("SVMClassifier", "SVMRegressor") or node.domain != ML:
        return None
    found = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    kernel = found.get("kernel_type", b"LINEAR").decode()
    parameters = [*map(float, found.get("kernel_params", ())), 0.0, 0.0, 0.0][:3]
    vectors = np.asarray(found.get("support_vectors", ()), np.float64)
    rho = np.asarray(found.get("rho", ()), np.float64)
    if kernel not in _KERNELS or not vectors.size or not rho.size:
        return None  # without support vectors it is a linear model, which is fast as it is
    classifier = node.op_type == "SVMClassifier"
    count = sum(found.get("vectors_per_class", ())) if classifier else int(found.get("n_supports", 0))
    if count < 1 or vectors.size % count:
        return None
    weights = np.asarray(found.get("coefficients", ()), np.float64)
    matrix = _pairs(found, weights, count) if classifier else _single(found, weights, count)
    if matrix is None or matrix.shape[1] != rho.size:
        return None
    gamma, coef0, degree = parameters
    return _Machine(node, found, kernel, gamma, coef0, degree, vectors.reshape(count, -1), matrix, rho)


def _single(found: Mapping[str, Any], weights: Doubles, count: int) -> Doubles | None:
    plain = not found.get("one_class", 0) and found.get("post_transform", b"NONE") == b"NONE"
    return weights.reshape(count, 1) if plain and weights.size == count else None


def _pairs(found: Mapping[str, Any], weights: Doubles, count: int) -> Doubles | None:
    """Coefficients ``[s, p]`` of the p pairs of classes, (0, 1), (0, 2) … in order.

    The attribute has k - 1 rows: row j - 1 is for class i against j > i, row i for class j against i < j.
    """
    sizes = found["vectors_per_class"]
    k = len(_labels(found))
    if len(sizes) != k or k < 2 or weights.size != (k - 1) * count:
        return None
    rows = weights.reshape(k - 1, count)
    ends = np.cumsum([0, *sizes])
    matrix = np.zeros((count, k * (k - 1) // 2))
    pair = 0
    for i in range(k - 1):
        for j in range(i + 1, k):
            of_i, of_j = slice(ends[i], ends[i + 1]), slice(ends[j], ends[j + 1])
            matrix[of_i, pair] = rows[j - 1, of_i]
            matrix[of_j, pair] = rows[i, of_j]
            pair += 1
    return matrix


def _decisions(build: parts.Builder, machines: Sequence[_Machine]) -> str:
    """The decision values ``[n, d]`` of all machines of a group, side by side."""
    first = machines[0]
    vectors, gammas, coefficients = _merged(machines)
    order = _balanced(coefficients * _typical(first.kernel, vectors, gammas, first))
    vectors, gammas, coefficients = vectors[order], gammas[order], coefficients[order]
    rho = build.weight(_float(np.concatenate([machine.rho for machine in machines])))
    source = build.node("Cast", [first.node.input[0]], to=1)  # the operator takes other numbers too
    if first.kernel == "LINEAR":
        return build.node("Gemm", [source, build.weight(_float(vectors.T @ coefficients)), rho])
    kernel = _rbf(build, source, vectors, gammas) if first.kernel == "RBF" else _other(build, source, vectors, first)
    return build.node("Gemm", [kernel, build.weight(_float(coefficients)), rho])


def _merged(machines: Sequence[_Machine]) -> tuple[Doubles, Doubles, Doubles]:
    """Distinct support vectors ``[s, f]``, the gamma of each ``[s]``, and coefficients ``[s, d]`` for all machines."""
    place: dict[bytes, int] = {}
    kept: list[Doubles] = []
    gammas: list[float] = []
    entries: list[NDArray[np.int64]] = []
    for machine in machines:
        where = np.empty(len(machine.vectors), np.int64)
        for index, vector in enumerate(machine.vectors):
            key = np.float64(machine.gamma).tobytes() + vector.tobytes()
            where[index] = place.setdefault(key, len(place))
            if where[index] == len(kept):
                kept.append(vector)
                gammas.append(machine.gamma)
        entries.append(where)
    coefficients = np.zeros((len(kept), sum(machine.rho.size for machine in machines)))
    column = 0
    for machine, where in zip(machines, entries, strict=True):
        np.add.at(coefficients[:, column : column + machine.rho.size], where, machine.coefficients)
        column += machine.rho.size
    return np.stack(kept), np.asarray(gammas), coefficients


def _typical(kernel: str, vectors: Doubles, gammas: Doubles, machine: _Machine) -> Doubles:
    """The kernel ``[s, 1]`` of each support vector and their mean."""
    mean = vectors.mean(axis=0)
    if kernel == "RBF":
        distances: Doubles = np.square(vectors - mean).sum(axis=1)
        return np.asarray(np.exp(-gammas * distances))[:, None]
    product = machine.gamma * (vectors @ mean) + machine.coef0
    if kernel == "LINEAR":
        return np.ones((len(vectors), 1))
    value = np.tanh(product) if kernel == "SIGMOID" else np.power(np.abs(product), machine.degree)
    return np.asarray(np.abs(value))[:, None]


def _balanced(terms: Doubles) -> NDArray[np.int64]:
    """An order of the terms ``[s, d]`` of d sums in which partial sums stay small: next is what keeps them smallest.

    Coefficients of the two classes come one after the other and nearly cancel out in the end. Summed in that order in
    float32, the probabilities of a machine for digits were off by 1.5e-5; in this order by 6e-7.
    """
    count, sums = terms.shape
    if count * count * sums > _MOST_STEPS:
        return np.random.default_rng(0).permutation(count)  # 2e-6 to 4e-6
    left = np.arange(count)
    total = np.zeros(sums)
    order = np.empty(count, np.int64)
    for place in range(count):
        best = int(np.square(terms[left] + total).sum(axis=1).argmin())
        order[place] = left[best]
        total += terms[left[best]]
        left = np.delete(left, best)
    return order


def _rbf(build: parts.Builder, source: str, vectors: Doubles, gammas: Doubles) -> str:
    centre = _float(vectors.mean(axis=0))
    centred = vectors - centre
    x = build.node("Sub", [source, build.weight(centre)])
    # One more column for |x|^2 takes the place of two operations on the whole kernel matrix.
    augmented = build.node("Concat", [x, build.reduced("ReduceSumSquare", x)], axis=1)
    product = np.vstack([2.0 * gammas * centred.T, -gammas])
    offset = -gammas * np.square(centred).sum(axis=1)
    exponent = build.node("Gemm", [augmented, build.weight(_float(product)), build.weight(_float(offset))])
    return build.node("Exp", [exponent])


def _other(build: parts.Builder, source: str, vectors: Doubles, machine: _Machine) -> str:
    offset = build.weight(_float(np.full(len(vectors), machine.coef0)))
    product = build.node("Gemm", [source, build.weight(_float(machine.gamma * vectors.T)), offset])
    if machine.kernel == "SIGMOID":
        return build.node("Tanh", [product])
    if machine.degree == 1:
        return product
    if machine.degree in (2, 3):
        square = build.node("Mul", [product, product])
        return square if machine.degree == 2 else build.node("Mul", [square, product])
    return build.node("Pow", [product, build.weight(np.asarray(machine.degree, np.float32))])


def _finish(
    build: parts.Builder, machine: _Machine, decisions: str, columns: range, readers: Mapping[str, int]
) -> None:
    """From decision values to what the node answered, under the same names."""
    node = machine.node
    if node.op_type == "SVMRegressor":
        build.node("Gather", [decisions, build.weight(np.asarray(columns))], output=node.output[0], axis=1)
        return
    found = machine.attributes
    plain = "prob_a" not in found and found.get("post_transform", b"NONE") == b"NONE"
    if plain and not readers.get(node.output[0]):
        if len(columns) > 1:
            build.node("Gather", [decisions, build.weight(np.asarray(columns))], output=node.output[1], axis=1)
            return
        twice = build.node("Gather", [decisions, build.weight(np.asarray([columns[0]] * 2))], axis=1)
        build.node("Mul", [twice, build.weight(np.asarray([-1, 1], np.float32))], output=node.output[1])
        return
    own = build.node("Gather", [decisions, build.weight(np.asarray(columns))], axis=1)
    build.nodes.append(_coupling(machine, own))


def _coupling(machine: _Machine, decisions: str) -> onnx.NodeProto:
    """The node itself, with a linear kernel on decision values: the support vector of a pair is its unit vector."""
    from onnx import helper

    k, pairs = len(_labels(machine.attributes)), machine.rho.size
    sizes = [k - 1 - i for i in range(k - 1)] + [1]  # the last class has no pair left; it gets a vector that is 0
    coefficients = np.zeros((k - 1, pairs + 1))
    pair = 0
    for i in range(k - 1):
        for j in range(i + 1, k):
            coefficients[j - 1, pair] = 1.0
            pair += 1
    changed = {
        "kernel_type": "LINEAR",
        "kernel_params": [0.0, 0.0, 0.0],
        "support_vectors": np.eye(pairs + 1, pairs).ravel().tolist(),
        "vectors_per_class": sizes,
        "coefficients": coefficients.ravel().tolist(),
        "rho": [0.0] * pairs,
    }
    node = machine.node
    return helper.make_node(
        node.op_type, [decisions], list(node.output), name=node.name, domain=ML, **(dict(machine.attributes) | changed)
    )


def _float(values: Doubles) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)


def widths(graph: onnx.GraphProto, scores: Sequence[str]) -> dict[str, int]:
    """The numbers of columns of decision values and of what classifiers of ``ai.onnx.ml`` answer, by tensor."""
    from onnx import helper

    by_weight = {tensor.name: tensor for tensor in graph.initializer}
    found: dict[str, int] = {}
    for node in graph.node:
        if node.output and node.output[0] in scores:
            found[node.output[0]] = int(by_weight[node.input[1]].dims[1])
        elif node.domain == ML and node.op_type in _CLASSIFIERS and len(node.output) > 1:
            labels = _labels({each.name: helper.get_attribute_value(each) for each in node.attribute})
            found[node.output[1]] = len(labels)
    return found
