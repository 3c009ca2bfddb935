"""What a devnet has before its first node: accounts with keys and money, and the contracts."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from blackhole.chain.values import Address, address
from blackhole.devnet.chain import DevnetChain
from blackhole.devnet.folder import RunFolder
from blackhole.devnet.settings import DevnetSettings
from blackhole.errors import DevnetError
from blackhole.paths import write_private
from blackhole.units import Tokens

if TYPE_CHECKING:
    from blackhole.chain.client import Chain
    from blackhole.chain.signers import LocalSigner
    from blackhole.network import Network

GAS_WEI = 10 * 10**18
"""Gas money every account of a devnet starts with, in wei of the chain's coin."""

TREASURY = Tokens("500000000")
"""HOLE the faucet gives from."""
PAYER = Tokens("1000000")
"""HOLE of each funded user account; half of it is deposited in the bank and allowed to the storage market."""
OWNER = Tokens("1000000")
"""HOLE of each node's owner."""

COLLATERAL = 60 * 10**18 // 2**20
"""wei reserved a KiB: 60 periods of the default price."""
GAS_SHARE = 100
"""On a chain of the user's, accounts get a hundredth of what they get here: 0.1 coins."""

USERS = ("payer", "reader", "repairer")
"""Accounts with HOLE, a balance in the bank and an allowance for the storage market."""


class Genesis:
    """Chain connection, contracts and accounts of a devnet.

    Attributes:
        chain: the connection, with its journals in `homes/devnet`.
        network: what network.json holds.
        accounts: every funded account's signer by name; their keys are in `accounts/`.
        own: the devnet's own chain; None when the user named one.
    """

    def __init__(
        self,
        run: RunFolder,
        chain: Chain,
        network: Network,
        accounts: Mapping[str, LocalSigner],
        keys: dict[str, bytes],
        own: DevnetChain | None,
    ) -> None:
        from blackhole.chain.bindings.blackhole_token import BlackholeToken
        from blackhole.chain.bindings.node_registry import NodeRegistry
        from blackhole.chain.bindings.payment_hub import PaymentHub
        from blackhole.chain.bindings.stake_manager import StakeManager
        from blackhole.chain.bindings.storage_market import StorageMarket

        self.run = run
        self._keys = keys
        self.chain = chain
        self.network = network
        self.accounts = accounts
        self.own = own
        self.token = BlackholeToken(network.addresses["BlackholeToken"])
        self.hub = PaymentHub(network.addresses["PaymentHub"])
        self.vault = StakeManager(network.addresses["StakeManager"])
        self.registry = NodeRegistry(network.addresses["NodeRegistry"])
        self.market = StorageMarket(network.addresses["StorageMarket"])

    @classmethod
    async def make(cls, run: RunFolder, settings: DevnetSettings, own: DevnetChain | None) -> Genesis:
        """Draw keys, hand out gas money, deploy the contracts, fill the users' balances, write network.json.

        Raises:
            ChainError: the chain refuses; with `--rpc` also when BLACKHOLE_KEY_FILE's account cannot pay.
        """
        from blackhole.chain.client import Chain
        from blackhole.chain.rpc import Rpc
        from blackhole.paths import Home

        url = own.url if own is not None else settings.rpc
        assert url is not None
        accounts, keys = create_accounts(settings.nodes)
        for name in ("deployer", "treasury", *USERS):
            await asyncio.to_thread(write_key, run, name, keys.pop(name))
        chain = Chain(Rpc(url), home=Home.locate(run.home("devnet")))
        try:
            await hand_out_gas(chain, own, [signer.address for signer in accounts.values()])
            deployed = await _deploy(chain, settings, accounts, url)
            # What clients take when they are not told, and how long a period is for who sits in front of it.
            pace = {"pace_seconds": settings.pace} if own is not None else {}
            network = replace(deployed, extra={**deployed.extra, "profile": settings.profile, **pace})
            genesis = cls(run, chain, network, accounts, keys, own)
            await asyncio.gather(*(genesis._fill(accounts[name]) for name in USERS))
            await asyncio.to_thread(network.save, run.network)
        except BaseException:
            await chain.close()
            raise
        return genesis

    async def _fill(self, user: LocalSigner) -> None:
        """Deposit half of a user's HOLE and allow the storage market to lock it."""
        half = PAYER // 2
        await self.chain.send_many(
            [
                self.token.approve(self.hub.address, half),
                self.hub.deposit(user.address, half),
                self.hub.allow(self.market.address, half),
            ],
            user,
            gas=200_000,
        )

    def keep_key(self, drawn: str, name: str) -> None:
        """Write an owner's key to `accounts/` under the name it gets once its node has an id."""
        write_key(self.run, name, self._keys.pop(drawn))

    async def give_gas(self, to: str, wei: int = GAS_WEI) -> None:
        """Raise an account's gas money by `wei`."""
        await hand_out_gas(self.chain, self.own, [address(to)], wei)


def create_accounts(nodes: int) -> tuple[dict[str, LocalSigner], dict[str, bytes]]:
    """Draw a random key for every account: signers and keys by name."""
    from blackhole.chain.signers import LocalSigner

    names = ["deployer", "treasury", *USERS, *(f"owner-{i}" for i in range(1, nodes + 1))]
    keys = {name: secrets.token_bytes(32) for name in names}
    return {name: LocalSigner(key) for name, key in keys.items()}, keys


def write_key(run: RunFolder, name: str, key: bytes) -> None:
    """Write a key in hex to `accounts/NAME.key` (0600)."""
    write_private(run.accounts / f"{name}.key", b"0x" + key.hex().encode() + b"\n")


async def hand_out_gas(chain: Chain, own: DevnetChain | None, to: Sequence[Address], wei: int = GAS_WEI) -> None:
    """Give accounts gas money: from nowhere on our own chain, else from the account of BLACKHOLE_KEY_FILE."""
    from blackhole.chain.signers import signer_from_environment
    from blackhole.chain.values import Tx

    if own is not None:
        for account in to:
            await asyncio.to_thread(own.set_balance, account, own.balance(account) + wei)
        return
    funder = signer_from_environment()
    if funder is None:
        raise DevnetError(
            "On a chain of yours somebody has to pay for gas.",
            hint="Set BLACKHOLE_KEY_FILE to the key of a funded account of that chain.",
        )
    await chain.send_many([Tx(account, b"", wei // GAS_SHARE) for account in to], funder)


async def _deploy(chain: Chain, settings: DevnetSettings, accounts: Mapping[str, LocalSigner], url: str) -> Network:
    from blackhole import protocol
    from blackhole.chain.deployment import DeploymentParameters, ServiceRow, deploy

    deployer = accounts["deployer"]
    amounts = [(accounts["treasury"].address, int(TREASURY))]
    amounts += [(accounts[name].address, int(PAYER)) for name in USERS]
    amounts += [(accounts[f"owner-{i}"].address, int(OWNER)) for i in range(1, settings.nodes + 1)]
    parameters = DeploymentParameters(
        genesis=tuple(amounts),
        proposers=(deployer.address,),
        panel=(deployer.address,),
        panel_threshold=1,
        treasury=accounts["treasury"].address,
        timelock_delay=0,
        storage=ServiceRow(collateral_per_leaf=COLLATERAL),
        period=protocol.DEVNET_PERIOD,
        prove_window=protocol.DEVNET_PROVE_WINDOW,
        prove_blocks=protocol.DEVNET_PROVE_BLOCKS,
    )
    return await deploy(chain, deployer, parameters, name="devnet", rpc=[url])
