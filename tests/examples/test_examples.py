"""Every example runs as its user would run it, all against one network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from blackhole.devnet.handle import Devnet

pytestmark = pytest.mark.timeout(300)
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(devnet: Devnet, home: Path, *command: str, key: str = "payer") -> str:
    """Run a command as the owner of a funded key and return what it says."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BLACKHOLE_")}
    environment |= {
        "BLACKHOLE_NETWORK": str(devnet.network),
        "BLACKHOLE_DEVNET": str(devnet.folder.path),
        "BLACKHOLE_KEY_FILE": str(devnet.key_file(key)),
        "BLACKHOLE_HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python(devnet: Devnet, home: Path, name: str, *arguments: str) -> str:
    return run(devnet, home, sys.executable, str(EXAMPLES / name), *arguments)


def test_every_example_has_a_test() -> None:
    tested = {"store_and_fetch.py", "pay_per_read.py", "sell_api_calls.py", "run_a_node.sh", "testing_plugin"}
    assert {path.name for path in EXAMPLES.iterdir() if path.name != "__pycache__"} == tested


def test_store_and_fetch(devnet: Devnet, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(300_000))
    said = python(devnet, tmp_path / "home", "store_and_fetch.py", str(file))
    assert "cap bh1" in said
    assert "full: 10 of 10 shards" in said


def test_pay_per_read(devnet: Devnet, tmp_path: Path) -> None:
    keys = [str(devnet.key_file(name)) for name in ("payer", "reader")]
    said = python(devnet, tmp_path / "home", "pay_per_read.py", *keys)
    assert "lanes opened: 3" in said
    assert "lanes opened: 0" in said


def test_sell_api_calls(devnet: Devnet, tmp_path: Path) -> None:
    keys = [str(devnet.key_file(name)) for name in ("payer", "reader")]
    said = python(devnet, tmp_path / "home", "sell_api_calls.py", *keys)
    assert "without a voucher: 402" in said
    assert "beyond the lane's money: 402" in said
    assert "40 calls, 10000 micro-HOLE signed, one transaction" in said


def test_run_a_node(devnet: Devnet, tmp_path: Path) -> None:
    said = run(devnet, tmp_path / "home", "bash", str(EXAMPLES / "run_a_node.sh"), str(tmp_path / "node"))
    assert "1000 HOLE: 0 HOLE reserved, 1000 HOLE free" in said
    assert "the agent has ended" in said


def test_an_application_tested_with_the_plugin(devnet: Devnet, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:ape_test", "-p", "no:cacheprovider"]
    folder = ["--blackhole-devnet", str(devnet.folder.path)]
    said = run(devnet, tmp_path / "home", *command, *folder, str(EXAMPLES / "testing_plugin"))
    assert "2 passed" in said
