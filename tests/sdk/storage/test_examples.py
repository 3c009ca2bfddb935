"""The examples of storage run as written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from storage_accounts import Account

pytestmark = pytest.mark.timeout(180)
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def run(name: str, account: Account, *arguments: str) -> str:
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, env=account.environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_store_and_fetch(payer: Account, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(300_000))
    payer.release()
    said = run("store_and_fetch.py", payer, str(file))
    assert "cap bh1" in said
    assert "full: 10 of 10 shards" in said


def test_pay_per_read(account: Callable[..., Account]) -> None:
    publisher, reader = account(), account(hole="0", wallet="3")
    publisher.release()
    reader.release()
    said = run("pay_per_read.py", publisher, str(publisher.key_file), str(reader.key_file))
    assert "lanes opened: 3" in said
    assert "lanes opened: 0" in said
