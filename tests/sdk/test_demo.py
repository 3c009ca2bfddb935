"""The demo as its user runs it, on 5 MiB and a byte, judged by the report it leaves."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BYTES = 5 * 2**20 + 1
NODES = 18
KILL = 3


def demo(folder: Path, *arguments: str, timeout: float = 580) -> subprocess.CompletedProcess[str]:
    """Run the demo with a run folder of its own."""
    environment = {**os.environ, "BLACKHOLE_DEVNET": str(folder / "run")}
    return subprocess.run(
        [sys.executable, "-m", "blackhole.devnet.demo", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("demo")
    file = folder / "holiday video.mp4"
    file.write_bytes(secrets.token_bytes(BYTES))
    report = folder / "report.json"
    done = demo(folder, "--file", str(file), "--nodes", str(NODES), "--kill", str(KILL), "--json", str(report))
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return json.loads(report.read_text()), done, folder


def test_every_claim_holds(outcome: tuple[dict[str, Any], subprocess.CompletedProcess[str], Path]) -> None:
    report, _, _ = outcome
    assert report["ok"] is True
    assert report["checks"]
    assert [check["name"] for check in report["checks"] if not check["ok"]] == []


def test_the_file_came_back(outcome: tuple[dict[str, Any], subprocess.CompletedProcess[str], Path]) -> None:
    report, _, folder = outcome
    expected = hashlib.sha256((folder / "holiday video.mp4").read_bytes()).hexdigest()
    assert report["file"] == {"bytes": BYTES, "sha256_in": expected, "sha256_out": expected}


def test_the_report_has_its_shape(outcome: tuple[dict[str, Any], subprocess.CompletedProcess[str], Path]) -> None:
    report, _, _ = outcome
    assert len(report["nodes"]) == NODES
    for node in report["nodes"]:
        assert set(node) == {
            "id", "pid", "pid_restarted", "endpoint", "earned_wei", "slashed_wei", "killed", "cheated"
        }  # fmt: skip
        assert node["earned_wei"].isdecimal()
        assert node["slashed_wei"].isdecimal()
    for step in report["steps"]:
        assert set(step) == {"name", "seconds", "bytes", "transactions", "gas"}
    assert 0 < int(report["spent_wei"]) <= int(report["quote_wei"]) * 2
    assert sum(step["transactions"] for step in report["steps"]) > 50


def test_the_tables_are_printed(outcome: tuple[dict[str, Any], subprocess.CompletedProcess[str], Path]) -> None:
    report, done, _ = outcome
    for text in ("what it did", "seconds", "quoted", report["file"]["sha256_out"]):
        assert text in done.stdout


def test_nothing_is_left(outcome: tuple[dict[str, Any], subprocess.CompletedProcess[str], Path]) -> None:
    _, _, folder = outcome
    assert not (folder / "run").exists()
    marked = [
        entry
        for entry in os.listdir("/proc")
        if entry.isdigit() and str(folder).encode() in _read(Path(f"/proc/{entry}/environ"))
    ]
    assert [entry for entry in marked if int(entry) != os.getpid()] == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_too_few_nodes_are_refused_at_once_with_the_number_needed(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = demo(tmp_path, "--nodes", "9", "--json", str(report), timeout=30)
    assert done.returncode == 2
    assert "16 nodes are needed, not 9" in done.stderr
    written = json.loads(report.read_text())
    assert written["ok"] is False
    assert written["error"]["data"] == {"nodes_needed": 16}
    assert not (tmp_path / "run").exists()


def test_a_report_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    done = demo(tmp_path, "--json", str(tmp_path), timeout=30)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    done = demo(tmp_path, "--file", str(tmp_path / "missing"), timeout=30)
    assert done.returncode == 2
    assert "missing" in done.stderr
