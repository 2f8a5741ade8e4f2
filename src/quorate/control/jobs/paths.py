"""Paths that a stranger names, kept inside the one folder of the project that is open to jobs."""

from __future__ import annotations

import stat
from pathlib import Path

from quorate.errors import InvalidInput, TooLarge
from quorate.home import Home


def inside(home: Home, folder: str | None, given: str, *, limit: int) -> Path:
    """The regular file ``given`` below the folder; :class:`InvalidInput` for anything else, links that lead out too.

    Whether a file outside exists is not told. :class:`TooLarge` beyond ``limit`` bytes.
    """
    if folder is None:
        raise InvalidInput(
            "This project opens no folder for jobs; set jobs.inputs in quorate.yaml, or send the rows as the body.",
            path="input",
        )
    base = (home.root / folder).resolve()
    wrong = InvalidInput(f"There is no file '{given[:200]}' in the folder of jobs ({folder}).", path="input")
    if "\0" in given or Path(given).is_absolute():
        raise wrong
    try:
        found = (base / given).resolve(strict=True)
        status = found.stat()
    except (OSError, RuntimeError):
        raise wrong from None
    secret = home.state.resolve()
    root = home.root.resolve()
    allowed = found.is_relative_to(base) and base.is_relative_to(root) and not found.is_relative_to(secret)
    if not allowed or not stat.S_ISREG(status.st_mode):
        raise wrong
    if status.st_size > limit:
        raise TooLarge(
            f"The input has {status.st_size} bytes; at most {limit} (limits.batch_bytes) are taken.", path="input"
        )
    return found
