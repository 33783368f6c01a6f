"""The action cache: which key gave which digest, and what each recipe used last. What the bytes are is not its concern.

Every operation opens the database anew. That costs a fraction of a millisecond and makes forks, threads and kills
harmless.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrow.errors import StageError
from regrow.store.digest import canonical_json
from regrow.store.faults import disk_error
from regrow.store.locks import locked, require_byte_locks
from regrow.store.places import writable

_SCHEMA = 1
_TABLES = """
CREATE TABLE actions (key TEXT PRIMARY KEY, digest TEXT NOT NULL, used REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX actions_digest ON actions (digest);
CREATE TABLE keys (
    key TEXT PRIMARY KEY, stage TEXT NOT NULL, kind TEXT NOT NULL, ingredients TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE roots (
    scope TEXT, stage TEXT, key TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (scope, stage)
) WITHOUT ROWID;
"""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LEAST_ROOM = 1 << 20
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
_LOCKING = frozenset(
    sqlite3.SQLITE_IOERR | kind << 8 for kind in (8, 9, 14, 15, 18, 20, 21)
)  # to unlock, to lock for reading, to look for a lock, to lock, and to open, lock and map what is shared
_MODES = slice(18, 20)
"""Where the header of a database says how it is written and read, and what it says without a log."""
_NO_WAL = b"\x01\x01"
_AS_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_IOERR: errno.EIO,
}


@dataclass(frozen=True)
class Use:
    """How the store got an artifact: the stage and kind that made it, and when it was last asked for."""

    digest: str
    stage: str
    kind: str
    used: float


class Records:
    """What an action cache says, to those who only read: nothing is made or mended. A missing one says nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def digest(self, key: str) -> str | None:
        """The digest recorded for ``key``."""
        rows = self._rows("SELECT digest FROM actions WHERE key = ?", key)
        return rows[0][0] if rows else None

    def last_ingredients(self, scope: str, stage: str) -> dict[str, Any] | None:
        """The ingredients of the stage when it was last evaluated in the scope."""
        query = "SELECT ingredients FROM roots JOIN keys USING (key) WHERE scope = ? AND roots.stage = ?"
        rows = self._rows(query, scope, stage)
        return json.loads(rows[0][0]) if rows else None

    def roots(self) -> dict[str, set[str]]:
        """Digest -> the scopes that use it."""
        found: dict[str, set[str]] = {}
        for digest, scope in self._rows("SELECT digest, scope FROM roots"):
            found.setdefault(digest, set()).add(scope)
        return found

    def uses(self) -> dict[str, Use]:
        """Digest -> its last use."""
        query = "SELECT digest, stage, kind, used FROM actions JOIN keys USING (key) ORDER BY used"
        return {row[0]: Use(*row) for row in self._rows(query)}

    def _rows(self, query: str, *values: str) -> list[Any]:
        if not os.path.lexists(self.path):
            return []
        with self._open() as database:
            return database.execute(query, values).fetchall() if self._version(database) else []

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(self._connected()) as database:
                yield database
        except sqlite3.Error as error:
            raise self._plain(error) from error

    def _connected(self) -> sqlite3.Connection:
        """A copy, which needs no room, locks or permission, unless there is a log to take in first, left by a kill."""
        log = self.path.with_name(f"{self.path.name}-wal")
        if log.exists() and log.stat().st_size and writable(log) and writable(self.path):
            return sqlite3.connect(self.path, timeout=60, isolation_level=None)
        return _copied(_unmoved(self.path))

    def _version(self, database: sqlite3.Connection) -> int:
        """The format, 0 where nothing was recorded yet. One that we do not know is an error."""
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in (0, _SCHEMA):
            raise StageError(
                f"the store is of format {version}, and this regrow knows format {_SCHEMA}",
                where=str(self.path.parent),
                hint="set REGROW_STORE to another directory, or use the regrow that made this one",
            )
        return int(version)

    def _plain(self, error: sqlite3.Error) -> StageError:
        where = str(self.path)
        if _code(error) in _DAMAGED:
            hint = "`regrow build` sets it aside and makes another"
            return StageError("the action cache is damaged", where=where, why=str(error), hint=hint)
        if _code(error) in _BUSY:
            return StageError(
                "the action cache stays locked",
                where=where,
                why=str(error),
                hint="wait for the other `regrow`, or end it; if there is none, set REGROW_STORE to a local disk",
            )
        plain = disk_error(self._cause(error), where)
        return plain or StageError("the action cache cannot be used", where=where, why=str(error))

    def _cause(self, error: sqlite3.Error) -> OSError:
        """What the system may have said, of which SQLite tells little."""
        number = _AS_ERRNO.get(_code(error), 0)
        if number == errno.EIO and shutil.disk_usage(self.path.parent).free < _LEAST_ROOM:
            number = errno.ENOSPC  # SQLite calls it a fault if there is no room for its shared memory
        elif number == errno.EIO and getattr(error, "sqlite_errorcode", 0) in _LOCKING:
            number = errno.ENOLCK
        elif number == errno.EACCES:
            try:
                self.path.open("r+b").close()
            except OSError as said:
                return said
        return OSError(number, str(error), str(self.path))


class Actions(Records):
    """A SQLite database in write-ahead mode where the disk can do that, made where it is missing.

    One that is damaged beyond reading is moved to quarantine and replaced: at worst some work is done again.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.replaced = False
        locks = path.parent / "locks"
        require_byte_locks(locks)
        with locked(locks / "actions"):
            self._prepare()

    def record(self, key: str, digest: str, stage: str, kind: str, ingredients: Mapping[str, Any]) -> None:
        """Note that the stage with these ingredients gave this digest."""
        text = canonical_json(ingredients).decode()
        with self._transaction() as database:
            database.execute("INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?)", (key, stage, kind, text))
            database.execute("INSERT OR REPLACE INTO actions VALUES (?, ?, ?)", (key, digest, time.time()))

    def forget(self, digest: str) -> None:
        """No key gives this digest any longer."""
        with self._transaction() as database:
            database.execute("DELETE FROM actions WHERE digest = ?", (digest,))

    def record_root(self, scope: str, stages: Mapping[str, tuple[str, str]], complete: bool) -> None:
        """Note the key and digest that a scope uses for each of ``stages``; if ``complete``, it uses no others."""
        with self._transaction() as database:
            if complete:
                database.execute("DELETE FROM roots WHERE scope = ?", (scope,))
            for stage, (key, digest) in stages.items():
                database.execute("INSERT OR REPLACE INTO roots VALUES (?, ?, ?, ?)", (scope, stage, key, digest))
                database.execute("UPDATE actions SET used = ? WHERE key = ?", (time.time(), key))

    def forget_root(self, scope: str) -> None:
        """The scope uses nothing any longer."""
        with self._transaction() as database:
            database.execute("DELETE FROM roots WHERE scope = ?", (scope,))

    def tidy(self) -> None:
        """Drop ingredients that neither an action nor a root refers to."""
        with self._transaction() as database:
            database.execute("DELETE FROM keys WHERE key NOT IN (SELECT key FROM actions UNION SELECT key FROM roots)")

    def _connected(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=60, isolation_level=None)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._open() as database:
            database.execute("PRAGMA synchronous = FULL")  # a record that a power cut loses may cost days
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")  # on the way out with an error, closing rolls back

    def _prepare(self) -> None:
        """Make the tables where there are none, or none that can be read. The caller holds a lock."""
        if self.path.exists() and self._damaged():
            self.replaced = True
            aside = self.path.parent / "quarantine" / f"actions-{secrets.token_hex(4)}"
            aside.mkdir()
            for path in self.path.parent.glob(f"{self.path.name}*"):
                shutil.move(path, aside / path.name)  # which may be another disk
        with self._open() as database:
            if self._version(database) == 0:
                with suppress(sqlite3.OperationalError):  # not all disks give the memory to share that it needs
                    database.execute("PRAGMA journal_mode = WAL")
                database.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {_SCHEMA}; COMMIT;")

    def _damaged(self) -> bool:
        try:
            with closing(sqlite3.connect(self.path, timeout=60)) as database:
                return bool(database.execute("PRAGMA quick_check").fetchone()[0] != "ok")
        except sqlite3.Error as error:
            if _code(error) in _DAMAGED:
                return True
            raise self._plain(error) from error


def _unmoved(path: Path) -> bytes:
    """The bytes of a file that nobody was writing to meanwhile."""
    while True:
        before = path.stat()
        data = path.read_bytes()
        if (after := path.stat()).st_mtime_ns == before.st_mtime_ns and after.st_size == len(data):
            return data


def _copied(data: bytes) -> sqlite3.Connection:
    """A database in memory from the bytes of a file: to open one in write-ahead mode, SQLite would write beside it."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    if len(data) > _MODES.stop:
        database.deserialize(data[: _MODES.start] + _NO_WAL + data[_MODES.stop :])
    return database


def _code(error: sqlite3.Error) -> int:
    """The primary result code: the low byte of the extended one."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
