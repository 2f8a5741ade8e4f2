"""The boards of the overview: problems, traffic, strategies, what was learned, members.

Rows are made once and then only filled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quorate.console import words
from quorate.console.elements import Node


class ProblemsBoard:
    """What is wrong now, in sentences; or that nothing is."""

    def __init__(self) -> None:
        with Node("section", "card wide", aria_labelledby="problems-title"):
            Node("h2", "", "What is wrong", id="problems-title")
            with Node("div", "", role="status"):
                self._list = Node("ul", "problems", data_testid="problems")
        self._shown: list[tuple[str, str]] | None = None
        self.show(None)

    def show(self, problems: Sequence[Mapping[str, Any]] | None) -> None:
        """List them; None where it is not known yet."""
        if problems is None:
            found = [("quiet", "Not known yet.")]
        else:
            found = [(one["severity"], one["what"]) for one in problems] or [("fine", "Nothing: everything runs.")]
        if found == self._shown:
            return
        self._shown = found
        self._list.clear()
        with self._list:
            for severity, what in found:
                Node("li", severity, what)


class TrafficBoard:
    """Requests by minute, as bars."""

    def __init__(self) -> None:
        with Node("section", "card wide", aria_labelledby="traffic-title"):
            Node("h2", "", "Requests by minute", id="traffic-title")
            self._chart = Node("div", "chart", role="img", aria_label="No requests yet")
            self._note = Node("p", "quiet note", " ")
        self._bars: list[tuple[Node, Node]] = []

    def show(self, timeline: Sequence[Mapping[str, Any]]) -> None:
        """One bar a minute, the oldest on the left."""
        if len(self._bars) != len(timeline):
            self._chart.clear()
            self._bars = []
            with self._chart:
                for _ in timeline:
                    with Node("span") as place:
                        self._bars.append((place, Node("i")))
        most = max((minute["requests"] for minute in timeline), default=0)
        for minute, (place, bar) in zip(timeline, self._bars, strict=True):
            bar.rise(minute["requests"] / most if most else 0.0)
            place.put(title=f"{minute['requests']:,} requests, {minute['errors']:,} errors")
        total = sum(minute["requests"] for minute in timeline)
        self._chart.put(aria_label=f"{total:,} requests in {len(timeline)} minutes, at most {most:,} a minute")
        self._note.say(f"At most {words.counted(most, 'request')} a minute." if most else "No requests in this time.")


def _table(name: str, title: str, columns: Sequence[tuple[str, str]], **body: Any) -> Node:
    """A card with a table, inside the node that is open: column titles with their classes; returns its body."""
    Node("h2", "", title, id=f"{name}-title")
    scroll = Node("div", "scroll", tabindex="0", role="region", aria_label=f"Table of {name}")
    with scroll, Node("table"):
        with Node("thead"), Node("tr"):
            for column, classes in columns:
                Node("th", classes, column, scope="col")
        return Node("tbody", **body)


class StrategiesBoard:
    """Each strategy's share and accuracy; those that callers chose come after, and are no evidence."""

    def __init__(self) -> None:
        with Node("section", "card", aria_labelledby="strategies-title"):
            columns = [("Strategy", ""), ("Share", ""), ("Right, with 95 % interval", ""), ("p95", "figure")]
            self._body = _table("strategies", "Strategies", columns)
            Node("p", "quiet note", "Accuracy rests on the answers whose truth was told, and holds for one look.")
        self._rows: dict[tuple[str, bool], _StrategyRow] = {}

    def show(self, assigned: Sequence[Mapping[str, Any]], chosen: Sequence[Mapping[str, Any]]) -> None:
        """Fill the rows, making those that are new."""
        listed = [(one, False) for one in assigned] + [(one, True) for one in chosen]
        keys = [(one["strategy"], by_caller) for one, by_caller in listed]
        if keys != [*self._rows]:
            self._body.clear()
            with self._body:
                self._rows = {key: _StrategyRow(*key) for key in keys}
        for one, by_caller in listed:
            self._rows[one["strategy"], by_caller].show(one)


class _StrategyRow:
    def __init__(self, name: str, by_caller: bool) -> None:
        with Node("tr"):
            with Node("th", "", scope="row"):
                Node("span", "", name)
                if by_caller:
                    Node("span", "quiet", " chosen by caller")
            with Node("td"):
                self._share = Node("span", "", words.DASH)
                with Node("span", "share", aria_hidden="true"):
                    self._fill = Node("span", "fill")
            with Node("td"):
                self._right = Node("span", "", words.DASH)
                with Node("span", "span", aria_hidden="true"):
                    self._range = Node("span", "range", hidden=True)
                    self._point = Node("span", "point", hidden=True)
            self._p95 = Node("td", "figure", words.DASH)

    def show(self, one: Mapping[str, Any]) -> None:
        """The figures of the report."""
        self._share.say(f"{words.percent(one['share'], 0)} ({one['requests']:,})")
        self._fill.grow(one["share"])
        self._p95.say(words.milliseconds(one["p95_ms"]))
        low, high, accuracy = one["accuracy_low"], one["accuracy_high"], one["accuracy"]
        known = accuracy is not None
        if known:
            rows = words.counted(one["judged_rows"], "row")
            self._right.say(f"{accuracy:.1%} ({low:.1%} to {high:.1%}; {rows})".replace("%", " %"))
            self._range.place(left=low, width=high - low)
            self._point.place(left=accuracy)
        elif one["mean_absolute_error"] is not None:
            self._right.say(f"off by {words.number(one['mean_absolute_error'])} on average")
        else:
            self._right.say("no truths yet")
        self._range.put(hidden=not known)
        self._point.put(hidden=not known)


class LearnerBoard:
    """What was learned: by the policy, each strategy's share of the next requests; by combiners, whom they trust most;
    and from how many rows. Hidden where nothing learns."""

    def __init__(self) -> None:
        with Node("section", "card", aria_labelledby="learner-title", hidden=True, data_testid="learner") as self._card:
            columns = [("Strategy", ""), ("Share from now on", "")]
            self._body = _table("learner", "What has been learned", columns)
            self._combiners = Node("ul", "why-list", hidden=True, data_testid="combiners")
            self._note = Node("p", "quiet note", " ")
        self._rows: dict[str, tuple[Node, Node]] = {}
        self._said: list[str] = []

    def show(self, learner: Mapping[str, Any] | None, now: float) -> None:
        """Fill the rows, making those that are new; None where nothing learns."""
        self._card.put(hidden=learner is None)
        if learner is None:
            return
        shares: Mapping[str, float] = learner["shares"]
        if [*shares] != [*self._rows]:
            self._body.clear()
            with self._body:
                self._rows = {name: _share_row(name) for name in shares}
        for name, share in shares.items():
            figure, fill = self._rows[name]
            figure.say(words.percent(share))
            fill.grow(share)
        self._note.say(_learned(learner, now))
        said = [trusted(name, told) for name, told in learner.get("combiners", {}).items()]
        if said != self._said:
            self._said = said
            self._combiners.clear()
            self._combiners.put(hidden=not said)
            with self._combiners:
                for line in said:
                    Node("li", "", line)


def _learned(learner: Mapping[str, Any], now: float) -> str:
    rows, reward = learner["rows"].get("learned", 0), learner["reward"]
    when = "" if learner["updated"] is None else f", the last {words.ago(max(0.0, now - learner['updated']))} ago"
    told = f"Learned from {words.counted(rows, 'row')}{when}." if rows else "Nothing was learned yet."
    if reward is None:
        return f"{told} Policy {learner['policy']} does not learn; its strategies' combiners do."
    return f"{told} Policy {learner['policy']}; {reward['metric']} from {reward['low']:g} to {reward['high']:g} counts."


def trusted(name: str, told: Mapping[str, Any], most: int = 3) -> str:
    """Whom a combiner that learns trusts most, in a sentence."""
    if not told["rows"]:
        return f"{name} ({told['kind']}) has not learned anything yet; its prior strategy answers."
    ranked = sorted(told["trust"].items(), key=lambda each: -each[1])[:most]
    said = ", ".join(f"{expert} {words.percent(share)}" for expert, share in ranked)
    return f"{name} ({told['kind']}) trusts {said}; learned from {words.counted(told['rows'], 'outcome')}."


def _share_row(name: str) -> tuple[Node, Node]:
    with Node("tr"):
        Node("th", "", name, scope="row")
        with Node("td"):
            figure = Node("span", "", words.DASH)
            with Node("span", "share", aria_hidden="true"):
                fill = Node("span", "fill")
    return figure, fill


class MembersBoard:
    """Each member's health in a row."""

    def __init__(self) -> None:
        with Node("section", "card", aria_labelledby="members-title"):
            columns = [("Member", ""), ("State", ""), ("Median", "figure"), ("Faults and restarts", "")]
            self._body = _table("members", "Members", columns, data_testid="members")
        self._rows: dict[str, tuple[Node, Node, Node, Node, Node]] = {}

    def show(self, members: Sequence[Mapping[str, Any]]) -> None:
        """Fill the rows, making those that are new."""
        names = [f"{member['name']}:{member['version']}" for member in members]
        if names != [*self._rows]:
            self._body.clear()
            with self._body:
                self._rows = {name: _member_row(name) for name in names}
        for name, member in zip(names, members, strict=True):
            self._fill(self._rows[name], member)

    def _fill(self, row: tuple[Node, Node, Node, Node, Node], member: Mapping[str, Any]) -> None:
        dot, state, median, faults, note = row
        damaged = member["file"] != "ok"
        out = member["state"] == "left out"
        dot.flag("bad", out)
        dot.flag("warn", damaged and not out)
        dot.flag("good", member["state"] == "ok" and not damaged)
        state.say(f"{member['state']}, file {member['file']}" if damaged else member["state"])
        median.say(words.milliseconds(member["p50_ms"]))
        told = [f"{words.reason(code)} {count:,}×" for code, count in sorted(member["faults"].items())]
        faults.say(", ".join(told) or "none")
        note.say(f"process restarted {member['restarts']:,}×" if member["restarts"] else "")


def _member_row(name: str) -> tuple[Node, Node, Node, Node, Node]:
    with Node("tr", data_member=name.partition(":")[0]):
        with Node("th", "", scope="row"):
            Node("span", "", name.partition(":")[0])
            Node("span", "quiet", f" v{name.partition(':')[2]}")
        with Node("td"), Node("span", "state"):
            dot = Node("span", "dot", aria_hidden="true")
            state = Node("span", "", words.DASH)
        median = Node("td", "figure", words.DASH)
        with Node("td"):
            faults = Node("span", "", words.DASH)
            note = Node("span", "quiet block", "")
    return dot, state, median, faults, note
