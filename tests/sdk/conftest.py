"""A real chain for the tests of the SDK: anvil on a free port, ended with the test session."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from blackhole.network import Network
from blackhole.paths import Home

KEYS = [
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
]
"""The first accounts anvil funds."""

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class Anvil:
    """One anvil process."""

    options: tuple[str, ...] = ()
    process: subprocess.Popen[str] = field(init=False)
    url: str = field(init=False)

    def __post_init__(self) -> None:
        binary = ROOT / "node_modules" / ".bin" / "anvil"
        command = [str(binary) if binary.exists() else shutil.which("anvil") or "anvil", "--port", "0"]
        command += ["--slots-in-an-epoch", "1", "--hardfork", "cancun", *self.options]
        environment = {**os.environ, "NO_COLOR": "1"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if match := re.search(r"Listening on ([\d.]+:\d+)", line):
                self.url = f"http://{match.group(1)}"
                break
        else:
            raise RuntimeError(f"anvil ended with {self.process.wait()}")
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        assert self.process.stdout is not None
        for _ in self.process.stdout:
            pass

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def anvil() -> Iterator[Anvil]:
    """A chain that mines each transaction at once; shared, so tests leave no assumption about its height."""
    chain = Anvil()
    yield chain
    chain.stop()


@pytest.fixture
def fresh_anvil() -> Iterator[Anvil]:
    """A chain of the test's own, which may stop mining, go back or die."""
    chain = Anvil()
    yield chain
    chain.stop()


@pytest.fixture
def file_limit() -> Iterator[Callable[[int | None], None]]:
    """Sets how long a file this process writes may grow, in bytes; None lifts it. Every user may, and the system
    refuses with EFBIG where a full disk would with ENOSPC: at any write, in the middle of it too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(most: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if most is None else most, hard))

    yield limit
    limit(None)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the user's own files."""
    folder = tmp_path / "home"
    monkeypatch.setenv("BLACKHOLE_HOME", str(folder))
    for name in ("BLACKHOLE_KEY", "BLACKHOLE_KEY_FILE", "BLACKHOLE_NETWORK", "BLACKHOLE_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    return folder


DEVNET_SECONDS = {"timelock_delay": 0, "period": 12, "prove_window": 5, "prove_blocks": 5}


@pytest.fixture(scope="session")
def market(anvil: Anvil, tmp_path_factory: pytest.TempPathFactory) -> Network:
    """The whole market on the shared chain, deployed by the SDK; the first account owns the first HOLE."""
    return deploy_market(anvil, tmp_path_factory.mktemp("deployment"))


def deploy_market(anvil: Anvil, folder: Path) -> Network:
    """Deploy to a chain as a devnet does; every test account gets a million HOLE."""
    import asyncio

    from blackhole.chain.client import Chain
    from blackhole.chain.deployment import DeploymentParameters, deploy
    from blackhole.chain.rpc import Rpc
    from blackhole.chain.signers import LocalSigner

    accounts = [LocalSigner(bytes.fromhex(key[2:])) for key in KEYS]
    first = accounts[0].address
    parameters = DeploymentParameters(
        genesis=tuple((account.address, 10**24) for account in accounts),
        proposers=(first,),
        panel=(accounts[3].address,),
        panel_threshold=1,
        treasury=first,
        **DEVNET_SECONDS,
    )

    async def run() -> Network:
        chain = Chain(Rpc(anvil.url), home=Home.locate(folder))
        try:
            return await deploy(chain, accounts[0], parameters, rpc=[anvil.url])
        finally:
            await chain.close()

    return asyncio.run(run())
