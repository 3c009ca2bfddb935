"""Where Blackhole keeps its own files: `$BLACKHOLE_HOME`, else `~/.blackhole`. Folders are 0700, files 0600."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from blackhole.errors import DiskError

HOME_VARIABLE = "BLACKHOLE_HOME"


@contextmanager
def disk_errors(where: object) -> Iterator[None]:
    """What the system says of a file of ours, as DiskFull or DiskError naming `where`."""
    try:
        yield
    except OSError as error:
        raise DiskError.of(error, where) from error


def private_folder(path: Path) -> Path:
    """Make the folder and its parents if they are missing; it is readable by its owner only. Raises `DiskError`."""
    with disk_errors(path):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_mode & 0o077:
            path.chmod(0o700)
    return path


def open_private(path: str | os.PathLike[str], flags: int) -> int:
    """An opener for `open(…, opener=open_private)`: a file it creates is readable by its owner only."""
    return os.open(path, flags, 0o600)


def write_private(path: Path, content: bytes) -> None:
    """Replace a file as a whole: temporary name, fsync, rename, fsync of the folder. Raises `DiskError`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        try:
            with open(temporary, "wb", opener=open_private) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            with suppress(OSError):  # the folder itself may be what cannot be used
                temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename or a new name in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Home:
    """The folder of one user's keys, journals and caps. Its parts are made on first use."""

    root: Path

    @classmethod
    def locate(cls, root: str | os.PathLike[str] | None = None) -> Home:
        """`root` if given, else `$BLACKHOLE_HOME`, else `~/.blackhole`."""
        chosen = root or os.environ.get(HOME_VARIABLE) or Path.home() / ".blackhole"
        return cls(Path(chosen).expanduser().absolute())

    @property
    def keys(self) -> Path:
        """Keystores, one JSON file a key."""
        return self._part("keys")

    @property
    def journals(self) -> Path:
        """What was promised and not yet finished: signed transactions, interrupted uploads."""
        return self._part("journals")

    @property
    def objects(self) -> Path:
        """The encrypted list of own caps."""
        return self._part("objects")

    @property
    def config(self) -> Path:
        """The configuration file; it may be absent."""
        return private_folder(self.root) / "config.toml"

    def _part(self, name: str) -> Path:
        private_folder(self.root)
        return private_folder(self.root / name)
