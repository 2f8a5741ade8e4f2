"""Switches: what changed at an endpoint, what it cost and brought, and what the next one would."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from quorate.console.apis import Apis
from quorate.console.catalogue import Endpoint
from quorate.console.control import ControlGone, ControlRefused
from quorate.console.elements import Node
from quorate.console.evidence.switch_report import PlanReport, SwitchReport
from quorate.console.evidence.table import Cell, Column, Line, Table
from quorate.console.evidence.wording import when
from quorate.console.parts.looking import Looking, refused
from quorate.console.session import Session

EVERY_S = 10.0
PATIENCE_S = 30.0
PLAN_S = 120.0
"""Seconds that a report and a plan may take: they look through days of decisions, and combine some of them anew."""
EMPTY = (
    "Nothing was switched yet. The first change of what answers (an apply, a promotion, a policy's own) is number 1."
)
SEND = """(event) => {
  event.preventDefault();
  emit(event.target.elements.to.value, event.target.elements.config.value);
}"""


class SwitchesPage:
    """One open page; ``now`` is monotonic seconds. The newest switch is shown until another one is chosen."""

    def __init__(self, apis: Apis, session: Session, endpoint: Endpoint, now: Callable[[], float]) -> None:
        self._apis, self._session, self._endpoint = apis, session, endpoint
        self._here = f"/v1/endpoints/{endpoint.name}/switches"
        self._found: dict[str, Mapping[str, Any]] = {}
        self._shown: str | None = None
        Node("h1", "", f"Switches of {endpoint.name}")
        Node(
            "p",
            "quiet lead",
            "A switch is any change of what answers. Before one, this page says what it is expected to cost and bring; "
            "after it, what it did: latency, memory, processors, money, and how right the answers were.",
        )
        self.looking = Looking(self._look, now, every_s=EVERY_S)
        with Node("div", "board one"):
            with Node("section", "card", aria_labelledby="plan-title"):
                Node("h2", "", "Before a switch: what would it cost?", id="plan-title")
                self._form(endpoint)
                self._plan = PlanReport()
            with Node("section", "card", aria_labelledby="switches-title"):
                Node("h2", "", "Switches so far", id="switches-title")
                columns = [Column("Switch"), Column("What changed", "text"), Column("Planned")]
                self._table = Table("Switches", columns, empty=EMPTY, on_pick=self._pick)
            self._report = SwitchReport()

    def _form(self, endpoint: Endpoint) -> None:
        with Node("form", "replay-form", autocomplete="off").on("submit", self._planned, js_handler=SEND):
            with Node("div", "field"):
                Node("label", "", "If every request were answered by", for_="plan-to")
                with Node("div", "tools"):
                    with Node("select", "", id="plan-to", name="to", aria_describedby="problem-to"):
                        for name in endpoint.strategies:
                            Node("option", "", name, value=name)
                    self._button = Node(
                        "button", "primary", "Say what it would cost", type="submit", data_testid="plan"
                    )
                to = Node("p", "problem slim", role="alert", id="problem-to", data_testid="problem-to")
            with Node("details"):
                Node("summary", "", "Or if another quorate.yaml were applied")
                with Node("div", "field"):
                    Node("label", "", "The whole file; it takes the place of the choice above", for_="plan-config")
                    Node("textarea", "", id="plan-config", name="config", rows=8, spellcheck="false",
                         aria_describedby="problem-config")  # fmt: skip
                    config = Node("p", "problem slim", role="alert", id="problem-config", data_testid="problem-config")
            self._problems = {"to": to, "config": config}

    async def _planned(self, event: Any) -> None:
        to, config = event.args
        field = "config" if str(config).strip() else "to"
        body = {"config": str(config)} if field == "config" else {"to": str(to)}
        self._button.put(disabled=True)
        self._plan.wait()
        said = ""
        try:
            made = await self._apis.control.send(
                "POST", f"{self._here}/plan", self._session.key, body=body, timeout_s=PLAN_S
            )
        except ControlRefused as error:
            said = refused(error)
        except ControlGone:
            said = "Control is not reachable; it is started again by itself. Try once more in a moment."
        else:
            self._plan.show(made)
        finally:
            self._button.put(disabled=False)
        if said:
            self._plan.give_up()
        for name, node in self._problems.items():
            node.say(said if name == field else "")

    async def _look(self) -> str:
        key, path = self._session.key, self._here
        found = await self._apis.shared((path, key), lambda: self._apis.control.get(path, key, timeout_s=PATIENCE_S))
        self._found = {str(each["number"]): each for each in found}
        self._table.show([_line(each) for each in found])
        if self._shown not in self._found:
            self._shown = str(found[0]["number"]) if found else None
        await self._show()
        return f"Looked at every {EVERY_S:g} s. Outcomes still come in: a report gets more certain with time."

    async def _pick(self, number: str) -> None:
        self._shown = number
        self._table.mark(number)
        self._report.wait(number)
        await self.looking.again()

    async def _show(self) -> None:
        self._table.mark(self._shown)
        if self._shown is None:
            self._report.show(None)
            return
        key, path = self._session.key, f"{self._here}/{self._shown}"
        self._report.show(
            await self._apis.shared((path, key), lambda: self._apis.control.get(path, key, timeout_s=PATIENCE_S))
        )


def _line(found: Mapping[str, Any]) -> Line:
    missed = f"{found['missed']} more came right before it" if found["missed"] else ""
    return Line(
        str(found["number"]),
        [
            Cell(f"Switch {found['number']}", when(found["at"])),
            Cell(found["what"], missed, "text"),
            "yes" if found["planned"] else "no",
        ],
    )
