"""Profile std (20 of 40) end to end on 44 nodes: too much for every `make test`; `make std` runs it."""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from blackhole.chain.signers import load_key_file
from blackhole.client import Blackhole
from blackhole.devnet.handle import Devnet
from blackhole.devnet.settings import DevnetSettings
from blackhole.errors import NotEnoughShards

pytestmark = pytest.mark.timeout(900)
NODES = 44
"""As many as std stores on, and four in reserve."""
SIZE = 50 * 2**20 + 7
LARGE = 192 * 2**20
LIMIT = 256 * 1024
"""KiB."""
CLIENT = """
import sys
from blackhole.client import Blackhole
with Blackhole() as client:
    if sys.argv[1] == "put":
        print(client.storage.put(sys.argv[2], periods=5).cap)
    else:
        print(client.storage.get(sys.argv[2], sys.argv[3]).size)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    settings = DevnetSettings(nodes=NODES, profile="std", held=True)
    with Devnet.up(settings, tmp_path_factory.mktemp("std") / "devnet") as up:
        yield up


def test_a_client_of_forty_nodes_stays_below_its_memory(network: Devnet, tmp_path: Path) -> None:
    file, back = tmp_path / "file", tmp_path / "back"
    file.write_bytes(os.urandom(2**20))
    os.truncate(file, LARGE)
    environment = os.environ | {
        "BLACKHOLE_NETWORK": str(network.network),
        "BLACKHOLE_KEY_FILE": str(network.key_file("payer")),
        "BLACKHOLE_HOME": str(tmp_path / "home"),
    }

    def run(*arguments: str | Path) -> tuple[str, int]:
        command = [sys.executable, "-c", CLIENT, *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        printed, peak = done.stdout.split()
        return printed, int(peak)

    cap, put = run("put", file)
    size, get = run("get", cap, back)
    assert int(size) == LARGE
    assert filecmp.cmp(file, back, shallow=False)
    print(f"peaks in MiB: put {put // 1024}, get {get // 1024}")
    assert put <= LIMIT
    assert get <= LIMIT


def test_stored_proven_repaired_and_read_down_to_the_last_shard_needed(network: Devnet, tmp_path: Path) -> None:
    data = os.urandom(SIZE)
    with Blackhole(network.network, load_key_file(network.key_file("payer")), home=tmp_path / "home") as client:
        storage = client.storage
        stored = storage.put(data, periods=60)
        assert (stored.profile, stored.missing, len(set(stored.nodes))) == ("std", (), 40)
        assert len(stored.transactions) == 1, "40 deals fit the gas of one transaction"
        assert storage.get(stored.cap).data == data
        for step in network.advance(2):
            assert step["unproven"] == []

        dead = list(stored.nodes[:4])
        for node in dead:
            network.kill(node)
        status = storage.status(stored.cap)
        assert (status.state, status.healthy, status.repair_at) == ("degraded", 36, 30)
        repaired = storage.repair(stored.cap, silent=True)
        assert repaired.failed == {}
        assert {row.node for row in repaired.restored} == {row.node for row in network.nodes()} - set(stored.nodes)
        assert storage.status(stored.cap).state == "full"

        for node in stored.nodes[4:24]:
            network.kill(node)
        fetched = storage.get(stored.cap)
        assert fetched.data == data
        assert len(fetched.served) == 20
        network.kill(stored.nodes[24])
        with pytest.raises(NotEnoughShards) as refused:
            storage.get(stored.cap)
        assert refused.value.data["need"] == 20
