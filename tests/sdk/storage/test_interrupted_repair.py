"""A repair that is killed pays no shard twice and leaves no file behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from blackhole.storage.lane_book import MIB
from storage_accounts import Account

pytestmark = pytest.mark.timeout(180)


def repair(account: Account, cap: str, **environment: str) -> subprocess.CompletedProcess[str]:
    account.release()
    line = [sys.executable, "-m", "blackhole.cli.app", "--json", "--yes", "storage", "repair", cap]
    return subprocess.run(
        line, env=account.environment | environment, capture_output=True, text=True, timeout=120, check=False
    )


def spool(account: Account) -> list[Path]:
    return list((account.home / "spool").glob("repair-*"))


def test_killed_after_the_signature_of_the_new_deal_it_is_paid_once(payer: Account) -> None:
    stored = payer.client.storage.put(os.urandom(MIB), profile="dev", periods=20)
    read = payer.client.storage.get(stored.cap)  # lanes are open: all a repair has to sign is its deal
    lost = next(node for node in stored.nodes if node not in read.served)
    payer.client.storage.remove(stored.cap, nodes=[lost])
    killed = repair(payer, stored.cap, BLACKHOLE_CRASH_AT="transactions:signed:1")
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    assert len(spool(payer)) == 2  # the rebuilt shards and their lock
    done = repair(payer, stored.cap)
    assert done.returncode == 0, done.stdout + done.stderr
    # The deal the first one signed is sent and counts: the second finds nothing to do.
    done_by_it = json.loads(done.stdout)
    assert (done_by_it["restored"], done_by_it["cost_wei"]) == ([], "0")
    status = payer.client.storage.status(stored.cap)
    assert (status.state, status.healthy) == ("full", 10)
    assert spool(payer) == []
