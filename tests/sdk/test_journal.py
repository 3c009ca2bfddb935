"""The journal: what is acknowledged is found again, what was torn is not, and damage is never hidden."""

from __future__ import annotations

import calendar
import errno
import os
import signal
import struct
import subprocess
import sys
import textwrap
import time
import zlib
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import pytest
from blackhole.errors import DiskFull, JournalError, JournalInUse
from blackhole.journal import Journal, Record


class Step(StrEnum):
    SIGNED = "signed"
    SENT = "sent"


def reopen(path: Path) -> list[Record[Step]]:
    with Journal.open(path, "test", Step) as journal:
        return journal.records()


def test_records_come_back_in_order_with_their_fields(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.journal"
    with Journal.open(path, "test", Step) as journal:
        journal.append(Step.SIGNED, nonce=1, raw="0x02", wei="100000000000000000000")
        journal.append_many([Record(Step.SENT, {"nonce": 1}), Record(Step.SENT, {"nonce": 2})])
        assert [record.step for record in journal.records()] == [Step.SIGNED, Step.SENT, Step.SENT]
    found = reopen(path)
    assert found[0].fields == {"nonce": 1, "raw": "0x02", "wei": "100000000000000000000"}
    assert found[2]["nonce"] == 2
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_frames_are_length_and_crc_before_json(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with Journal.open(path, "test", Step) as journal:
        journal.append(Step.SIGNED, nonce=1)
    content = path.read_bytes()
    length, crc = struct.unpack(">II", content[:8])
    assert content[8 : 8 + length] == b'{"schema":1,"kind":"test"}'
    assert zlib.crc32(content[8 : 8 + length]) == crc
    assert content[16 + length :] == b'{"v":1,"step":"signed","nonce":1}'


def test_torn_end_is_cut_off_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with Journal.open(path, "test", Step) as journal:
        journal.append(Step.SIGNED, nonce=1)
        whole = path.read_bytes()
        journal.append_many([Record(Step.SENT, {"nonce": n}) for n in range(3)])
    content = path.read_bytes()
    for length in range(len(whole), len(content)):
        path.write_bytes(content[:length])
        assert [record.step for record in reopen(path)] == [Step.SIGNED]
        assert path.read_bytes() == whole
    path.write_bytes(whole + b"\0" * 5000)
    assert len(reopen(path)) == 1
    with Journal.open(path, "test", Step) as journal:
        journal.append(Step.SENT, nonce=9)
    assert [record["nonce"] for record in reopen(path)] == [1, 9]


def test_a_last_record_whose_blocks_were_never_written_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with Journal.open(path, "test", Step) as journal:
        journal.append(Step.SIGNED, nonce=1)
        start = path.stat().st_size
        journal.append(Step.SENT, nonce=1, raw="0x" + "ab" * 3000)
    content = path.read_bytes()
    for written in (start, start + 8, start + 2000, len(content) - 1):
        path.write_bytes(content[:written].ljust(len(content), b"\0"))
        assert [record.step for record in reopen(path)] == [Step.SIGNED]
        assert path.stat().st_size == start


def test_torn_header_is_written_again_but_a_foreign_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with Journal.open(path, "test", Step):
        pass
    header = path.read_bytes()
    for length in range(len(header)):
        path.write_bytes(header[:length])
        assert reopen(path) == []
        path.write_bytes(header[:length].ljust(len(header), b"\0"))
        assert reopen(path) == []
    for foreign in (b"#!/bin/sh\necho something else\n", bytes(len(header) + 1), header[:-1] + bytes(100)):
        path.write_bytes(foreign)
        for look in (reopen, lambda where: Journal.peek(where, "test", Step)):
            with pytest.raises(JournalError, match="not a journal"):
                look(path)
        assert path.read_bytes() == foreign


def test_damage_of_any_byte_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with Journal.open(path, "test", Step) as journal:
        for nonce in range(4):
            journal.append(Step.SIGNED, nonce=nonce)
    content = path.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        with pytest.raises(JournalError, match="damaged"):
            reopen(path)
        assert path.read_bytes() == damaged


def test_other_kind_newer_schema_and_unknown_step_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with Journal.open(path, "test", Step) as journal:
        journal.append(Step.SIGNED, nonce=1)
    with pytest.raises(JournalError, match="journal of 'test'"):
        Journal.open(path, "other", Step)

    class Fewer(StrEnum):
        SENT = "sent"

    with pytest.raises(JournalError, match="unknown step 'signed'"):
        Journal.open(path, "test", Fewer)
    payload = b'{"schema":2,"kind":"test"}'
    path.write_bytes(struct.pack(">II", len(payload), zlib.crc32(payload)) + payload)
    with pytest.raises(JournalError, match="newer version"):
        reopen(path)
    assert len(reopen(tmp_path / "b")) == 0


def test_second_holder_is_told_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with Journal.open(path, "test", Step):
        with pytest.raises(JournalInUse) as caught:
            Journal.open(path, "test", Step)
        assert caught.value.holder == os.getpid()
        code = f"from tests_step import *; Journal.open({str(path)!r}, 'test', Step)"
        (tmp_path / "tests_step.py").write_text(STEP)
        result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert f"in use by process {os.getpid()} (since {caught.value.since})" in result.stderr
        assert caught.value.since is not None
        assert 0 <= time.time() - calendar.timegm(time.strptime(caught.value.since, "%Y-%m-%dT%H:%M:%SZ")) < 600
    assert reopen(path) == []


def test_a_held_journal_can_be_peeked_at_and_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert Journal.peek(path, "test", Step) == []
    assert not path.exists()
    with Journal.open(path, "test", Step) as journal:
        journal.append(Step.SIGNED, nonce=1)
        torn = path.read_bytes() + b"\0\0\0\x40half"
        path.write_bytes(torn)
        assert [record["nonce"] for record in Journal.peek(path, "test", Step)] == [1]
        assert path.read_bytes() == torn
    with pytest.raises(JournalError, match="not of 'other'"):
        Journal.peek(path, "other", Step)


def test_a_removed_journal_leaves_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "journals"
    journal = Journal.open(folder / "a", "test", Step)
    journal.append(Step.SIGNED, nonce=1)
    journal.remove()
    assert list(folder.iterdir()) == []
    assert reopen(folder / "a") == []


def test_a_forked_child_cannot_write_into_its_parents_journal(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with Journal.open(path, "test", Step) as journal:
        child = os.fork()
        if child == 0:
            try:
                journal.append(Step.SENT)
            except JournalError:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        journal.append(Step.SIGNED)
    assert [record.step for record in reopen(path)] == [Step.SIGNED]


def test_a_forked_child_does_not_keep_the_lock_after_its_parents_death(tmp_path: Path) -> None:
    path = tmp_path / "a"
    (tmp_path / "tests_step.py").write_text(STEP)
    code = f"""
from tests_step import *
import os, sys
journal = Journal.open({str(path)!r}, "test", Step)
if os.fork() == 0:
    print("forked", flush=True)
    sys.stdin.read()
    os._exit(0)
os._exit(0)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    with parent:
        assert parent.stdout.readline() == "forked\n"
        assert parent.wait(timeout=60) == 0
        assert reopen(path) == []  # while the child lives
        parent.stdin.close()


def test_compact_replaces_the_records(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with Journal.open(path, "test", Step) as journal:
        for nonce in range(100):
            journal.append_many([Record(Step.SIGNED, {"nonce": nonce})])
        before = path.stat().st_size
        journal.compact(journal.records()[-2:])
        assert path.stat().st_size < before / 10
        journal.append(Step.SENT, nonce=100)
    assert [record["nonce"] for record in reopen(path)] == [98, 99, 100]
    assert {file.name for file in tmp_path.iterdir()} == {"a", "a.lock"}


def test_full_disk_leaves_the_journal_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    with Journal.open(path, "test", Step) as journal:
        journal.append(Step.SIGNED, nonce=1)
        whole = path.read_bytes()
        real = os.pwrite

        def partly(descriptor: int, data: bytes, offset: int) -> int:
            if len(data) < 10:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(descriptor, data[: len(data) // 2], offset)

        monkeypatch.setattr(os, "pwrite", partly)
        with pytest.raises(DiskFull):
            journal.append(Step.SENT, nonce=1)
        monkeypatch.undo()
        assert path.read_bytes() == whole
        journal.append(Step.SENT, nonce=2)
    assert [record["nonce"] for record in reopen(path)] == [1, 2]


def test_a_journal_that_cannot_begin_leaves_no_file(tmp_path: Path, file_limit: Callable[[int | None], None]) -> None:
    folder = tmp_path / "journals"
    for most in (0, 20):
        file_limit(most)
        with pytest.raises(DiskFull):
            Journal.open(folder / "a", "test", Step)
        file_limit(None)
        assert list(folder.iterdir()) == []
    with Journal.open(folder / "a", "test", Step) as journal:
        file_limit((folder / "a").stat().st_size + 10)
        with pytest.raises(DiskFull):
            journal.append(Step.SIGNED, nonce=1)
        file_limit(None)
        journal.append(Step.SENT, nonce=2)
    assert [record["nonce"] for record in reopen(folder / "a")] == [2]


STEP = textwrap.dedent("""
    from enum import StrEnum
    from blackhole.journal import Journal, Record
    class Step(StrEnum):
        SIGNED = "signed"
        SENT = "sent"
""")


@pytest.mark.parametrize(
    ("point", "found"),
    [
        ("test:sent", ["signed", "sent"]),
        ("test:sent:before", ["signed"]),
        ("test:sent:torn", ["signed"]),
        ("test:sent:2", ["signed", "sent", "signed", "sent"]),
        ("test:sent:2:torn", ["signed", "sent", "signed"]),
    ],
)
def test_crash_point_kills_at_the_named_step(tmp_path: Path, point: str, found: list[str]) -> None:
    path = tmp_path / "a"
    code = STEP + textwrap.dedent(f"""
        journal = Journal.open({str(path)!r}, "test", Step)
        for nonce in range(5):
            journal.append(Step.SIGNED, nonce=nonce)
            journal.append(Step.SENT, nonce=nonce)
    """)
    environment = {**os.environ, "BLACKHOLE_CRASH_AT": point}
    result = subprocess.run([sys.executable, "-c", code], env=environment, timeout=60)
    assert result.returncode == -signal.SIGKILL
    assert [str(record.step) for record in reopen(path)] == found
