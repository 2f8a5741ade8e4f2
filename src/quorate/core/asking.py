"""Options that an endpoint cannot honour, refused in the same words at every door: requests, batches and jobs."""

from __future__ import annotations

from quorate.core.conformal.calibrated import Calibrated
from quorate.errors import Forbidden, InvalidInput

MAX_MS, MIN_CONFIDENCE = "max_ms", "min_confidence"
"""Facts of a decision: what its caller asked, where it asked for one of these."""


def check_confidence(endpoint: str, *, blind: bool, output: str, path: str) -> None:
    """A client error where ``min_confidence`` cannot be asked: of numbers, and of a blind endpoint, where whoever
    abstains would be told by that."""
    if blind:
        raise Forbidden(
            f"Endpoint '{endpoint}' is blind, and how sure an answer is would tell who gave it. Leave the option out.",
            path=path,
        )
    if output != "scores":
        raise InvalidInput(
            f"Endpoint '{endpoint}' answers numbers, which have no confidence; leave the option out.", path=path
        )


def check_seeing(endpoint: str, *, blind: bool, path: str) -> None:
    """A client error where ``coverage`` is asked of a blind endpoint: sets are calibrated strategy by strategy, so that
    they would tell which one answered."""
    if blind:
        raise Forbidden(
            f"Endpoint '{endpoint}' is blind: sets would tell which strategy answered. Leave the option out.", path=path
        )


def lacking(strategy: str, calibrated: Calibrated | None, coverage: float) -> str | None:
    """Why a strategy cannot promise a coverage, in words; None where it can. ``calibrated`` is what it has for that."""
    if calibrated is None:
        return (
            f"Strategy '{strategy}' has no conformal state, so it cannot promise a coverage. Give it one (conformal), "
            "or leave the option out."
        )
    why = calibrated.lacks(coverage)
    return None if why is None else f"Strategy '{strategy}': {why}. Ask for less, or calibrate on more."
