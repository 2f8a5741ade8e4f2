"""What an audit says: figures as they are written, and in words what can go, what that saves, and what is assumed."""

from __future__ import annotations

import math

from quorate.control.pool_audits import asked
from quorate.control.pool_audits.asked import Answer, Question
from quorate.control.pool_audits.cost import Costs
from quorate.control.pool_audits.subject import Subject, written
from quorate.control.replay.asked import Counts, Files
from quorate.control.replay.telling import few_outcomes, unread
from quorate.core.audit.game import bits
from quorate.core.audit.metrics import HIGHER_IS_BETTER, natural
from quorate.core.audit.report import Audit, Member
from quorate.core.stats.influence import Estimate

FEW = 400
_POINTS = {"accuracy": " points", "macro_f1": " points"}


def told(
    question: Question,
    about: Subject,
    found: Audit,
    cost: Costs | None,
    source: str,
    share: float,
    counts: Counts | None,
    files: Files | None,
) -> Answer:
    """The answer."""
    names, metric = about.strategy.members, about.metric
    keep = tuple(names[j] for j in bits(found.keep))
    recommended = _recommended(about, names, keep, cost)
    check = _check(found, metric)
    return Answer(
        name=question.name,
        endpoints=tuple(each.name for each in about.endpoints),
        pool=about.pool.name,
        strategy=about.named,
        source=source,
        since=question.since,
        until=question.until,
        metric=metric,
        higher_is_better=metric in HIGHER_IS_BETTER,
        margin=found.margin,
        rows=found.rows,
        decisions=found.groups,
        searched=found.searched,
        thinned=share,
        nothing=natural(metric, found.nothing),
        whole=_natural(metric, found.whole),
        members=tuple(_member(names[j], each, metric, cost, found) for j, each in enumerate(found.members)),
        pairs=tuple(
            asked.Pair(names[p.first], names[p.second], p.rows, p.q, p.disagreement, p.double_fault, p.correlation)
            for p in found.pairs
        ),
        headroom=_headroom(found, names, metric),
        steps=_steps(found, names, metric),
        recommended=recommended,
        check=check,
        orders=found.orders,
        sampling=found.sampling,
        unit=None if cost is None else cost.unit,
        cost=None if cost is None else math.fsum(cost.values.values()),
        currency=None if cost is None else cost.currency,
        money_per_million=None
        if cost is None or cost.money is None or recommended.saves is None
        else cost.money * recommended.saves,
        summary=_summary(found, names, metric, recommended, check, cost),
        assumptions=_assumptions(about, cost, source),
        warnings=_warnings(about, found, share, keep, counts, files),
        counts=counts,
        files=files,
    )


def _natural(metric: str, value: Estimate) -> Estimate:
    """A value as it is written; limits of shares are shares."""
    if metric not in HIGHER_IS_BETTER:
        return Estimate(-value.value, max(-value.high, 0.0), -value.low, value.standard_error)
    return Estimate(value.value, max(value.low, 0.0), min(value.high, 1.0), value.standard_error)


def _member(name: str, each: Member, metric: str, cost: Costs | None, found: Audit) -> asked.Member:
    return asked.Member(
        name=name,
        verdict=each.verdict,
        reason=_reason(each, found),
        alone=_natural(metric, each.alone),
        shapley=each.shapley,
        leave_one_out=each.leave_one_out,
        kept=each.kept,
        cost=None if cost is None else cost.values[name],
    )


def _reason(each: Member, found: Audit) -> str:
    if each.verdict == "harmful":
        return "The pool is better without it."
    if each.verdict == "redundant":
        return "Without it nothing is lost beyond the margin."
    if each.verdict == "useful":
        return "The pool is worse without it."
    whole = "the pool" if not found.outcome.dropped else "what is left of the pool"
    return f"These rows do not show that {whole} can do without it, nor that it helps."


def _headroom(found: Audit, names: tuple[str, ...], metric: str) -> asked.Headroom:
    h = found.headroom
    return asked.Headroom(
        names[h.best_member],
        _natural(metric, h.oracle),
        _natural(metric, h.best),
        _natural(metric, h.ensemble),
        h.over_best,
        h.over_ensemble,
    )


def _steps(found: Audit, names: tuple[str, ...], metric: str) -> tuple[asked.Step, ...]:
    return tuple(
        asked.Step(
            names[each.step.member],
            tuple(names[j] for j in bits(each.step.pool)),
            each.step.gain,
            _natural(metric, each.value),
            each.gain,
            each.by_step,
            each.over_best,
            each.holds,
        )
        for each in found.outcome.steps
    )


def _recommended(
    about: Subject, names: tuple[str, ...], keep: tuple[str, ...], cost: Costs | None
) -> asked.Recommended:
    drop = tuple(name for name in names if name not in keep)
    total = None if cost is None else math.fsum(cost.values.values())
    left = None if cost is None else math.fsum(cost.values[name] for name in keep)
    saves = None if total is None or left is None else total - left
    return asked.Recommended(
        keep=keep,
        drop=drop,
        strategy=written(about.strategy, keep) if drop else None,
        cost=left,
        saves=saves,
        share=None if saves is None or not total else saves / total,
    )


def _check(found: Audit, metric: str) -> asked.Check:
    outcome, dropped = found.outcome, found.outcome.dropped
    last = outcome.steps[dropped - 1] if dropped else None
    return asked.Check(
        rows=found.checked,
        whole=_natural(metric, outcome.whole),
        recommended=_natural(metric, outcome.whole if last is None else last.value),
        gain=Estimate(0.0, 0.0, 0.0, 0.0) if last is None else last.gain,
    )


def _summary(
    found: Audit,
    names: tuple[str, ...],
    metric: str,
    recommended: asked.Recommended,
    check: asked.Check,
    cost: Costs | None,
) -> tuple[str, ...]:
    """What came of it, in sentences."""
    if not recommended.drop:
        first = found.outcome.steps[0].gain if found.outcome.steps else None
        known = (
            ""
            if first is None
            else f" Without {names[found.outcome.steps[0].step.member]} it would gain {gained(metric, first)}."
        )
        lost = f"{amount(metric, found.margin)} of {said(metric)}"
        return (f"Nothing is recommended to be dropped: no smaller pool is shown to lose at most {lost}.{known}",)
    by_kind = {
        kind: [name for name, m in zip(names, found.members, strict=True) if m.verdict == kind]
        for kind in ("harmful", "redundant")
    }
    parts = [f"{', '.join(members)} ({kind})" for kind, members in by_kind.items() if members]
    saved = ""
    if recommended.saves is not None and recommended.share is not None and cost is not None:
        unit = "ms a request" if cost.unit == "ms" else "of cost"
        saved = f" That saves {recommended.saves:.3g} {unit}, {100 * recommended.share:.0f} % of the members'."
    now, then = level(metric, check.recommended.value), level(metric, check.whole.value)
    replayed = f"Replayed on {check.rows} rows that the search did not see, {said(metric)} comes to {now}"
    return (
        f"Drop {' and '.join(parts)}; keep {', '.join(recommended.keep)}.{saved}",
        f"{replayed} instead of {then}: a gain of {gained(metric, check.gain)}.",
    )


def said(metric: str) -> str:
    """A metric's name for people."""
    return {"log_loss": "log loss", "brier": "the Brier score", "macro_f1": "macro F1", "mse": "the squared error",
            "mae": "the absolute error"}.get(metric, metric)  # fmt: skip


def level(metric: str, value: float) -> str:
    """A value of a metric."""
    return f"{100 * value:.1f} %" if metric in _POINTS else f"{value:.4g}"


def amount(metric: str, value: float) -> str:
    """A difference, without a sign."""
    return f"{100 * value:.3g}{_POINTS[metric]}" if metric in _POINTS else f"{value:.3g}"


def gained(metric: str, gain: Estimate) -> str:
    """A gain with its limits."""
    if metric in _POINTS:
        return f"{100 * gain.value:+.2f} points ({100 * gain.low:+.2f} to {100 * gain.high:+.2f})"
    return f"{gain.value:+.4g} ({gain.low:+.4g} to {gain.high:+.4g})"


def _assumptions(about: Subject, cost: Costs | None, source: str) -> tuple[str, ...]:
    found = ["Members answer as they did: their recorded outputs are combined, no model is run."]
    if source == "decisions":
        found.append("Whether an outcome is known does not depend on the answer.")
    else:
        found.append("No member has seen the rows of the file.")
    rule = f"A member that is not in is missing by the rule of '{about.strategy.combiner.kind}': "
    found.append(f"{rule}{about.strategy.combiner.missing}.")
    if about.strategy.state is not None:
        found.append("The combiner's fitted state stays as it is; fitted again without a member it may do better.")
    found.append("Independent decisions (or sticky units) come as they came: what was true of them goes on to be true.")
    if cost is not None:
        found.append(f"Costs: {cost.note}.")
    return tuple(found)


def _warnings(
    about: Subject, found: Audit, share: float, keep: tuple[str, ...], counts: Counts | None, files: Files | None
) -> tuple[str, ...]:
    said = []
    if found.groups < FEW:
        said.append(
            f"Only {found.groups} independent decisions could be used; with fewer than {FEW} little can be shown."
        )
    if share < 1:
        said.append(f"There were too many rows; {100 * share:.3g} % of them were used, drawn by a hash of their id.")
    if len(keep) < about.strategy.quorum:
        said.append(
            f"The strategy's quorum is {about.strategy.quorum}; with {len(keep)} members it has to be lowered first."
        )
    if counts is not None:
        said += few_outcomes(counts, "the figures are")
    if files is not None:
        said += unread(files)
    return tuple(said)
