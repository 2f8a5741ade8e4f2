"""Replays in the store."""

from __future__ import annotations

from quorate.store.questions import Questions

replays = Questions("replays")
