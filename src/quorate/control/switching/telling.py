"""Switches in words: for somebody who decides, and for somebody who doubts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quorate.codecs.snapshot import Prices
from quorate.control.switching.evidence import ACCURACY
from quorate.control.switching.quantities import (
    CPU,
    MEMORY,
    MEMORY_ADDED,
    MEMORY_FREED,
    MONEY,
    PER_THOUSAND,
    WARM_UP,
    Measured,
    Quantity,
    find,
)
from quorate.control.switching.resources import GIB
from quorate.control.switching.windows import DAY
from quorate.store.switches import POLICY, Switch

CONFOUNDED = (
    "Before and after are different times: whatever else changed between them (callers, inputs, other releases) is in "
    "the differences too. Only an experiment, which runs both at once, can tell these apart."
)
ONE_LOOK = "Intervals are of 95 %, take decisions for independent, and hold for one look."
FEW = 30


def what(switch: Switch) -> str:
    """What changed, in a clause."""
    detail = switch.detail
    if switch.cause == POLICY:
        return f"the policy changed from '{detail.get('from')}' to '{detail.get('to')}' ({detail.get('why')})"
    return (
        f"revision {switch.revision} took the place of revision {detail['before']}, with other "
        f"{listed(detail['changes'])}"
    )


def notes(before: Measured, after: Measured, prices: Prices, served: Sequence[str]) -> list[str]:
    """What must be known to read the differences."""
    if not before.window.minutes:
        return ["There are no equal times before and after to compare yet."]
    found = [CONFOUNDED]
    if before.window.minutes < DAY:
        found.append("The times compared are shorter than a day, so they are other hours of the day.")
    found.append(ONE_LOOK)
    for name, each in (("before", before), ("after", after)):
        wanted = each.window.minutes * 60
        if each.traffic.requests < FEW:
            found.append(f"There were only {each.traffic.requests} requests {name}.")
        if each.resources.seconds < 0.9 * wanted:
            found.append(f"Of {wanted:.0f} s {name}, what was used is known of {each.resources.seconds:.0f} s.")
    if not before.judged and not after.judged:
        found.append("Nothing is known of what answers turned out to be: no outcomes were reported.")
    elif _judged(after) * max(before.traffic.rows, 1) < 0.9 * _judged(before) * after.traffic.rows:
        found.append(
            "Fewer of the later answers have an outcome yet; theirs may still come, and need not be like those."
        )
    old, new = sorted((before.traffic.requests, after.traffic.requests))
    if new > 1.2 * old:
        found.append(
            "One time had more requests than the other: memory, and what processors do without requests, are spread "
            "over more of them."
        )
    if before.resources.share < 1 or after.resources.share < 1:
        found.append(
            "The workers answer for other endpoints too; their use is divided by the time that pools ran, and by "
            "requests."
        )
    if len(served) > 1:
        found.append(f"Decisions of several strategies are in it, as the policy drew them: {', '.join(served)}.")
    return found + priced(prices)


def priced(prices: Prices) -> list[str]:
    """What money is not part of, for want of a price."""
    missing = [
        f"{what} ({name})"
        for name, what, price in (
            ("cpu_hour", "processors", prices.cpu_hour),
            ("gib_hour", "memory", prices.gib_hour),
        )
        if price is None
    ]
    if len(missing) == 2 and prices.thousand_requests is None:
        return ["Money is not known: quorate.yaml has no prices."]
    return [f"The money is without {listed(missing)}: there is no price for it."] if missing else []


def promised(quantities: Sequence[Quantity]) -> str:
    """What a switch is expected to do, in a sentence or two."""
    parts = [*_quality(quantities, "would"), *_plain(quantities)]
    warm = find(quantities, WARM_UP)
    if warm is not None and warm.after is not None:
        parts.append(
            "it takes effect at once" if warm.after < 1 else f"it takes about {warm.after:.0f} s before it takes effect"
        )
    for name, verb in ((MEMORY_ADDED, "takes"), (MEMORY_FREED, "gives back")):
        found = find(quantities, name)
        if found is not None and found.after:
            parts.append(f"{verb} {found.after / GIB:.2f} GiB of memory")
    return _sentence(parts) or "Nothing that would change is known."


def happened(quantities: Sequence[Quantity]) -> str:
    """What a switch did, in a sentence or two."""
    parts = [*_quality(quantities, "did"), *_plain(quantities)]
    memory, warm = find(quantities, MEMORY), find(quantities, WARM_UP)
    if memory is not None and memory.change and memory.before and abs(memory.change) > 0.01 * memory.before:
        parts.append(f"{memory.change / GIB:+.2f} GiB of memory")
    if warm is not None and warm.after is not None:
        parts.append(f"it took {warm.after:.2g} s to take effect")
    return _sentence(parts) or "Nothing can be said yet."


def _quality(quantities: Sequence[Quantity], mood: str) -> list[str]:
    found = []
    for each in quantities:
        if not each.name.endswith(PER_THOUSAND) or each.name == CPU or each.change is None:
            continue
        name = each.name.removesuffix(PER_THOUSAND).replace("_", " ")
        if not each.sure:
            verb = "may change either way" if mood == "would" else "did not change for certain"
            found.append(f"{name} {verb} ({_signed(each.low)} to {_signed(each.high)} per 1,000 requests)")
        else:
            more = "more" if each.change > 0 else "fewer" if name == "right answers" else "less"
            found.append(
                f"{abs(each.change):.3g} {more} {name} per 1,000 requests ({_signed(each.low)} to {_signed(each.high)})"
            )
    accuracy = find(quantities, ACCURACY)
    if accuracy is None and not found:
        found.append("what it does to the quality of answers is not known")
    return found


def _plain(quantities: Sequence[Quantity]) -> list[str]:
    found = []
    latency = find(quantities, "latency_p95")
    if latency is not None and latency.change is not None and latency.before:
        share = latency.change / latency.before
        if abs(share) < 0.02:
            found.append("answers about as fast as before")
        elif latency.low is not None and not latency.sure:
            found.append("it is not certain whether answers are slower or faster")
        else:
            found.append(f"the slowest twentieth of answers {abs(share):.0%} {'slower' if share > 0 else 'faster'}")
    money = find(quantities, MONEY)
    if money is not None and money.change is not None and money.after is not None:
        found.append(
            f"a million requests {'cost' if money.change else 'go on costing'} {money.after:.4g} {money.unit}"
            + (f" ({_signed(money.change)})" if money.change else "")
        )
    else:
        found.append("money is not known")
    return found


def _judged(each: Measured) -> int:
    return max((sums.rows for sums in each.judged.values()), default=0)


def listed(words: Sequence[Any]) -> str:
    """Words with commas, and an "and" before the last."""
    *most, last = map(str, words)
    return f"{', '.join(most)} and {last}" if most else last


def _sentence(parts: Sequence[str]) -> str:
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _signed(value: float | None) -> str:
    return "?" if value is None else f"{value:+.3g}"
