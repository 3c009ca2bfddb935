"""What every storage operation stands on: one connection's chain, bindings, nodes, keys and own files."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from blackhole.errors import DiskError, InsufficientFunds
from blackhole.paths import private_folder

if TYPE_CHECKING:
    from blackhole.chain.bindings.node_registry import NodeRegistry
    from blackhole.chain.bindings.payment_hub import PaymentHub
    from blackhole.chain.bindings.storage_market import StorageMarket
    from blackhole.chain.client import At, Chain
    from blackhole.chain.connection import Connection
    from blackhole.chain.signers import Signer
    from blackhole.chain.values import Address
    from blackhole.storage.changes import ChangeDesk
    from blackhole.storage.directory import Directory
    from blackhole.storage.joining import Additions
    from blackhole.storage.lane_book import LaneBook
    from blackhole.storage.objects import ObjectList, Seal
    from blackhole.storage.terms import MarketDomain
    from blackhole.storage.transport import Transport

FINAL_SECONDS = 60.0
"""How long money is waited for to be final."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The chain's time.

    Attributes:
        now: of the newest block, seconds.
        seconds: of a period.
        period: the current one.
        left: seconds until the next.
    """

    now: int
    seconds: int

    @property
    def period(self) -> int:
        return self.now // self.seconds

    @property
    def left(self) -> int:
        return self.seconds - self.now % self.seconds


class StorageCore:
    """Shared by the operations of one `Storage` service."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._period_seconds = 0

    @property
    def chain(self) -> Chain:
        return self.connection.chain

    @property
    def signer(self) -> Signer:
        """The account's key. Raises KeyMissing when the connection has none."""
        return self.connection.require_signer()

    @property
    def account(self) -> Address:
        """The signer's account. Raises KeyMissing."""
        return self.connection.account

    @property
    def chain_id(self) -> int:
        return self.connection.network.chain_id

    @property
    def market(self) -> StorageMarket:
        return self.connection.market

    @property
    def hub(self) -> PaymentHub:
        return self.connection.hub

    @property
    def registry(self) -> NodeRegistry:
        return self.connection.registry

    @cached_property
    def domain(self) -> MarketDomain:
        from blackhole.storage.terms import MarketDomain

        return MarketDomain(self.chain_id, self.market.address)

    @cached_property
    def transport(self) -> Transport:
        from blackhole.storage.transport import Transport

        return Transport()

    @cached_property
    def directory(self) -> Directory:
        from blackhole.storage.directory import Directory

        return Directory(self.chain, self.registry, self.transport, from_block=self.connection.network.block)

    @cached_property
    def seal(self) -> Seal:
        """Opens and closes the account's local files. Raises KeyMissing."""
        from blackhole.storage.objects import Seal, local_key

        return Seal(local_key(self.account, self.signer.sign_digest))

    @cached_property
    def objects(self) -> ObjectList:
        """The account's own objects."""
        from blackhole.storage.objects import ObjectList

        return ObjectList(self.connection.home.objects, self.account, self.seal)

    @cached_property
    def lanes(self) -> LaneBook:
        """The account's own lanes."""
        from blackhole.storage.lane_book import LaneBook

        return LaneBook(self.folder("lanes"), self.account)

    @cached_property
    def desk(self) -> ChangeDesk:
        """Changes agreements, one Change an agreement at a time."""
        from blackhole.storage.changes import ChangeDesk

        return ChangeDesk(self)

    @cached_property
    def additions(self) -> Additions:
        """Brings pieces into agreements the account has."""
        from blackhole.storage.joining import Additions

        return Additions(self.desk)

    @cached_property
    def opening(self) -> asyncio.Lock:
        """Held while agreements are chosen and opened: the next put then finds them and joins."""
        return asyncio.Lock()

    def folder(self, name: str) -> Path:
        """A private folder of the home."""
        return private_folder(self.connection.home.root / name)

    def cached_block(self, digest: bytes) -> bytes | None:
        """A block of a manifest this machine has seen; manifests are public and never change. None if it has not."""
        from blackhole.storage.blocks import block_digest

        try:
            data = (self.folder("manifests") / digest.hex()).read_bytes()
        except OSError:
            return None
        return data if block_digest(data) == digest else None

    def keep_block(self, digest: bytes, data: bytes) -> None:
        """Keep a block of a manifest, so that it need not be read and paid again. On a full disk it is read again."""
        from blackhole.paths import write_private

        with suppress(DiskError):
            write_private(self.folder("manifests") / digest.hex(), data)

    def kept_list(self, identity: int) -> bytes | None:
        """The piece list of an agreement as it was kept here last; None if it was not."""
        try:
            return (self.folder("lists") / f"{identity:064x}").read_bytes()
        except OSError:
            return None

    def keep_list(self, identity: int, data: bytes) -> None:
        """Keep an agreement's piece list for when its node is gone."""
        from blackhole.paths import write_private

        write_private(self.folder("lists") / f"{identity:064x}", data)

    async def clock(self) -> Clock:
        """The chain's time now."""
        if not self._period_seconds:
            self._period_seconds = await self.chain.read(self.market.period())
        return Clock((await self.chain.block("latest")).timestamp, self._period_seconds)

    async def require_funds(self, need: int) -> None:
        """Return once the account's balance and the market's allowance cover `need` wei in a final block.

        Nodes count final blocks only; money of a moment ago is waited for.

        Raises:
            InsufficientFunds: the newest block does not have it either.
        """
        from blackhole.units import format_tokens

        until = time.monotonic() + FINAL_SECONDS
        while True:
            balance, allowance = await self._funds("latest")
            if balance < need:
                raise InsufficientFunds(
                    "balance in the bank",
                    have=balance,
                    need=need,
                    hint=f"blackhole escrow deposit {format_tokens(need - balance)}",
                )
            if allowance < need:
                raise InsufficientFunds(
                    "what the storage market may lock of it",
                    have=allowance,
                    need=need,
                    hint=f"blackhole escrow allow {format_tokens(need)}",
                )
            if min(await self._funds("finalized")) >= need or time.monotonic() > until:
                return
            await asyncio.sleep(0.2)

    async def _funds(self, at: At) -> tuple[int, int]:
        """(balance, allowance of the market) of the account, wei."""
        return await asyncio.gather(
            self.chain.read(self.hub.balance_of(self.account), at=at),
            self.chain.read(self.hub.allowance_of(self.account, self.market.address), at=at),
        )

    async def aclose(self) -> None:
        """Close the connections to nodes."""
        if "transport" in self.__dict__:
            await self.transport.aclose()
