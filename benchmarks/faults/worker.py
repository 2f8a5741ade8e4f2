"""A real worker whose journal's disk obeys its standard input: ``stall``, ``full``, ``fail``, ``well``, a word a line.

The worker is the one of ``quorate serve``, started as the supervisor starts it; only the files of its segments are made
by a :class:`~quorate.testing.disk.FaultyDisk`. Every word is answered by the same word on standard output.
"""

from __future__ import annotations

import errno
import sys
import threading

from quorate.app import main
from quorate.serving.journal import Journal
from quorate.testing.disk import FaultyDisk


def _obey(disk: FaultyDisk) -> None:
    for line in sys.stdin:
        word = line.strip()
        disk.space = 0 if word == "full" else None
        disk.error = errno.EIO if word == "fail" else 0
        if word == "stall":
            disk.flow.clear()
        else:
            disk.flow.set()
        print(word, flush=True)


if __name__ == "__main__":
    disk = FaultyDisk()
    defaults = Journal.__init__.__kwdefaults__
    if not defaults or "create" not in defaults:
        raise SystemExit("Journal takes no 'create' any more; this driver needs another way in.")
    defaults["create"] = disk.create
    threading.Thread(target=_obey, args=(disk,), daemon=True).start()
    main(["worker", *sys.argv[1:]])
