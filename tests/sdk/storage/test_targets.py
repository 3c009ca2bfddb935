"""Where `get` writes: a file appears whole or not at all, and what cannot be written is said."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from blackhole.errors import DiskError, DiskFull, InputError
from blackhole.storage.targets import FileTarget, StreamTarget

KILLED = """
import os, signal, sys
from pathlib import Path
from blackhole.storage.targets import FileTarget
target = FileTarget(Path(sys.argv[1]), overwrite=False)
target.write(b"half")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_file_appears_with_its_last_byte(tmp_path: Path) -> None:
    target = FileTarget(tmp_path / "out", overwrite=False)
    target.write(b"all ")
    target.write(b"of it")
    assert not (tmp_path / "out").exists()
    target.commit()
    target.abandon()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("out", b"all of it")]


def test_a_file_that_may_not_grow_leaves_nothing(tmp_path: Path, file_limit: Callable[[int | None], None]) -> None:
    target = FileTarget(tmp_path / "out", overwrite=False)
    file_limit(1000)
    with pytest.raises(DiskFull, match="out may not grow"):
        target.write(bytes(2000))
    target.abandon()
    assert list(tmp_path.iterdir()) == []


def test_a_name_taken_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = FileTarget(tmp_path / "out", overwrite=False)
    target.write(b"ours")
    (tmp_path / "out").write_bytes(b"theirs")
    with pytest.raises(InputError, match="exists already"):
        target.commit()
    target.abandon()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("out", b"theirs")]


def test_devices_pipes_and_folders_are_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "link", "folder"):
        with pytest.raises(InputError) as caught:
            FileTarget(tmp_path / name, overwrite=True)
        assert "-o" in caught.value.hint
    assert (tmp_path / "pipe").is_fifo()
    with pytest.raises(InputError, match=r"folder of .* does not exist"):
        FileTarget(tmp_path / "none" / "out", overwrite=True)


def test_what_a_killed_process_left_goes_with_the_next_and_nothing_else(tmp_path: Path) -> None:
    for name in ("out", "out*"):
        command = [sys.executable, "-c", KILLED, str(tmp_path / name)]
        assert subprocess.run(command, timeout=60, check=False).returncode < 0
    running = FileTarget(tmp_path / "out", overwrite=False)
    names = [path.name for path in tmp_path.iterdir()]
    assert len(names) == 2
    # Another process at the same file, alive, keeps its own.
    other = FileTarget(tmp_path / "out", overwrite=False)
    assert {path.name for path in tmp_path.iterdir()} > set(names)
    for target in (running, other):
        target.abandon()
    assert [path.name[:6] for path in tmp_path.iterdir()] == [".out*."]


def test_a_stream_that_takes_nothing_is_a_full_disk_and_a_gone_reader_a_broken_pipe() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(DiskFull, match="/dev/full"):
        StreamTarget(full).write(b"x")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as pipe, pytest.raises(BrokenPipeError):
        StreamTarget(pipe).write(b"x")
    with Path("/dev/null").open("rb", buffering=0) as unwritable, pytest.raises((DiskError, OSError)):
        StreamTarget(unwritable).write(b"x")
