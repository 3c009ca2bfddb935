"""A disk that takes no more: the command says so, nothing is lost or left, and the same command goes on.

The limit on file size (`ulimit -f`) stands for the disk: every user may set it, and the system refuses with it at any
write, in the middle of one too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from blackhole.storage.lane_book import MIB
from storage_accounts import Account

pytestmark = pytest.mark.timeout(180)

LIMITED = """
import resource, sys
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), hard))
from blackhole.cli.app import main
main(sys.argv[2:])
"""


def limited(account: Account, most: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command whose files may have `most` bytes."""
    account.release()
    line = [sys.executable, "-c", LIMITED, str(most), "--json", "--yes", *arguments]
    return subprocess.run(line, env=account.environment, capture_output=True, text=True, timeout=120, check=False)


def refused(done: subprocess.CompletedProcess[str]) -> None:
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (9, "disk_full"), done.stdout + done.stderr
    assert "ulimit -f" in error["hint"]
    assert "Traceback" not in done.stderr


def test_a_put_stops_at_each_file_it_writes_and_goes_on(payer: Account, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(3 * MIB))
    arguments = ("storage", "put", str(file), "--profile", "dev", "--periods", "20")
    before = payer.client.escrow.balance()
    # The journal, the spool of the ciphertext, the file of all shards: each is once the first that is too long.
    for most in (200, 2 * MIB, 4 * MIB):
        refused(limited(payer, most, *arguments))
    assert payer.client.escrow.balance() == before
    stored = json.loads(limited(payer, 2**40, *arguments).stdout)
    assert stored["resumed"]
    assert before - payer.client.escrow.balance() == int(stored["cost_wei"])
    assert payer.client.storage.get(stored["cap"]).data == file.read_bytes()
    assert list((payer.home / "journals").glob("put-*")) == []
    assert list((payer.home / "spool").iterdir()) == []


def test_a_get_leaves_no_part_of_a_file(payer: Account, tmp_path: Path) -> None:
    data = os.urandom(3 * MIB)
    cap = payer.client.storage.put(data, profile="dev", periods=20).cap
    refused(limited(payer, MIB, "storage", "get", cap, "-o", str(tmp_path / "out")))
    assert not any("out" in path.name for path in tmp_path.iterdir())
    # No lane may be signed on that could not be written down: nothing is read, nothing is owed.
    refused(limited(payer, 100, "storage", "get", cap, "-o", str(tmp_path / "out")))
    done = limited(payer, 2**40, "storage", "get", cap, "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "out").read_bytes() == data
