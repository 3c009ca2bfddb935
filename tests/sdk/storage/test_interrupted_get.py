"""A get that is killed or stopped anywhere leaves no half of a file, and pays only for what came."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from blackhole.storage.lane_book import MIB
from blackhole.storage.types import StoredObject
from storage_accounts import Account

pytestmark = pytest.mark.timeout(180)

SIGNALLED = """
import os, signal, sys, threading
from blackhole.cli import output

number, at_end = int(sys.argv[1]), sys.argv[2] == "end"
plain, taken = output.Progress.__call__, threading.Event()

def interrupt(*_):
    taken.set()
    raise KeyboardInterrupt

def progress(self, done, total, rate, eta):
    plain(self, done, total, rate, eta)
    if (done == total if at_end else done) and not taken.is_set():
        os.kill(os.getpid(), number)
        taken.wait(30)  # the main thread has it before anything else is read

signal.signal(signal.SIGINT, interrupt)

output.Progress.__call__ = progress
from blackhole.cli.app import main
main(sys.argv[3:])
"""
"""The command line, with a signal to itself at the first bytes read or after the last."""


def run(account: Account, line: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    account.release()
    return subprocess.run(
        line, env=account.environment | environment, capture_output=True, text=True, timeout=120, check=False
    )


def get(stored: StoredObject, target: Path) -> list[str]:
    return ["--json", "storage", "get", stored.cap, "-o", str(target)]


def test_stopped_between_its_first_byte_and_its_last_it_leaves_no_file(payer: Account, tmp_path: Path) -> None:
    data = os.urandom(16 * MIB)
    stored = payer.client.storage.put(data, profile="dev", periods=20)
    target = tmp_path / "out"
    for number, moment in ((signal.SIGKILL, "begin"), (signal.SIGKILL, "end"), (signal.SIGINT, "begin")):
        stopped = run(payer, [sys.executable, "-c", SIGNALLED, str(int(number)), moment, *get(stored, target)])
        assert not target.exists()
        left = [path.name for path in tmp_path.iterdir() if path.name.startswith(".out.")]
        if number is signal.SIGKILL:
            assert stopped.returncode == -signal.SIGKILL, stopped.stdout + stopped.stderr
            assert len(left) == 1  # only of the last one: each removes what the one before left
        else:
            assert stopped.returncode == 130, stopped.stdout + stopped.stderr
            assert json.loads(stopped.stdout)["error"]["code"] == "interrupted"
            assert "Traceback" not in stopped.stderr
            assert left == []
    again = run(payer, [sys.executable, "-m", "blackhole.cli.app", *get(stored, target)])
    assert again.returncode == 0, again.stdout + again.stderr
    assert target.read_bytes() == data
    assert not any(path.name.startswith(".out.") for path in tmp_path.iterdir())
    # Whoever is killed knows the next time what it had promised: no lane was opened twice, none overpaid.
    lanes = payer.client.escrow.lanes()
    assert len(lanes) == len({lane.id.payee for lane in lanes})
