"""Nodes that take connections and answer nothing: others do their part."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest
from blackhole.devnet.handle import Devnet
from blackhole.node.folder import NodeFolder
from blackhole.storage import directory, get, quotes
from blackhole.storage.lane_book import MIB
from storage_accounts import Account

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def hang(network: Devnet) -> Iterator[Callable[[int], None]]:
    """Stops the processes of a node where they are: the system still takes its connections. After the test they go
    on."""
    stopped: list[int] = []

    def stop(node: int) -> None:
        status = NodeFolder(network.node(node).folder).read_status()
        assert status is not None
        pid = status.plugins["storage"]
        os.kill(pid, signal.SIGSTOP)
        stopped.append(pid)

    yield stop
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)


def test_a_node_that_hangs_while_it_is_read_is_stood_in_for(
    payer: Account, hang: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(9 * MIB)
    stored = payer.client.storage.put(data, profile="dev", periods=20)
    first = payer.client.storage.get(stored.cap, length=MIB)
    victim = next(iter(first.served))
    monkeypatch.setattr(get, "AHEAD_BYTES", 0)  # two rows ahead: most of the object is still to be asked for
    hung: list[int] = []

    def after_the_first_bytes(*_: object) -> None:
        if not hung:
            hang(victim)
            hung.append(victim)

    fetched = payer.client.storage.get(stored.cap, progress=after_the_first_bytes)
    assert fetched.data == data
    assert hung
    # It was overtaken, not waited for until it counts as failed; somebody who had no part before has served.
    assert victim not in fetched.failed
    assert set(fetched.served) - set(first.served)


def test_hanging_nodes_take_no_shard_and_keep_nobody_from_reading(
    payer: Account, hang: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (directory, quotes):
        monkeypatch.setattr(module, "ANSWER_SECONDS", 4.0)
    data = os.urandom(10_000)
    before = payer.client.storage.put(data, profile="dev", periods=20)
    for node in before.nodes[:2]:
        hang(node)
    payer.release()  # a new client, which knows nothing of them
    assert payer.client.storage.get(before.cap).data == data
    after = payer.client.storage.put(data, profile="dev", periods=20)
    assert not set(after.nodes) & set(before.nodes[:2])
