"""Nodes of a devnet: real processes that are killed, started again, and found after a crash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from blackhole.devnet.handle import Devnet
from blackhole.devnet.processes import session_members
from blackhole.devnet.settings import DevnetSettings
from blackhole.errors import DevnetError
from leftovers import left, wait

MEMORY_BYTES = 150 * 2**20
"""What a node may hold at rest, all its processes."""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with Devnet.up(DevnetSettings(nodes=3, held=True), tmp_path_factory.mktemp("nodes") / "run") as devnet:
        yield devnet


def test_every_node_has_id_folder_owner_and_address_of_its_own(net: Devnet) -> None:
    nodes = net.nodes()
    assert [node.node for node in nodes] == [1, 2, 3]
    assert [node.folder.name for node in nodes] == ["1", "2", "3"]
    for field in ("owner", "signer", "endpoint", "pid"):
        assert len({getattr(node, field) for node in nodes}) == 3
    assert len({node.endpoint.split(":")[1].rpartition(".")[0] for node in nodes}) == 3
    assert not {node.owner for node in nodes} & {node.signer for node in nodes}


def test_a_node_at_rest_holds_little_memory(net: Devnet) -> None:
    memory = {row["node"]: row["memory_bytes"] for row in net.status()["nodes"]}
    assert all(0 < held <= MEMORY_BYTES for held in memory.values()), memory


def test_a_killed_node_is_gone_with_its_children_and_comes_back(net: Devnet) -> None:
    before = net.node(2).pid
    assert before is not None
    assert len(session_members(before)) == 2
    net.kill(2)
    assert net.node(2).pid is None
    wait(lambda: session_members(before) == [])
    with pytest.raises(DevnetError, match="does not run"):
        net.kill(2)
    after = net.start(2)
    assert after not in (None, before)
    assert net.node(2).pid == after
    with pytest.raises(DevnetError, match="runs already"):
        net.start(2)


def test_a_stopped_node_leaves_by_itself(net: Devnet) -> None:
    log = net.folder.log("node-3")
    net.stop(3)
    assert net.node(3).pid is None
    assert '"event": "stopped"' in log.read_text().splitlines()[-1]
    net.start(3)


def test_secrets_of_this_shell_do_not_reach_agents(net: Devnet) -> None:
    for node in net.nodes():
        assert node.pid is not None
        environment = Path(f"/proc/{node.pid}/environ").read_bytes().split(b"\0")
        names = {entry.partition(b"=")[0] for entry in environment}
        assert b"BLACKHOLE_KEY_FILE" not in names
        assert b"BLACKHOLE_KEY" not in names


def test_down_after_a_crash_finds_agents_and_their_children(tmp_path: Path) -> None:
    run = tmp_path / "run"
    net = Devnet.up(DevnetSettings(nodes=1), run)
    records = {row["name"]: row["pid"] for row in json.loads(net.folder.processes.read_text())["processes"]}
    os.kill(records["supervisor"], signal.SIGKILL)
    # The agent's leader dies as well: its plugin's process notices, or is found by its session.
    os.kill(records["node-1"], signal.SIGKILL)
    net.down()
    assert session_members(records["node-1"]) == []
    assert left(run) == []


def test_an_interrupted_demo_leaves_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    environment = {**os.environ, "BLACKHOLE_DEVNET": str(run)}
    report = tmp_path / "report.json"
    demo = subprocess.Popen(
        [sys.executable, "-m", "blackhole.devnet.demo", "--json", str(report)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    state = run / "devnet.json"
    wait(lambda: state.exists() and "nodes ready" in state.read_text(), 240)
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=120)
    assert demo.returncode == 130
    assert json.loads(report.read_text())["error"]["code"] == "interrupted"
    assert left(run) == []
    assert not run.exists()
