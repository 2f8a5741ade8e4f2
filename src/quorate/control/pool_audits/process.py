"""An audit in a process of its own: ``python -m quorate.control.pool_audits.process ROOT QUESTION``."""

from __future__ import annotations

import sys

from quorate.control.pool_audits.asked import Question
from quorate.control.pool_audits.run import audit_decisions
from quorate.control.questions.running import serve

if __name__ == "__main__":
    serve(Question, audit_decisions, *sys.argv[1:])
