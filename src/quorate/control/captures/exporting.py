"""Exporting data sets: each is remembered before it is written, since an erasure has to say what it cannot reach.

Those asked for over HTTP are written by the control process below ``datasets``, one at a time, as a zip file each.
"""

from __future__ import annotations

import logging
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quorate.clock import Clock
from quorate.codecs import snapshot
from quorate.codecs.snapshot import JobSettings
from quorate.control.captures.datasets import Card, export
from quorate.errors import Conflict, NotFound, Overloaded, QuorateError
from quorate.home import Home
from quorate.store.audit import add_entry
from quorate.store.database import Database
from quorate.store.datasets import (
    DONE,
    FAILED,
    QUEUED,
    RUNNING,
    STATES,
    Exported,
    add_export,
    export_of,
    exports,
    remove_export,
    update_export,
)
from quorate.store.erasures import erasures
from quorate.store.revisions import newest_revision

log = logging.getLogger("quorate.control")

WAITING = 100
"""Data sets that may wait to be written."""
_DAY = 86_400.0


def write(
    home: Home,
    database: Database,
    clock: Clock,
    endpoint: str,
    out: Path,
    *,
    author: str,
    options: Mapping[str, Any],
    known: Exported | None = None,
) -> Card:
    """Write a data set to a folder as :func:`~quorate.control.captures.datasets.export` does; note what came of it.

    ``known`` is its entry, where it was asked for before.
    """
    made = known or Exported(
        secrets.token_hex(16), endpoint, str(out), options["form"], author, clock.now(), RUNNING, asked=options
    )
    with database.begin() as connection:
        if known is None:
            add_export(connection, made)
        else:
            update_export(connection, made.id, state=RUNNING)
    try:
        card = export(home, database, clock, endpoint, out, author=author, **options)
    except BaseException as error:
        with database.begin() as connection:
            update_export(connection, made.id, state=FAILED, error=str(error)[:1000], finished=clock.now())
        raise
    detail = {"to": made.place, "rows": card.rows, "digest": card.digest, **options}
    with database.begin() as connection:
        if known is None:
            update_export(connection, made.id, state=DONE, rows=card.rows, digest=card.digest, finished=clock.now())
        add_entry(connection, at=clock.now(), actor=author, action="data.export", subject=endpoint, detail=detail)
    return card


class DatasetDesk:
    """Data sets that control writes. Safe for threads; :meth:`work` is called by one of them."""

    def __init__(self, home: Home, database: Database, clock: Clock) -> None:
        self._home = home
        self._database = database
        self._clock = clock

    def submit(self, endpoint: str, options: Mapping[str, Any], *, author: str) -> Exported:
        """Have a data set written; :class:`NotFound` for an unknown endpoint, :class:`Overloaded` if too many wait."""
        with self._database.begin() as connection:
            if newest_revision(connection, endpoint) is None:
                raise NotFound(f"There is no endpoint '{endpoint[:64]}'; /v1/endpoints lists them.", path="endpoint")
            if len(exports(connection, states=(QUEUED,))) >= WAITING:
                raise Overloaded(f"{WAITING} data sets wait to be written already; retry later.", retry_after=60)
            id_ = secrets.token_hex(16)
            place = str(self.file(id_))
            made = Exported(
                id_, endpoint, place, options["form"], author, self._clock.now(), QUEUED, asked=dict(options)
            )
            add_export(connection, made)
        return made

    def file(self, export_id: str) -> Path:
        """Where a finished data set lies."""
        return self._home.datasets / f"{export_id}.zip"

    def get(self, export_id: str) -> Exported:
        """A data set; :class:`NotFound`."""
        with self._database.read() as connection:
            found = export_of(connection, export_id)
        if found is None:
            raise NotFound(f"There is no data set '{export_id[:64]}'; /v1/datasets lists them.", path="id")
        return found

    def list(self) -> list[Exported]:
        """The newest data sets, newest first."""
        with self._database.read() as connection:
            return exports(connection, states=STATES, limit=100)

    def result(self, export_id: str) -> Path:
        """The file of a data set that control has written; :class:`Conflict` where there is none."""
        made = self.get(export_id)
        path = self.file(export_id)
        if made.state != DONE or made.place != str(path) or not path.exists():
            raise Conflict(
                f"Data set {export_id} is {made.state}, and has no file here; only one that the control process has "
                "written has one, until it is deleted.",
                path="id",
            )
        return path

    def delete(self, export_id: str) -> Exported:
        """Delete the file of a data set, and forget it; what was written elsewhere stays there."""
        made = self.get(export_id)
        if made.state == RUNNING:
            raise Conflict(f"Data set {export_id} is being written; delete it when it is done.", path="id")
        self.file(export_id).unlink(missing_ok=True)
        with self._database.begin() as connection:
            remove_export(connection, export_id)
        return made

    def work(self) -> bool:
        """Write the oldest data set that waits, or was interrupted; forget old ones. False if none can be written now.

        While somebody is erased none is: it might hold what is taken out.
        """
        self._forget()
        with self._database.read() as connection:
            ours = exports(connection, states=(QUEUED, RUNNING))
        ours = [made for made in ours if made.place == str(self.file(made.id))]
        if not ours or self._erased_since(ours[-1].endpoint, self._clock.now() + _DAY):
            return False
        made = ours[-1]
        try:
            self._home.datasets.mkdir(parents=True, exist_ok=True)
            self._write(made)
        except (QuorateError, OSError) as error:
            log.error("Data set %s cannot be written: %s", made.id, error)
            self._change(made, state=FAILED, error=str(error)[:1000])
        finally:
            shutil.rmtree(self._home.datasets / made.id, ignore_errors=True)
            (self._home.datasets / f".{made.id}.zip").unlink(missing_ok=True)
        return True

    def _write(self, made: Exported) -> None:
        folder, began = self._home.datasets / made.id, self._clock.now()
        shutil.rmtree(folder, ignore_errors=True)
        parts = (self._home, self._database, self._clock, made.endpoint, folder)
        card = write(*parts, author=made.author, options=made.asked, known=made)
        packed = Path(shutil.make_archive(str(self._home.datasets / f".{made.id}"), "zip", folder))
        packed.replace(self.file(made.id))
        if self._erased_since(made.endpoint, began):
            self.file(made.id).unlink()  # it is written again at the next look
        else:
            self._change(made, state=DONE, rows=card.rows, digest=card.digest, error=None)

    def _change(self, made: Exported, **changes: Any) -> None:
        with self._database.begin() as connection:
            update_export(connection, made.id, finished=self._clock.now(), **changes)

    def _erased_since(self, endpoint: str, began: float) -> bool:
        """Whether somebody is being erased, or was since then."""
        with self._database.read() as connection:
            found = [one for one in erasures(connection, limit=1000) if one.endpoint == endpoint and not one.dry_run]
        return any(one.finished is None or one.finished >= began for one in found)

    def _forget(self) -> None:
        """Delete what is older than results of jobs are kept."""
        try:
            keep_days = snapshot.read(self._home.snapshot).jobs.keep_days
        except QuorateError:
            keep_days = JobSettings().keep_days
        oldest = self._clock.now() - keep_days * _DAY
        with self._database.read() as connection:
            ended = exports(connection, states=(DONE, FAILED))
        for made in ended:
            if made.place == str(self.file(made.id)) and (made.finished or made.created) < oldest:
                self.delete(made.id)
