"""Data sets made of captured inputs: have one written, fetch it, delete it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from quorate.console import words
from quorate.console.catalogue import Endpoint
from quorate.console.control import ControlGone, ControlRefused
from quorate.console.elements import Node
from quorate.console.evidence.table import Cell, Column, Line, Table
from quorate.console.evidence.wording import when
from quorate.console.parts.looking import refused

Send = Callable[..., Awaitable[Any]]
GONE = "Control is not reachable; it is started again by itself. Try once more in a moment."
EMPTY = "No data set was made yet. Choose above what it is for, and make one: to train on, or to label."
STATES = {"queued": "waits its turn", "running": "is written", "done": "ready", "failed": "failed"}
FORMATS = (("ndjson", "NDJSON"), ("csv", "CSV"), ("parquet", "Parquet"), ("folder", "folders by class"))
TRUTHS = (
    ("with", "rows with a truth, to train on"),
    ("without", "rows without one, to label"),
    ("all", "all rows"),
)
SEND = """(event) => {
  event.preventDefault();
  const form = event.target, at = (name) => {
    const text = form.elements[name].value;
    return text ? new Date(text).getTime() / 1000 : null;
  };
  const { truth, format } = form.elements;
  emit({ truth: truth.value, format: format.value, since: at('since'), until: at('until') });
}"""


class DatasetBoard:
    """The form and the list; ``send(method, path, body)`` asks control."""

    def __init__(self, endpoint: Endpoint, send: Send) -> None:
        self._endpoint, self._send = endpoint, send
        self._acts: dict[str, tuple[Node, Node]] = {}
        self._sure: set[str] = set()
        with Node("section", "card wide", aria_labelledby="datasets-title"):
            Node("h2", "", "Data sets", id="datasets-title")
            form = Node("form", "replay-form", autocomplete="off").on("submit", self._submitted, js_handler=SEND)
            with form:
                with Node("div", "fields open"):
                    _select("truth", "What for", TRUTHS)
                    formats = [each for each in FORMATS if each[0] != "folder" or endpoint.kind == "image"]
                    _select("format", "Written as", formats)
                    for name, title in (("since", "From (your time; all without)"), ("until", "Until (your time)")):
                        with Node("div", "field"):
                            Node("label", "", title, for_=f"set-{name}")
                            Node("input", "", id=f"set-{name}", name=name, type="datetime-local")
                self._problem = Node("p", "problem slim", role="alert", data_testid="dataset-problem")
                with Node("div", "tools"):
                    self._button = Node("button", "primary", "Make a data set", type="submit", data_testid="make")
            columns = [
                Column("Data set"),
                Column("How it stands", "text"),
                Column("Rows", "figure"),
                Column("Written as"),
            ]
            self._table = Table("Data sets", columns, empty=EMPTY, actions=self._actions)

    async def _submitted(self, event: Any) -> None:
        asked = event.args
        body = {"endpoint": self._endpoint.name, "truth": asked["truth"], "format": asked["format"]}
        body |= {name: float(asked[name]) for name in ("since", "until") if asked.get(name) is not None}
        if "since" in body and "until" in body and body["since"] >= body["until"]:
            self._problem.say("The first time must be before the second.")
            return
        self._button.put(disabled=True)
        self._problem.say("")
        try:
            await self._send("POST", "/v1/datasets", body)
        except ControlRefused as error:
            self._problem.say(refused(error, "admin"))
        except ControlGone:
            self._problem.say(GONE)
        finally:
            self._button.put(disabled=False)

    def _actions(self, key: str) -> None:
        link = Node("a", "button small", "Download", href=f"/datasets/{key}", download=f"{key}.zip", hidden=True)
        delete = Node("button", "small", "Delete", type="button", hidden=True).on(
            "click", lambda: self._delete(key), []
        )
        self._acts[key] = (link, delete)

    async def _delete(self, key: str) -> None:
        if key not in self._sure:
            self._sure.add(key)
            self._acts[key][1].say("Delete for good?")
            return
        self._sure.discard(key)
        try:
            await self._send("DELETE", f"/v1/datasets/{key}")
        except ControlRefused as error:
            self._problem.say(refused(error, "admin"))
        except ControlGone:
            self._problem.say(GONE)

    def show(self, made: Sequence[Mapping[str, Any]]) -> None:
        """List them, the newest first."""
        self._table.show([_line(each) for each in made])
        self._acts = {each["id"]: self._acts[each["id"]] for each in made}
        for each in made:
            link, delete = self._acts[each["id"]]
            here = _here(each)
            link.put(hidden=each["state"] != "done" or not here)
            delete.put(hidden=each["state"] not in ("done", "failed") or not here)
            if each["id"] not in self._sure:
                delete.say("Delete")


def _select(name: str, title: str, options: Sequence[tuple[str, str]]) -> None:
    with Node("div", "field"):
        Node("label", "", title, for_=f"set-{name}")
        with Node("select", "", id=f"set-{name}", name=name):
            for each, text in options:
                Node("option", "", text, value=each)


def _here(made: Mapping[str, Any]) -> bool:
    """Whether control has its file; others were written to a folder by a command."""
    return bool(made["place"].endswith(f"{made['id']}.zip"))


def _line(made: Mapping[str, Any]) -> Line:
    place = "" if _here(made) else f"in {made['place']}"
    state = STATES.get(made["state"], made["state"])
    note = made["error"] or (f"SHA-256 {made['digest'][:16]}…" if made["digest"] else "")
    tone = {"failed": "worse", "done": "better"}.get(made["state"], "")
    return Line(
        made["id"],
        [
            Cell(when(made["created"]), f"by {made['author']}"),
            Cell(state, " ".join(each for each in (note, place) if each), tone),
            f"{made['rows']:,}" if made["state"] == "done" else words.DASH,
            dict(FORMATS).get(made["format"], made["format"]),
        ],
    )
