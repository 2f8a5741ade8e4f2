"""What the overview of an endpoint says of its experiments: the one that holds it, or how to plan one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from quorate.console.elements import Node
from quorate.console.experiments import said


class ExperimentBoard:
    """One line with a link."""

    def __init__(self, endpoint: str) -> None:
        self._plan = f"/experiments/new?{urlencode({'endpoint': endpoint})}"
        with Node("section", "card", aria_labelledby="experiment-title", data_testid="experiment"):
            Node("h2", "", "Experiment", id="experiment-title")
            self._line = Node("p", "", "Not known yet.")
            with Node("p"):
                self._link = Node("a", "", "Plan an experiment", href=self._plan)

    def show(self, found: Sequence[Mapping[str, Any]], now: float) -> None:
        """Of the endpoint's newest experiments the one that runs or waits; else that there is none."""
        held = next((each for each in found if each["state"] in ("running", "decided")), None)
        if held is None:
            self._line.say("None runs on this endpoint: all requests are answered by its policy.")
            self._link.say("Plan an experiment")
            self._link.put(href=self._plan)
            return
        left = said.days_left(held, now)
        verdict, _ = said.verdict(held)
        when = f"{verdict}, {said.span(left)} left" if left is not None else f"{verdict}; it waits for a decision"
        self._line.say(f"{held['name']} splits the requests of this endpoint: {when}.")
        self._link.say("See how it does")
        self._link.put(href=f"/experiments/{held['id']}")
