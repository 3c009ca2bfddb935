"""What a devnet has before its first node: accounts with keys and money, and the contracts."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from blackhole.chain.values import Address, address
from blackhole.devnet import guest
from blackhole.devnet.chain import DevnetChain
from blackhole.devnet.folder import RunFolder
from blackhole.devnet.settings import DevnetSettings
from blackhole.paths import write_private
from blackhole.units import Tokens

if TYPE_CHECKING:
    from blackhole.chain.client import Chain
    from blackhole.chain.signers import LocalSigner
    from blackhole.network import Network

GAS_WEI = 10 * 10**18
"""Gas money every account starts with on a devnet's own chain, in wei of the chain's coin."""

TREASURY = Tokens("500000000")
"""HOLE the faucet gives from."""
PAYER = Tokens("1000000")
"""HOLE of each funded user account; half of it is deposited in the bank and allowed to the storage market."""
OWNER = Tokens("1000000")
"""HOLE of each node's owner."""

COLLATERAL = 60 * 10**18 // 2**20
"""wei reserved a KiB: 60 periods of the default price."""
USERS = ("payer", "reader", "repairer")
"""Accounts with HOLE, a balance in the bank and an allowance for the storage market."""


class Genesis:
    """Chain connection, contracts and accounts of a devnet.

    Attributes:
        chain: the connection, with its journals in `homes/devnet`.
        network: what network.json holds.
        accounts: every funded account's signer by name; their keys are in `accounts/`.
        own: the devnet's own chain; None when the user named one.
        gas_wei: gas money an account gets, in wei of the chain's coin.
    """

    def __init__(
        self,
        run: RunFolder,
        chain: Chain,
        network: Network,
        accounts: Mapping[str, LocalSigner],
        keys: dict[str, bytes],
        own: DevnetChain | None,
        gas_wei: int,
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
        self.gas_wei = gas_wei
        self.token = BlackholeToken(network.addresses["BlackholeToken"])
        self.hub = PaymentHub(network.addresses["PaymentHub"])
        self.vault = StakeManager(network.addresses["StakeManager"])
        self.registry = NodeRegistry(network.addresses["NodeRegistry"])
        self.market = StorageMarket(network.addresses["StorageMarket"])

    @classmethod
    async def make(
        cls, run: RunFolder, settings: DevnetSettings, own: DevnetChain | None, say: Callable[[str], None]
    ) -> Genesis:
        """Draw keys, hand out gas money, deploy the contracts, fill the users' balances, write network.json.

        Raises:
            ChainError: the chain refuses.
            DevnetError, InsufficientFunds: a chain named with `--rpc` cannot carry a devnet; see `guest`.
        """
        from blackhole.chain.client import Chain
        from blackhole.chain.rpc import Rpc
        from blackhole.paths import Home

        url = own.url if own is not None else settings.rpc
        assert url is not None
        chain = Chain(Rpc(url), home=Home.locate(run.home("devnet")))
        try:
            gas_wei = GAS_WEI
            if own is None:
                say("looking at your chain: who pays, and whether it makes blocks")
                await guest.require_host(chain, settings.nodes)
                gas_wei = await guest.account_wei(chain)
            say("accounts and contracts")
            genesis = await cls._on(run, settings, chain, url, own, gas_wei)
        except BaseException:
            await chain.close()
            raise
        return genesis

    @classmethod
    async def _on(
        cls,
        run: RunFolder,
        settings: DevnetSettings,
        chain: Chain,
        url: str,
        own: DevnetChain | None,
        gas_wei: int,
    ) -> Genesis:
        accounts, keys = create_accounts(settings.nodes)
        for name in ("deployer", "treasury", *USERS):
            await asyncio.to_thread(write_key, run, name, keys.pop(name))
        await hand_out_gas(chain, own, [signer.address for signer in accounts.values()], gas_wei)
        deployed = await _deploy(chain, settings, accounts, url)
        # What clients take when they are not told, and how long a period is for who sits in front of it.
        pace = {"pace_seconds": settings.pace} if own is not None else {}
        network = replace(deployed, extra={**deployed.extra, "profile": settings.profile, **pace})
        genesis = cls(run, chain, network, accounts, keys, own, gas_wei)
        await asyncio.gather(*(genesis._fill(accounts[name]) for name in USERS))
        await asyncio.to_thread(network.save, run.network)
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

    async def give_gas(self, to: str, wei: int | None = None) -> int:
        """Raise an account's gas money by `wei` (by default what every account got); how much it was."""
        wei = self.gas_wei if wei is None else wei
        await hand_out_gas(self.chain, self.own, [address(to)], wei)
        return wei


def create_accounts(nodes: int) -> tuple[dict[str, LocalSigner], dict[str, bytes]]:
    """Draw a random key for every account: signers and keys by name."""
    from blackhole.chain.signers import LocalSigner

    names = ["deployer", "treasury", *USERS, *(f"owner-{i}" for i in range(1, nodes + 1))]
    keys = {name: secrets.token_bytes(32) for name in names}
    return {name: LocalSigner(key) for name, key in keys.items()}, keys


def write_key(run: RunFolder, name: str, key: bytes) -> None:
    """Write a key in hex to `accounts/NAME.key` (0600)."""
    write_private(run.accounts / f"{name}.key", b"0x" + key.hex().encode() + b"\n")


async def hand_out_gas(chain: Chain, own: DevnetChain | None, to: Sequence[Address], wei: int) -> None:
    """Give accounts gas money: from nowhere on our own chain, else from the account of BLACKHOLE_KEY_FILE."""
    if own is None:
        await guest.give_gas(chain, to, wei)
        return
    for account in to:
        await asyncio.to_thread(own.set_balance, account, own.balance(account) + wei)


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
