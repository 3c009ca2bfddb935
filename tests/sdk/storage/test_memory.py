"""Peak memory as the processes themselves report it: a client that puts and gets 512 MiB, and the nodes meanwhile."""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
from pathlib import Path

import pytest
from blackhole.devnet.handle import Devnet
from blackhole.devnet.processes import session_members
from storage_accounts import Account

pytestmark = pytest.mark.timeout(300)
SIZE = 512 * 2**20
LIMIT = 256 * 1024
"""KiB."""

CLIENT = """
import sys
from blackhole.client import Blackhole
with Blackhole() as client:
    if sys.argv[1] == "put":
        print(client.storage.put(sys.argv[2], profile="dc", periods=5).cap)
    else:
        print(client.storage.get(sys.argv[2], sys.argv[3]).size)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def run(payer: Account, *arguments: str | Path) -> tuple[str, int]:
    """What a client process of the payer's printed, and its peak in KiB."""
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, *map(str, arguments)],
        env=payer.environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed, peak = done.stdout.split()
    return printed, int(peak)


def peak(pid: int) -> int:
    """KiB a running process has held at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def test_half_a_gibibyte_passes_through_little_memory(network: Devnet, payer: Account, tmp_path: Path) -> None:
    """10 of 14, the profile that stores least: every node of the network has a shard."""
    file, back = tmp_path / "file", tmp_path / "back"
    with file.open("wb") as out:  # zeros cost nothing to make, and become ciphertext like anything else
        for start in (0, SIZE // 2 - 1, SIZE - 2**20):
            out.seek(start)
            out.write(os.urandom(2**20))
    payer.release()
    cap, put = run(payer, "put", file)
    size, get = run(payer, "get", cap, back)
    assert int(size) == SIZE
    assert filecmp.cmp(file, back, shallow=False)
    back.unlink()
    payer.client.storage.remove(cap)
    agents = {node.node: node.pid for node in network.nodes() if node.pid is not None}
    nodes = {node: sum(peak(pid) for pid in session_members(agent)) for node, agent in agents.items()}
    print(f"peaks in MiB: put {put // 1024}, get {get // 1024}, a node {max(nodes.values()) // 1024}")
    assert put <= LIMIT
    assert get <= LIMIT
    assert len(nodes) == 14
    assert max(nodes.values()) <= LIMIT, nodes
