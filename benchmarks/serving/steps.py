"""The steps of the sequence: what each measures, by which command, in about how many minutes on two cores."""

from __future__ import annotations

import sys
from typing import NamedTuple

ONE = "--workload a --workers 1 --connections 32"
THREE = "--workload a --workers 3 --connections 32"
HAND = "--levels --only Quorate ASGI"
PEERS = "--levels --only Quorate LitServe MLServer BentoML"
SLOW = "--levels --only Quorate Ray Flask FastAPI"
KEPT = '--journal {"segment_bytes":4194304,"keep_bytes":67108864}'
ONCE = "--pairs 1 --seconds 1"
TEN = "--pairs 10 --seconds 2"
THRICE = "--pairs 3 --seconds 2"


class Step(NamedTuple):
    """``full`` and ``quick`` are the arguments of ``module``; ``minutes`` is how long the full one takes."""

    key: str
    what: str
    module: str
    full: str
    quick: str
    minutes: float

    def command(self, *, quick: bool) -> list[str]:
        """The command line."""
        arguments = self.quick if quick else self.full
        return [
            *(sys.executable, "-m", f"benchmarks.{self.module}", "--name", f"serving-{self.key}"),
            *arguments.split(),
        ]


def _peers(key: str, what: str, minutes: float, which: str, how: str, quick: str = "") -> Step:
    """``which`` workload and systems; ``how`` often in the full form; ``quick`` is what the short one has beside."""
    return Step(key, what, "peers", f"{which} {how}", f"{which} {ONCE} {quick}", minutes)


STEPS = (
    _peers("a1", "one row, 1 worker, against hand-written programs", 4.0, f"{ONE} {HAND}", "--pairs 10 --seconds 3"),
    _peers("a3", "the same with 3 workers", 4.2, f"{THREE} {HAND}", "--pairs 10 --seconds 3"),
    _peers("frameworks", "one row, 1 worker, against LitServe, MLServer and BentoML", 3.0, f"{ONE} {PEERS}", TEN),
    _peers("frameworks3", "the same with 3 workers", 3.4, f"{THREE} {PEERS}", TEN),
    _peers("c", "MobileNetV2 from a JPEG; labels of all photographs", 6.0, "--workload c", TEN, "--photographs 200"),
    _peers(
        *("c-shared", "the same, a worker a core: at ten connections the generator needs next to nothing", 2.0),
        *("--workload c --shared --connections 10 --photographs 50", TEN),
    ),
    _peers("g", "added latency", 5.0, "--workload g", "--pairs 10 --seconds 3"),
    _peers("h", "five slow, five quick members", 1.7, "--workload h", TEN),
    _peers("f", "50 endpoints", 4.0, "--workload f", "--pairs 10 --seconds 3"),
    Step(
        *("requests", "1,000,000 requests", "soak"),
        *(f"--parts requests --requests 1000000 {KEPT}", f"--parts requests --requests 20000 {KEPT}", 5.5),
    ),
    Step("cycles", "1,000 load/unload cycles", "soak", "--parts cycles --cycles 1000", "--parts cycles --cycles 20", 5),
    Step("swaps", "100 hot swaps", "soak", "--parts swaps --swaps 100", "--parts swaps --swaps 10", 1.0),
    Step(
        *("members", "100,000 requests to failing members", "faults"),
        *("--parts members --requests 100000 --rate 250", "--parts members --requests 1000 --rate 200", 7.0),
    ),
    Step(
        *("inputs", "poisoned rows, clients that leave", "faults"),
        *("--parts poison leaving --requests 50000", "--parts poison leaving --requests 2000", 2.5),
    ),
    Step(
        *("overload", "three times capacity", "faults"),
        *("--parts overload --overload-seconds 20", "--parts overload --overload-seconds 2", 1.0),
    ),
    Step(
        *("disk", "a disk that stalls, is full, fails", "faults"),
        *("--parts disk --disk-seconds 60", "--parts disk --disk-seconds 1", 6.5),
    ),
    _peers("open", "one row, open loop at 50 to 120 %", 3.6, f"{ONE} --only Quorate ASGI", "--pairs 3 --seconds 3"),
    _peers(
        *("connections", "one row, 1, 8 and 128 connections", 3.0),
        *(f"--workload a --workers 1 --connections 1 8 128 {HAND}", THRICE),
    ),
    _peers("slow", "one row against Ray Serve, Flask and FastAPI: three pairs", 2.0, f"{ONE} {SLOW}", THRICE),
    _peers("b", "32 rows, everybody: three pairs", 3.5, "--workload b", THRICE, HAND),
    _peers("e", "REST binary and gRPC: three pairs", 1.5, "--workload e", THRICE),
    _peers("d", "five networks, stacking: three pairs; trained when first needed", 1.5, "--workload d", THRICE),
)
"""The promised numbers first: where there is a budget, what comes last is left out."""
