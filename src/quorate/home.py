"""Where a project's files are: ``quorate.yaml`` and, beside it, the ``.quorate`` folder with all state."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Home:
    """Paths of one project; computing them touches no disk.

    ``root`` is the folder that holds ``quorate.yaml``.
    """

    root: Path

    @property
    def config(self) -> Path:
        """The declarative configuration."""
        return self.root / "quorate.yaml"

    @property
    def state(self) -> Path:
        """Everything Quorate writes."""
        return self.root / ".quorate"

    @property
    def registry(self) -> Path:
        """Models: manifests, aliases, blobs."""
        return self.state / "registry"

    @property
    def store_url(self) -> str:
        """The default SQL store."""
        return f"sqlite:///{self.state / 'store.db'}"

    @property
    def journal(self) -> Path:
        """Decision and outcome segments, one folder a slot: ``journal/<slot>``."""
        return self.state / "journal"

    @property
    def captures(self) -> Path:
        """Captured inputs, one folder an endpoint and slot: ``captures/<endpoint>/<slot>``."""
        return self.state / "captures"

    @property
    def snapshot(self) -> Path:
        """What the serving side obeys."""
        return self.state / "snapshot"

    @property
    def learned(self) -> Path:
        """What policies have learned, for workers to follow."""
        return self.state / "learned"

    @property
    def telemetry(self) -> Path:
        """Mapped arrays of counters, one file a process."""
        return self.state / "telemetry"

    @property
    def jobs(self) -> Path:
        """Inputs and results of jobs, one folder a job."""
        return self.state / "jobs"

    @property
    def datasets(self) -> Path:
        """Data sets that the control process has exported, one folder each."""
        return self.state / "datasets"

    @property
    def upgrade(self) -> Path:
        """What came of the last upgrade."""
        return self.run / "upgrade.json"

    @property
    def desired(self) -> Path:
        """Endpoints and pools that operators have unloaded."""
        return self.run / "unloaded.json"

    @property
    def drift(self) -> Path:
        """What monitors say of the endpoints' inputs."""
        return self.run / "drift.json"

    @property
    def seal(self) -> Path:
        """Touched to have workers end their open segments."""
        return self.run / "seal"

    @property
    def run(self) -> Path:
        """Locks, pid and ready files, the idempotency table."""
        return self.state / "run"
