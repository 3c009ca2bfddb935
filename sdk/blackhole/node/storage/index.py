"""The index of what a node stores: pieces, which blocks they share, which agreements hold them. SQLite, one file.

The index can always be made again: piece files and piece lists say the same and carry their own hashes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from blackhole.errors import DiskError, DiskFull

SCHEMA = 1

_TABLES = """
CREATE TABLE pieces (root BLOB PRIMARY KEY, leaves INTEGER NOT NULL, length INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE blocks (digest BLOB NOT NULL, root BLOB NOT NULL, PRIMARY KEY (digest, root)) WITHOUT ROWID;
CREATE TABLE holds (root BLOB NOT NULL, agreement BLOB NOT NULL, PRIMARY KEY (root, agreement)) WITHOUT ROWID;
CREATE INDEX blocks_of ON blocks (root);
CREATE INDEX holds_of ON holds (agreement);
"""


class DamagedIndex(Exception):
    """The file is no index of this schema, or SQLite finds it damaged: make it again."""


def index_error(error: sqlite3.Error, path: Path) -> DiskError:
    """What SQLite says of the index, as DiskFull or DiskError."""
    if _primary(error) == sqlite3.SQLITE_FULL:
        return DiskFull(f"No space is left for {path}.", data={"path": str(path)})
    return DiskError(f"The index {path} cannot be used: {error}.", data={"path": str(path)})


def _primary(error: sqlite3.Error) -> int:
    """The primary result code, without what SQLite adds above it."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


class Totals(NamedTuple):
    """Pieces and bytes stored."""

    pieces: int
    bytes: int


class PieceIndex:
    """Not thread-safe: its owner calls it from one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open or make the index. Raises DamagedIndex; sqlite3.Error when the disk is what fails."""
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            # WAL with FULL: a commit is on the disk, and readers of other processes do not block it.
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute("PRAGMA cache_size=-2048")
            if version == 0:
                self._connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version={SCHEMA}; COMMIT;")
                self.fresh = True
            elif version == SCHEMA:
                if self._connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                    raise DamagedIndex("quick_check found damage")
                self.fresh = False
            else:
                raise DamagedIndex(f"schema {version}")
        except sqlite3.DatabaseError as error:
            self._connection.close()
            # A full disk damages nothing: the index stays.
            if _primary(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
                raise DamagedIndex(str(error)) from error
            raise
        except DamagedIndex:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def add(self, root: bytes, leaves: int, length: int, digests: Iterable[bytes]) -> None:
        """Enter a piece; one that is known stays as it is."""
        with self._transaction():
            self._connection.execute("INSERT OR IGNORE INTO pieces VALUES (?, ?, ?)", (root, leaves, length))
            self._connection.executemany("INSERT OR IGNORE INTO blocks VALUES (?, ?)", ((d, root) for d in digests))

    def remove(self, root: bytes) -> list[bytes]:
        """Forget a piece; the digests of the blocks no other piece has."""
        with self._transaction():
            own = [
                row[0]
                for row in self._connection.execute(
                    "SELECT digest FROM blocks AS own WHERE root = ? AND NOT EXISTS"
                    " (SELECT 1 FROM blocks WHERE digest = own.digest AND root <> own.root)",
                    (root,),
                )
            ]
            self._connection.execute("DELETE FROM blocks WHERE root = ?", (root,))
            self._connection.execute("DELETE FROM holds WHERE root = ?", (root,))
            self._connection.execute("DELETE FROM pieces WHERE root = ?", (root,))
        return own

    def known(self, roots: Iterable[bytes]) -> set[bytes]:
        """Which of these pieces are stored."""
        find = "SELECT 1 FROM pieces WHERE root = ?"
        return {root for root in roots if self._connection.execute(find, (root,)).fetchone()}

    def hold(self, agreement: bytes, roots: Iterable[bytes]) -> list[bytes]:
        """These pieces, and only these, are held by `agreement`; the pieces nothing holds any more."""
        wanted = set(roots)
        with self._transaction():
            rows = self._connection.execute("SELECT root FROM holds WHERE agreement = ?", (agreement,))
            held = {row[0] for row in rows}
            gone = held - wanted
            self._connection.executemany(
                "DELETE FROM holds WHERE root = ? AND agreement = ?", ((r, agreement) for r in gone)
            )
            self._connection.executemany("INSERT INTO holds VALUES (?, ?)", ((r, agreement) for r in wanted - held))
        find = "SELECT 1 FROM holds WHERE root = ? LIMIT 1"
        return [root for root in gone if not self._connection.execute(find, (root,)).fetchone()]

    def holders(self, root: bytes) -> list[bytes]:
        """The agreements that hold a piece."""
        return [row[0] for row in self._connection.execute("SELECT agreement FROM holds WHERE root = ?", (root,))]

    def agreements(self) -> set[bytes]:
        """Every agreement that holds a piece."""
        return {row[0] for row in self._connection.execute("SELECT DISTINCT agreement FROM holds")}

    def unheld(self) -> Iterator[bytes]:
        """The pieces no agreement holds."""
        find = "SELECT root FROM pieces WHERE NOT EXISTS (SELECT 1 FROM holds WHERE holds.root = pieces.root)"
        return iter([row[0] for row in self._connection.execute(find)])

    def totals(self) -> Totals:
        """Counts over everything."""
        count, length = self._connection.execute("SELECT COUNT(*), COALESCE(SUM(length), 0) FROM pieces").fetchone()
        return Totals(count, length)

    def _transaction(self) -> _Transaction:
        return _Transaction(self._connection)


class _Transaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._connection.execute("COMMIT")
        finally:
            # Whatever failed, also the commit itself, leaves nothing half done that the next one would trip over.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
