"""Memory of the process: back to the system with what is free."""

from __future__ import annotations

import contextlib
import ctypes


def give_back_memory() -> None:
    """Return what loading needed for a moment to the system (18 MB for the digits pool); glibc only, else nothing."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
