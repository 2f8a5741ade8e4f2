from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quorate.testing.clock import FakeClock
from quorate.training import latency
from quorate.training.latency import MOST_RUNS, WARM, latencies


class Runtime:
    """Members that take as long as they say; the first run, which warms one up, a second more."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.runs, self.open = clock, [], 0

    def load(self, artifact: Any) -> Any:
        self.open += 1
        first = len(self.runs)

        def run(inputs: Any) -> None:
            self.runs.append(inputs["input"].item())
            self.clock.advance(artifact.seconds + (1.0 if len(self.runs) == first + 1 else 0.0))

        def close() -> None:
            self.open -= 1

        return SimpleNamespace(run=run, close=close)


def test_it_is_the_median_of_single_rows_once_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    runtime = Runtime(clock)
    monkeypatch.setattr(latency.plugins, "load", lambda family, name: lambda: runtime)
    registry: Any = SimpleNamespace(artifact=lambda manifest: SimpleNamespace(seconds=manifest.seconds))
    manifests: Any = [
        SimpleNamespace(name="quick", seconds=0.002, format="any", preprocess=[]),
        SimpleNamespace(name="slow", seconds=0.3, format="any", preprocess=[]),
    ]
    found = latencies(registry, manifests, {"input": np.arange(5.0)}, clock)
    assert found == pytest.approx({"quick": 2.0, "slow": 300.0})
    assert runtime.open == 0, "nothing stays loaded"
    assert runtime.runs[: WARM + 6] == [0, 1, 2, 0, 1, 2, 3, 4, 0], "rows take turns"
    assert len(runtime.runs) == (WARM + MOST_RUNS) + (WARM + 2), "a slow one is not run for long"
