"""Contract checks for plugins and stores, and time under a test's control; nothing in Quorate imports this package."""

from quorate.testing.clock import FakeClock
from quorate.testing.combiner import check_combiner
from quorate.testing.plan import check_plan
from quorate.testing.policy import check_policy
from quorate.testing.runtime import check_runtime
from quorate.testing.store import check_store

__all__ = ["FakeClock", "check_combiner", "check_plan", "check_policy", "check_runtime", "check_store"]
