"""What units were like before an experiment: their mean of the metric, for CUPED."""

from __future__ import annotations

import numpy as np

from quorate.codecs.lookup import JournalReader
from quorate.control.experiments.gathering import Running
from quorate.control.experiments.history import observed, recent
from quorate.control.experiments.observations import group, observe
from quorate.control.experiments.registration import DAY, PrePeriod, Registration
from quorate.store.database import Database
from quorate.store.experiments import Experiment, covariates, put_covariates

MOST = 5_000_000
"""Decisions of a pre-period that are read, the newest."""


class PrePeriods:
    """Fills in the covariates of experiments that registered a pre-period, once; again after a crash in between."""

    def __init__(self, database: Database, reader: JournalReader) -> None:
        self._database = database
        self._reader = reader
        self._done: set[str] = set()

    def ensure(self, experiment: Experiment, registration: Registration) -> None:
        """Have the covariates of an experiment in the store."""
        if not isinstance(registration.covariate, PrePeriod) or experiment.id in self._done:
            return
        with self._database.read() as connection:
            there = bool(covariates(connection, experiment.id))
        if not there:
            found = self._found(experiment, registration, registration.covariate)
            with self._database.begin() as connection:
                put_covariates(connection, experiment.id, found)
        self._done.add(experiment.id)

    def _found(self, experiment: Experiment, registration: Registration, period: PrePeriod) -> dict[str, float]:
        until = experiment.started or experiment.created
        since = until - period.pre_period_days * DAY
        decisions = recent(self._reader, experiment.endpoint, since, until, MOST)
        with self._database.read() as connection:
            seen = list(observed(connection, Running(experiment, registration), decisions))
        exposures = sorted((exposure for exposure, _ in seen), key=lambda e: (e.arrived, e.decision))
        units = group(registration, exposures, [value for _, values in seen for value in values])
        numbers = observe(registration.metric, units)
        if numbers.denominators is not None:
            numbers.values = numbers.values / np.where(numbers.denominators > 0, numbers.denominators, np.nan)
        known = numbers.known
        return {name: float(v) for name, v, good in zip(units.names, numbers.values, known, strict=True) if good}
