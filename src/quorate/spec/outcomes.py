"""The settings of an endpoint about outcomes: whose count, for how long they may be corrected, what answers are
worth."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

PRECEDENCE = ("ground_truth", "expert", "user")  # as in core/outcomes.py, which the configuration may not import
YEAR = 366 * 86_400.0
Word = Annotated[str, Field(min_length=1, max_length=64)]
Label = Annotated[str, Field(max_length=1000)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)


class OutcomesSpec(_Section):
    """Which of several outcomes count, and when one is expected."""

    precedence: Annotated[
        tuple[Word, ...],
        Field(min_length=1, max_length=64, description="Sources, the one that counts first; others come after them."),
    ] = PRECEDENCE
    correction_s: Annotated[
        float | None,
        Field(
            gt=0,
            le=10 * YEAR,
            description="Seconds from the first value of a source in which it may correct itself; always by default.",
        ),
    ] = None
    expected_within_s: Annotated[
        float | None,
        Field(gt=0, le=10 * YEAR, description="Seconds after a decision within which its outcome is expected."),
    ] = None

    @model_validator(mode="after")
    def _each_once(self) -> OutcomesSpec:
        if len(set(self.precedence)) < len(self.precedence):
            raise ValueError("precedence names a source twice; name each once.")
        return self


class ClassValueSpec(_Section):
    """What answers are worth where one class is the truth."""

    correct: Annotated[float | None, Field(description="A right answer.")] = None
    error: Annotated[float | None, Field(description="A wrong answer.")] = None


class ValueSpec(_Section):
    """What answers are worth, in one unit of your choice; costs are negative."""

    correct: Annotated[float | None, Field(description="A right answer.")] = None
    error: Annotated[float | None, Field(description="A wrong answer.")] = None
    by_class: Annotated[
        dict[Label, ClassValueSpec], Field(description="By the true class, instead of 'correct' and 'error'.")
    ] = {}
    confusion: Annotated[
        dict[Label, dict[Label, float]],
        Field(description="By the true class and the answer, instead of all of these."),
    ] = {}
    per_unit_error: Annotated[float | None, Field(description="For each unit of the absolute error of a number.")] = (
        None
    )
    per_ms: Annotated[float, Field(description="For each millisecond that the request took.")] = 0.0
    rewards: Annotated[dict[Word, float], Field(description="Weight of each metric of the outcomes.")] = {}
    absent: Annotated[
        dict[Word, float],
        Field(description="Value of a metric of 'rewards' that was not told, where anything else is known."),
    ] = {}
    unanswered: Annotated[
        float | None, Field(description="An error or abstention whose truth is known; not counted by default.")
    ] = None

    @model_validator(mode="after")
    def _rests_on_outcomes(self) -> ValueSpec:
        numbers = (self.correct, self.error, self.per_unit_error)
        if all(number is None for number in numbers) and not (self.by_class or self.confusion or self.rewards):
            raise ValueError(
                "value has nothing that an outcome decides; give some of correct, error, by_class, confusion, "
                "per_unit_error and rewards."
            )
        unknown = sorted(self.absent.keys() - self.rewards.keys())
        if unknown:
            raise ValueError(f"absent has '{unknown[0]}', which is no metric of rewards; add it there, or remove it.")
        if "truth" in self.rewards:
            raise ValueError("rewards has 'truth', which is no metric; correct and error say what the truth is worth.")
        return self
