"""How an answer came about: each member's vote, and what the models saw."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.console import words
from quorate.console.catalogue import Endpoint
from quorate.console.elements import Node
from quorate.console.parts.record import Entry, Vote


class VotesTable:
    """One row a member, there from the start."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._rows: list[tuple[Node, Node, Node, Node, Node, Node]] = []
        self._note = Node("p", "quiet note", " ", data_testid="votes-note")
        scroll = Node("div", "scroll", tabindex="0", role="region", aria_label="Each member's vote")
        with scroll, Node("table", "votes"):
            with Node("thead"), Node("tr"):
                for title, classes in (("Member", ""), ("Says", ""), ("Sure", "figure"), ("Time", "figure")):
                    Node("th", classes, title, scope="col")
            with Node("tbody"):
                for name in endpoint.members:
                    with Node("tr") as row:
                        member = Node("th", "", name, scope="row")
                        with Node("td", "says"):
                            mark = Node("span", "agree", "", aria_hidden="true")
                            says = Node("span", "", words.DASH)
                        sure = Node("td", "figure", words.DASH)
                        time = Node("td", "figure quiet", words.DASH)
                    self._rows.append((row, member, mark, says, sure, time))

    def clear(self, note: str = " ") -> None:
        """Nothing is known, or not yet."""
        self._note.say(note)
        for row, _, mark, says, sure, time in self._rows:
            mark.say("")
            for cell in (says, sure, time):
                cell.say(words.DASH)
            for name in ("differs", "agrees", "silent", "unasked"):
                row.flag(name, False)

    def show(self, entry: Entry) -> None:
        """The votes of an entry, or why there are none."""
        if entry.votes is None:
            answered = "" if entry.members is None else f"Answered by {words.listed(entry.members)}. "
            self.clear(answered + entry.votes_note or " ")
            return
        known = {vote.member: vote for vote in entry.votes}
        self._note.say(agreement(entry, entry.votes))
        for row, member, mark, says, sure, time in self._rows:
            vote = known.get(member.text) or Vote(member.text, why="not asked", asked=False)
            silent, agrees = vote.label is None, vote.label == entry.label
            row.flag("silent", silent and vote.asked)
            row.flag("unasked", not vote.asked)
            row.flag("agrees", agrees)
            row.flag("differs", not (silent or agrees or entry.abstained))
            mark.say("" if silent or entry.abstained else "✓" if agrees else "≠")
            said = vote.why if vote.label is None else vote.label
            says.say(said)
            says.put(title=vote.about or said)  # long labels are cut off
            sure.say(words.percent(vote.confidence, 0))
            time.say(words.milliseconds(vote.latency_ms))


def agreement(entry: Entry, votes: Sequence[Vote]) -> str:
    """How many members were asked, and how many of those say what was answered."""
    asked = [vote for vote in votes if vote.asked]
    few = len(votes) - len(asked)
    left = f" {words.counted(few, 'was not asked', 'were not asked')}." if few else ""
    if entry.abstained:
        return f"{words.counted(len(asked), 'member was', 'members were')} asked.{left}"
    agreeing = [vote for vote in asked if vote.label == entry.label]
    return f"{len(agreeing)} of {words.counted(len(asked), 'member says', 'members say')} {entry.label}.{left}"


class Preview:
    """What the models saw after preprocessing, in a box of fixed size."""

    def __init__(self) -> None:
        with Node("figure", "seen"):
            with Node("div", "frame"):
                self._picture = Node("img", alt="The input as the models see it", hidden=True, data_testid="preview")
            self._note = Node("figcaption", "quiet", "What the models see")

    def show(self, entry: Entry | None) -> None:
        """The preview of an entry, or why there is none."""
        source = entry.preview if entry is not None else None
        self._picture.put(src=source, hidden=source is None)
        self._note.say((entry.preview_note if entry is not None else "") or "What the models see")
