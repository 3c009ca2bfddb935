"""Where the SDK is entered: `Blackhole` (blocking) and `AsyncBlackhole`, one definition of every operation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Generic

from blackhole.chain.client import Chain, Wait
from blackhole.chain.connection import Connection
from blackhole.chain.rpc import Rpc
from blackhole.chain.signers import as_signer, signer_from_environment
from blackhole.face import Async, M, Sync, portal
from blackhole.network import Network
from blackhole.paths import Home

if TYPE_CHECKING:
    from types import TracebackType

    from blackhole.disputes.service import Disputes
    from blackhole.escrow.service import Escrow
    from blackhole.registry.service import Registry
    from blackhole.staking.service import Staking
    from blackhole.storage.service import Storage
    from blackhole.tokens.service import Tokens


def connect(
    network: Network | str | os.PathLike[str] | None = None,
    signer: object | None = None,
    *,
    home: str | os.PathLike[str] | None = None,
    rpc: object | Sequence[object] | None = None,
    wait: Wait = "latest",
) -> Connection:
    """A connection as `Blackhole` makes it. Reads the network file and the environment; talks to nobody yet.

    Raises `NetworkNotFound`, and for a key in the environment `SigningKeyError`.
    """
    place = Home.locate(home)
    chosen = network if isinstance(network, Network) else Network.load(network, home=place)
    account = signer_from_environment() if signer is None else as_signer(signer)
    endpoints = chosen.rpc if rpc is None else rpc
    chain = Chain(Rpc(endpoints, chosen.chain_id), home=place)
    return Connection(chosen, chain, account, place, wait)


class _Market(Generic[M]):
    """The services of one connection, each made when it is first used."""

    def __init__(self, mode: M, connection: Connection) -> None:
        self._mode: M = mode
        self.connection = connection

    @property
    def network(self) -> Network:
        """The network it is connected to."""
        return self.connection.network

    @property
    def chain(self) -> Chain:
        """The chain client (asynchronous in both faces)."""
        return self.connection.chain

    @cached_property
    def tokens(self) -> Tokens[M]:
        """HOLE."""
        from blackhole.tokens.service import Tokens

        return Tokens(self._mode, self.connection)

    @cached_property
    def registry(self) -> Registry[M]:
        """Services, nodes, offers."""
        from blackhole.registry.service import Registry

        return Registry(self._mode, self.connection)

    @cached_property
    def staking(self) -> Staking[M]:
        """Bonds of nodes."""
        from blackhole.staking.service import Staking

        return Staking(self._mode, self.connection)

    @cached_property
    def escrow(self) -> Escrow[M]:
        """The bank: balances, lanes, locks."""
        from blackhole.escrow.service import Escrow

        return Escrow(self._mode, self.connection)

    @cached_property
    def disputes(self) -> Disputes[M]:
        """Claims and rulings."""
        from blackhole.disputes.service import Disputes

        return Disputes(self._mode, self.connection)

    @cached_property
    def storage(self) -> Storage[M]:
        """Files on bonded nodes."""
        from blackhole.storage.service import Storage

        return Storage(self._mode, self.connection)

    async def _close(self) -> None:
        if "storage" in self.__dict__:
            await self.storage.aclose()
        await self.connection.close()


class Blackhole(_Market[Sync]):
    """The blocking face.

        with Blackhole("devnet/network.json", key) as blackhole:
            blackhole.escrow.deposit(Tokens("5"))

    `network`: a `Network`, a network.json, its folder or name; default `$BLACKHOLE_NETWORK`.
    `signer`: a key (32 bytes or 0x-hex), a `Signer`, an account of eth-account; default the environment's, else none.
    `rpc`: endpoints instead of the network's: URLs, web3 providers or `Web3` objects. `wait`: when writes return.
    """

    def __init__(
        self,
        network: Network | str | os.PathLike[str] | None = None,
        signer: object | None = None,
        *,
        home: str | Path | None = None,
        rpc: object | Sequence[object] | None = None,
        wait: Wait = "latest",
    ) -> None:
        super().__init__(Sync(), connect(network, signer, home=home, rpc=rpc, wait=wait))

    def close(self) -> None:
        """Give keys and connections back."""
        portal().run(self._close())

    def __enter__(self) -> Blackhole:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncBlackhole(_Market[Async]):
    """The asynchronous face; arguments as of `Blackhole`. Use it from one event loop."""

    def __init__(
        self,
        network: Network | str | os.PathLike[str] | None = None,
        signer: object | None = None,
        *,
        home: str | Path | None = None,
        rpc: object | Sequence[object] | None = None,
        wait: Wait = "latest",
    ) -> None:
        super().__init__(Async(), connect(network, signer, home=home, rpc=rpc, wait=wait))

    async def close(self) -> None:
        """Give keys and connections back."""
        await self._close()

    async def __aenter__(self) -> AsyncBlackhole:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
