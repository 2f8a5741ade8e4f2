"""A replay in a process of its own: ``python -m quorate.control.replay.process ROOT QUESTION``."""

from __future__ import annotations

import sys

from quorate.control.questions.running import serve
from quorate.control.replay.asked import Question
from quorate.control.replay.run import replay

if __name__ == "__main__":
    serve(Question, replay, *sys.argv[1:])
