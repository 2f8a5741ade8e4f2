"""From a PyTorch module to an ONNX artifact that answers probabilities."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from quorate.core.types import FloatArray, TensorSpec
from quorate.training.export import INPUT, OPSET, Exported

OUTPUT = "probabilities"


def to_onnx(network: nn.Module, sample: FloatArray) -> Exported:
    """Export a network of logits ``[n, k]``, with a softmax behind it; ``sample`` float32 ``[n, …]`` gives the shape.

    The batch is of any size. The same weights give the same bytes.
    """
    row = torch.from_numpy(np.repeat(sample[:1], 2, axis=0))  # of two rows: a size of one is taken for a constant
    whole = nn.Sequential(network, nn.Softmax(dim=1)).eval()
    with _quiet():
        program = torch.onnx.export(
            whole,
            (row,),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("rows")},),
            opset_version=OPSET[""],
            verbose=False,
        )
    model = program.model_proto
    # Notes for debugging: they name files of this machine.
    for node in model.graph.node:
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    del model.metadata_props[:], model.graph.metadata_props[:]
    tensor = TensorSpec(INPUT, "float32", (None, *sample.shape[1:]))
    return Exported("onnx", {"model.onnx": model.SerializeToString(deterministic=True)}, (tensor,), OUTPUT)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter speaks of what concerns its own developers."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
