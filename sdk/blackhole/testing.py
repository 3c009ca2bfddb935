"""A pytest plugin: a Blackhole network of real processes as fixtures.

Installed with the package. It imports nothing of Blackhole until a test asks for one of its fixtures.

    def test_store(blackhole, tmp_path):                    # a client of a network that was started for the tests
        cap = blackhole.storage.put(tmp_path / "file").cap

Fixtures: `devnet` (one network a test session), `blackhole` and `async_blackhole` (clients of its funded payer; the
latter needs pytest-asyncio in its auto mode).
Options, on the command line or as `blackhole_nodes` and `blackhole_devnet` in the configuration file:
`--blackhole-nodes N`, and `--blackhole-devnet FOLDER` to use a running devnet instead of a new one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from blackhole.client import AsyncBlackhole, Blackhole
    from blackhole.devnet.handle import Devnet

NODES = 10
"""Nodes of a test network: as many as profile `dev` stores on."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's options."""
    group = parser.getgroup("blackhole")
    group.addoption("--blackhole-nodes", type=int, default=None, metavar="N", help=f"nodes of the devnet ({NODES})")
    group.addoption("--blackhole-devnet", default=None, metavar="FOLDER", help="use the devnet that runs in FOLDER")
    parser.addini("blackhole_nodes", f"nodes of the devnet ({NODES})", default=str(NODES))
    parser.addini("blackhole_devnet", "run folder of a devnet to use instead of a new one", default="")


@pytest.fixture(scope="session")
def devnet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """A running network, started for this session and ended with it; its clock runs by itself.

    `devnet.advance()` ends a period, `devnet.kill(3)` kills a node, `devnet.network` is the path of network.json.
    """
    from blackhole.devnet.handle import Devnet
    from blackhole.devnet.settings import DevnetSettings

    running = request.config.getoption("--blackhole-devnet") or request.config.getini("blackhole_devnet")
    if running:
        yield Devnet(Path(running).absolute())
        return
    nodes = request.config.getoption("--blackhole-nodes")
    if nodes is None:
        nodes = int(request.config.getini("blackhole_nodes"))
    with Devnet.up(DevnetSettings(nodes=nodes), tmp_path_factory.mktemp("blackhole") / "devnet") as network:
        yield network


@pytest.fixture
def blackhole(devnet: Devnet, tmp_path: Path) -> Iterator[Blackhole]:
    """A client of the network's funded payer, with a home of its own."""
    from blackhole.chain.signers import load_key_file
    from blackhole.client import Blackhole

    with Blackhole(devnet.network, load_key_file(devnet.key_file("payer")), home=tmp_path / "home") as client:
        yield client


@pytest.fixture
async def async_blackhole(devnet: Devnet, tmp_path: Path) -> AsyncIterator[AsyncBlackhole]:
    """As `blackhole`, for `async` tests."""
    from blackhole.chain.signers import load_key_file
    from blackhole.client import AsyncBlackhole

    payer = load_key_file(devnet.key_file("payer"))
    async with AsyncBlackhole(devnet.network, payer, home=tmp_path / "home") as client:
        yield client
