"""A network of real processes for the storage tests, and accounts of their own on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from blackhole.devnet.handle import Devnet
from blackhole.devnet.settings import DevnetSettings
from blackhole.errors import DevnetError
from blackhole.units import Tokens
from block_damage import Damage
from storage_accounts import Account

NODES = 14
"""Profile dev stores on 10; four are left to take the place of others."""


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """The network, its clock held: periods end when a test says so.

    BLACKHOLE_TEST_DEVNET names a running one instead, for quick turns while writing tests.
    """
    if running := os.environ.get("BLACKHOLE_TEST_DEVNET"):
        yield Devnet(Path(running))
        return
    with Devnet.up(DevnetSettings(nodes=NODES, held=True), tmp_path_factory.mktemp("network") / "devnet") as up:
        yield up


@pytest.fixture
def account(network: Devnet, tmp_path: Path) -> Iterator[Callable[..., Account]]:
    """Makes accounts: `account(hole="10", allowed="10")`."""
    made: list[Account] = []

    def make(hole: str = "50", allowed: str | None = None, wallet: str = "0") -> Account:
        number = len(made)
        key_file = tmp_path / f"key-{number}"
        key_file.write_text(os.urandom(32).hex())
        new = Account(tmp_path / f"home-{number}", key_file, Path(network.network))
        made.append(new)
        owner = new.client.connection.account
        network.faucet(owner, hole_wei=Tokens(hole) + Tokens(wallet) + 1, gas_wei=10**18)
        if Tokens(hole):
            new.client.escrow.deposit(Tokens(hole))
        limit = Tokens(hole if allowed is None else allowed)
        if limit:
            new.client.escrow.allow(new.client.network.address("StorageMarket"), limit)
        return new

    yield make
    for each in made:
        each.release()


@pytest.fixture
def payer(account: Callable[..., Account]) -> Account:
    """An account with 50 HOLE in the bank, all of it allowed to the market."""
    return account()


@pytest.fixture
def corrupt(network: Devnet) -> Iterator[Damage]:
    """Damages what nodes keep; after the test each has its bytes again, so that it goes on proving."""
    damage = Damage(network)
    yield damage
    damage.mend()


@pytest.fixture
def killed(network: Devnet) -> Iterator[Callable[[int], None]]:
    """Kills nodes; they run again after the test."""
    dead: list[int] = []

    def kill(node: int) -> None:
        network.kill(node)
        dead.append(node)

    yield kill
    failures = []
    for node in dead:
        try:
            network.start(node)
        except DevnetError as error:  # the others still have to run for the tests that follow
            failures.append(error)
    if failures:
        raise ExceptionGroup("nodes did not start again", failures)
