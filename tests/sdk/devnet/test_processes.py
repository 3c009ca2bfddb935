"""Processes are found and ended by pid and start time, also by somebody who did not start them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from blackhole.devnet.processes import ProcessTable, boot_id, session_members, started_at

SLEEPER = "import time; time.sleep(60)"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]); {SLEEPER}"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); {SLEEPER}"


@pytest.fixture
def table(tmp_path: Path):  # type: ignore[no-untyped-def]
    table = ProcessTable(tmp_path / "processes.json", tmp_path)
    yield table
    table.end(list(table.records), grace=0)


def wait(condition, seconds: float = 60) -> None:  # type: ignore[no-untyped-def]
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "condition not met in time"
        time.sleep(0.01)


def test_a_process_is_recorded_before_start_returns(table: ProcessTable, tmp_path: Path) -> None:
    record = table.start("one", [sys.executable, "-c", SLEEPER], tmp_path / "one.log")
    row = json.loads((tmp_path / "processes.json").read_text())["processes"][0]
    assert (row["pid"], row["started"], row["boot"]) == (record.pid, started_at(record.pid), boot_id())
    assert record.alive()


def test_a_reused_pid_is_not_ours(table: ProcessTable, tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", SLEEPER], start_new_session=True)
    try:
        rows = [{"name": "old", "pid": stranger.pid, "started": 1, "boot": boot_id(), "log": "x"}]
        table.path.write_text(json.dumps({"schema": 1, "processes": rows}))
        found = ProcessTable.load(table.path, tmp_path)
        assert not found.records["old"].alive()
        assert found.end(["old"], grace=0.1) == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_process_of_an_earlier_boot_is_not_ours(table: ProcessTable, tmp_path: Path) -> None:
    record = table.start("one", [sys.executable, "-c", SLEEPER], tmp_path / "one.log")
    rows = json.loads(table.path.read_text())
    rows["processes"][0]["boot"] = "an-earlier-boot"
    table.path.write_text(json.dumps(rows))
    ProcessTable.load(table.path, tmp_path).end(["one"], grace=0)
    assert record.alive()


def test_kill_takes_the_whole_session(table: ProcessTable, tmp_path: Path) -> None:
    record = table.start("parent", [sys.executable, "-c", PARENT], tmp_path / "p.log")
    wait(lambda: len(session_members(record.pid)) == 2)
    table.kill("parent")
    wait(lambda: session_members(record.pid) == [])


def test_another_process_ends_what_a_crashed_one_left(table: ProcessTable, tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from blackhole.devnet.processes import ProcessTable\n"
        f"run = Path({str(tmp_path)!r}); table = ProcessTable(run / 'processes.json', run)\n"
        f"table.start('left', [sys.executable, '-c', {PARENT!r}], run / 'left.log'); print('started', flush=True)\n"
        "time.sleep(60)"
    )
    starter = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert starter.stdout is not None
    assert starter.stdout.readline() == b"started\n"
    starter.kill()
    starter.wait()
    starter.stdout.close()
    found = ProcessTable.load(table.path, tmp_path)
    pid = found.records["left"].pid
    wait(lambda: len(session_members(pid)) == 2)
    # The leader dies too: its child alone is left, and still found.
    os.kill(pid, signal.SIGKILL)
    wait(lambda: len(session_members(pid)) == 1)
    found.end(["left"], grace=0.1)
    assert session_members(pid) == []
    assert json.loads(table.path.read_text())["processes"] == []


def test_who_ignores_sigterm_is_killed_after_the_grace(table: ProcessTable, tmp_path: Path) -> None:
    log = tmp_path / "deaf.log"
    record = table.start("deaf", [sys.executable, "-c", DEAF], log)
    wait(lambda: "deaf" in log.read_text())
    assert table.end(["deaf"], grace=0.2) == ["deaf"]
    assert not record.alive()


def test_what_the_demo_starts_ends_with_the_demo(tmp_path: Path) -> None:
    child = f"from blackhole.devnet.demo.child import end_with_parent; end_with_parent(); {SLEEPER}"
    script = (
        f"import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', {child!r}], "
        "stdin=subprocess.PIPE, start_new_session=True); print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert started_at(pid) is not None
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait(lambda: started_at(pid) is None)


def test_a_torn_table_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "processes.json"
    path.write_text('{"schema": 1, "proc')
    assert ProcessTable.load(path, tmp_path).records == {}
