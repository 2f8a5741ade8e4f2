"""Moments as people write them on a command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from quorate.errors import InvalidInput

_AGO = {"m": 60.0, "h": 3600.0, "d": 86_400.0}


def moment(given: str | None, option: str) -> float | None:
    """Unix seconds; dates without a zone are UTC."""
    if given is None:
        return None
    now = datetime.now(UTC)
    try:
        if given[-1:] in _AGO:
            return (now - timedelta(seconds=float(given[:-1]) * _AGO[given[-1]])).timestamp()
        if given.replace(".", "", 1).isdigit():
            return float(given)
        moment = datetime.fromisoformat(given)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"{option} is a date like 2026-01-31T12:00, Unix seconds, or 7d, 12h or 30m ago; got '{given[:40]}'.",
            path=option,
        ) from None
