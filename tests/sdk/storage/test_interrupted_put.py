"""A put that is killed at any journalled step, or stopped by Ctrl-C, goes on with the same command and pays once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from agreements import changed, opened_by
from blackhole.journal import Journal
from blackhole.storage.lane_book import MIB
from blackhole.storage.put_journal import KIND, PutStep
from storage_accounts import Account

pytestmark = pytest.mark.timeout(180)

POINTS = [
    "started:1:before",
    "started:1",
    "salted:1:before",
    "salted:1",
    "encoded:1:before",
    "encoded:1:torn",
    "encoded:1",
    "placed:1",
    "staged:1",
    "staged:7",
    "sealed:1",
    "agreed:1",
    "agreed:10",
    "submitted:1",
    "opened:1:before",
    "opened:1",
    "listed:1:before",
    "listed:1",
]
JOIN_POINTS = ["joining:1:torn", "joining:10", "joined:1:before", "joined:10"]
"""Steps of a put whose shards join agreements that are there."""


def command(account: Account, *arguments: str) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", "blackhole.cli.app", "--json", "--yes", *arguments], account.environment


def blackhole(account: Account, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    account.release()
    line, base = command(account, *arguments)
    return subprocess.run(line, env=base | environment, capture_output=True, text=True, timeout=120, check=False)


def test_every_step_is_among_the_points() -> None:
    # Replaced and voided need a failing node or a late block; they have tests of their own.
    named = {PutStep(point.split(":")[0]) for point in POINTS + JOIN_POINTS}
    assert named == set(PutStep) - {PutStep.REPLACED, PutStep.VOIDED}


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_put_is_finished_by_the_same_command_and_paid_once(payer: Account, tmp_path: Path, point: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(MIB + 7))
    arguments = ("storage", "put", str(file), "--profile", "dev", "--periods", "20")
    before = payer.client.escrow.balance()
    killed = blackhole(payer, *arguments, BLACKHOLE_CRASH_AT=f"put:{point}")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = blackhole(payer, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    stored = json.loads(done.stdout)
    listed_before = point in {"listed:1"}
    agreements = opened_by(payer)
    if listed_before:
        # The first put was complete: what is left of it is cleared away, nothing is stored a second time.
        assert stored["resumed"]
    assert len(agreements) == 10
    assert len({event.node for event in agreements}) == 10
    assert before - payer.client.escrow.balance() == sum(event.terms.prepaid for event in agreements)
    assert payer.client.storage.get(stored["cap"]).data == file.read_bytes()
    assert len(payer.client.storage.ls()) == 1
    left = [path.name for path in (payer.home / "journals").glob("put-*.journal")]
    assert left == []
    assert list((payer.home / "spool").glob("*/*")) == []


@pytest.mark.parametrize("point", JOIN_POINTS)
def test_a_killed_put_that_joins_is_finished_and_paid_once(
    payer: Account, tmp_path: Path, point: str, killed: Callable[[int], None]
) -> None:
    data = os.urandom(10_000)
    first = payer.client.storage.put(data, profile="dev", periods=20, name="first")
    file = tmp_path / "file"
    file.write_bytes(os.urandom(MIB + 7))
    arguments = ("storage", "put", str(file), "--profile", "dev", "--periods", "20")
    before = payer.client.escrow.balance()
    stopped = blackhole(payer, *arguments, BLACKHOLE_CRASH_AT=f"put:{point}")
    assert stopped.returncode == -signal.SIGKILL, stopped.stderr
    if point.startswith("joined"):
        killed(first.nodes[0])  # it has its shard, and nobody else is paid for it
    done = blackhole(payer, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    stored = json.loads(done.stdout)
    assert stored["resumed"]
    assert stored["agreements"] == list(first.agreements)
    assert len(opened_by(payer)) == 10
    changes = [changed(payer, agreement) for agreement in first.agreements]
    assert [len(each) for each in changes] == [1] * 10
    paid = sum(change.change.prepaid for each in changes for change in each)
    assert before - payer.client.escrow.balance() == paid == int(stored["cost_wei"]) == int(stored["quote_wei"])
    assert payer.client.storage.get(stored["cap"]).data == file.read_bytes()
    assert payer.client.storage.get(first.cap).data == data
    assert list((payer.home / "journals").glob("put-*.journal")) == []


def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(payer: Account, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(24 * MIB))
    arguments = ("storage", "put", str(file), "--profile", "dev", "--periods", "20")
    # A background job of a shell ignores SIGINT and hands that on to what it starts.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        stopped = blackhole(payer, *arguments, BLACKHOLE_CRASH_AT="put:encoded:1:interrupt")
    finally:
        signal.signal(signal.SIGINT, inherited)
    assert stopped.returncode == 130, stopped.stdout + stopped.stderr
    assert json.loads(stopped.stdout)["error"]["code"] == "interrupted"
    done = blackhole(payer, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    stored = json.loads(done.stdout)
    assert stored["resumed"]
    assert len(opened_by(payer)) == 10
    assert payer.client.storage.get(stored["cap"]).data == file.read_bytes()


def test_a_changed_file_is_another_put(payer: Account, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(10_000))
    arguments = ("storage", "put", str(file), "--profile", "dev", "--periods", "20")
    assert blackhole(payer, *arguments, BLACKHOLE_CRASH_AT="put:encoded").returncode == -signal.SIGKILL
    file.write_bytes(os.urandom(10_001))
    stored = json.loads(blackhole(payer, *arguments).stdout)
    assert not stored["resumed"]
    assert payer.client.storage.get(stored["cap"]).data == file.read_bytes()


def test_a_salt_is_never_used_twice(payer: Account, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(10_000))
    arguments = ("storage", "put", str(file), "--profile", "dev", "--periods", "20")
    for _ in range(3):
        killed = blackhole(payer, *arguments, BLACKHOLE_CRASH_AT="put:salted")
        assert killed.returncode == -signal.SIGKILL
    journal = next((payer.home / "journals").glob("put-*.journal")).read_bytes()
    salts = [part.split(b'"')[0] for part in journal.split(b'"salt":"')[1:]]
    assert len(salts) == len(set(salts)) == 3


def test_two_processes_do_not_work_at_one_put(payer: Account, tmp_path: Path, account: Callable[..., Account]) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(16 * MIB))
    arguments = ("storage", "put", str(file), "--profile", "dev", "--periods", "20")
    line, environment = command(payer, *arguments)
    payer.release()
    first = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not any(
        b'"started"' in path.read_bytes() for path in (payer.home / "journals").glob("put-*.journal")
    ):
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)  # it holds the journal for as long as the second one needs
    try:
        second = blackhole(payer, *arguments)
    finally:
        first.send_signal(signal.SIGCONT)
    out, _ = first.communicate(timeout=120)
    assert first.returncode == 0, out
    assert second.returncode in {8, 9}, second.stdout
    assert json.loads(second.stdout)["error"]["code"] in {"journal_in_use", "key_in_use"}
    assert len(opened_by(payer)) == 10


def test_only_the_put_of_the_same_file_is_in_the_way(payer: Account, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(os.urandom(MIB))
    other.write_bytes(os.urandom(MIB + 1))
    blackhole(payer, "storage", "put", str(one), "--profile", "dev", BLACKHOLE_CRASH_AT="put:placed:1")
    (path,) = (payer.home / "journals").glob("put-*.journal")
    with Journal.open(path, KIND, PutStep):
        done = blackhole(payer, "storage", "put", str(other), "--profile", "dev")
        assert done.returncode == 0, done.stdout
        refused = blackhole(payer, "storage", "put", str(one), "--profile", "dev")
        assert (refused.returncode, json.loads(refused.stdout)["error"]["code"]) == (9, "journal_in_use")
    assert blackhole(payer, "storage", "put", str(one), "--profile", "dev").returncode == 0
    assert list((payer.home / "journals").glob("put-*")) == []
