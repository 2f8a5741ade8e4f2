"""A convolutional network as a trainer: one member, trained on one thread, always the same from the same seed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from quorate.core.types import FloatArray, Tensors
from quorate.errors import InvalidInput
from quorate.training.export import INPUT, Exported
from quorate.training.neural.architectures import Architecture, build
from quorate.training.neural.augment import Augment
from quorate.training.neural.export import to_onnx
from quorate.training.trainer import Rows

_BATCH = 512


@dataclass(frozen=True)
class Network:
    """AdamW with a one-cycle learning rate on smoothed cross-entropy.

    Takes images float32 ``[n, c, side, side]``. An epoch is as many rows as there are: each once, or, where rows are
    weighted, drawn with replacement by their weights, so that a heavy row is seen often, each time augmented anew.
    Reference for the schedule: L. Smith, N. Topin, "Super-convergence", 2017.
    """

    name: str
    architecture: Architecture
    seed: int
    epochs: int = 30
    batch: int = 64
    learning_rate: float = 6e-3
    weight_decay: float = 1e-3
    smoothing: float = 0.05
    augment: Augment | None = field(default_factory=Augment)
    cost: float = 1.0
    libraries: tuple[str, ...] = ("torch", "onnxscript")

    @property
    def names(self) -> tuple[str, ...]:
        """The one member."""
        return (self.name,)

    def fit(self, rows: Rows) -> tuple[FittedNetwork]:
        """Train from scratch; :class:`InvalidInput` for what is no square images, or fewer than two rows."""
        rows.need_classes(self.name)
        images = _images(rows.inputs)
        if len(rows) < 2:
            raise InvalidInput(f"'{self.name}' needs at least two rows; got {len(rows)}.", path="rows")
        shape = (images.shape[1], images.shape[2], len(rows.classes))
        with _reproducible(self.seed):
            network = build(self.architecture, *shape)
            self._train(network, torch.from_numpy(images), torch.from_numpy(rows.truth), rows.weights)
        # Plain arrays can be sent between processes by any means.
        weights = {name: value.numpy().copy() for name, value in network.state_dict().items()}
        return (FittedNetwork(self.architecture, shape, weights),)

    def _train(self, network: nn.Module, images: Tensor, truth: Tensor, weights: NDArray[np.float64] | None) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        steps = self.epochs * len(_batches(torch.arange(len(truth)), self.batch))
        optimiser = torch.optim.AdamW(network.parameters(), weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.learning_rate, total_steps=steps)
        network.train()
        for _ in range(self.epochs):
            if weights is None:
                order = torch.randperm(len(truth), generator=generator)
            else:
                order = torch.multinomial(torch.from_numpy(weights), len(truth), replacement=True, generator=generator)
            for picked in _batches(order, self.batch):
                batch = images[picked] if self.augment is None else self.augment.apply(images[picked], generator)
                loss = functional.cross_entropy(network(batch), truth[picked], label_smoothing=self.smoothing)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
        network.eval()


@dataclass(frozen=True)
class FittedNetwork:
    """A trained network: its build (channels, side, classes) and its weights."""

    architecture: Architecture
    shape: tuple[int, int, int]
    weights: Mapping[str, NDArray[Any]]
    metrics: Mapping[str, float] = field(default_factory=dict)

    def answers(self, inputs: Tensors) -> FloatArray:
        """Its probabilities."""
        images = torch.from_numpy(_images(inputs))
        network = self._network()
        with torch.inference_mode(), _one_thread():
            logits = torch.cat([network(batch) for batch in images.split(_BATCH)])
            return np.asarray(functional.softmax(logits, dim=1).numpy(), np.float32)

    def export(self, inputs: Tensors) -> Exported:
        """ONNX, softmax included."""
        return to_onnx(self._network(), _images(inputs))

    def _network(self) -> nn.Module:
        network = build(self.architecture, *self.shape)
        network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in self.weights.items()})
        return network.eval()


def _images(inputs: Tensors) -> FloatArray:
    found = inputs.get(INPUT)
    if set(inputs) != {INPUT} or found is None or found.ndim != 4 or found.shape[2] != found.shape[3]:
        shapes = ", ".join(f"{name}{list(value.shape)}" for name, value in inputs.items())
        raise InvalidInput(
            f"Networks take one tensor of square images [n, c, side, side]; got {shapes}. End the preprocessing with "
            "'layout' of order nchw.",
            path="preprocess",
        )
    return np.ascontiguousarray(found, np.float32)


def _batches(order: Tensor, size: int) -> list[Tensor]:
    """Batches of ``size``; a last one of a single row joins the one before, for one row has no variance."""
    parts = list(order.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


@contextlib.contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """Weights drawn from ``seed``, sums in one order, and everybody else's randomness left alone."""
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
