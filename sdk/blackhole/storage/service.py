"""The operations of `blackhole.storage` on both faces."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from blackhole.chain.service import ConnectedService
from blackhole.face import M, operation

if TYPE_CHECKING:
    from collections.abc import Collection

    from blackhole.storage.caps import ReadCap, RepairCap, VerifyCap
    from blackhole.storage.core import StorageCore
    from blackhole.storage.objects import ObjectEntry
    from blackhole.storage.progress import ProgressCallback
    from blackhole.storage.repair_order import Repaired, RepairOrder, Replacement
    from blackhole.storage.sources import SourceLike
    from blackhole.storage.types import Fetched, ObjectStatus, Quote, ReadQuote, RenewQuote, RepairQuote, StoredObject
    from blackhole.storage.upkeep import Kept


class Storage(ConnectedService[M]):
    """Store objects on bonded nodes and read them back. Amounts are wei; `*_micro` are micro-HOLE (1e12 wei)."""

    _shared: StorageCore | None = None

    @property
    def _core(self) -> StorageCore:
        if self._shared is None:
            from blackhole.storage.core import StorageCore

            self._shared = StorageCore(self.connection)
        return self._shared

    def _profile(self, given: str | None) -> str:
        """The profile asked for, else the one the network's file names (a devnet's does), else std."""
        named = self.connection.network.extra.get("profile")
        return given or (named if isinstance(named, str) else "std")

    async def aclose(self) -> None:
        """Close the connections to nodes; `Blackhole.close` does it."""
        if self._shared is not None:
            await self._shared.aclose()

    @operation
    async def quote(
        self, source: SourceLike | int, *, profile: str | None = None, periods: int = 30, align: int = 1
    ) -> Quote:
        """What storing `source` (or so many bytes) would cost, at which nodes and why these. Only asks.

        Raises:
            InputError: the source cannot be read, or its size is not known (a pipe: pass the number of bytes).
            NoFreeNodes, ChainError, KeyMissing (a quote is for an account).
        """
        from blackhole.errors import InputError
        from blackhole.storage.put import quote_for
        from blackhole.storage.put_base import PutOptions
        from blackhole.storage.sources import open_source

        if isinstance(source, int):
            size = source
        else:
            opened = open_source(source)
            opened.close()
            if opened.size is None:
                raise InputError("A pipe does not say its size.", hint="Pass the number of bytes instead.")
            size = opened.size
        options = PutOptions(profile=self._profile(profile), periods=periods, align=align)
        return await quote_for(self._core, size, options)

    @operation
    async def put(
        self,
        source: SourceLike,
        *,
        profile: str | None = None,
        periods: int = 30,
        max_price: int | None = None,
        name: str | None = None,
        progress: ProgressCallback | None = None,
        align: int = 1,
    ) -> StoredObject:
        """Encrypt, spread and store an object for so many periods, and pay for it. The cap is kept in the own list.

        The money (`Quote.total`) is locked in the bank and released to nodes for each period they prove; it needs a
        balance there and an allowance for the storage market. Interrupted, the same call goes on where it stopped, and
        pays once.

        Where the account has an agreement with a node that ends at the right time, the shard joins it; elsewhere a new
        one is opened. Puts that run side by side share what they send to the chain.

        Args:
            source: a path, "-" for stdin, bytes, or a binary stream.
            profile: "std" (any 20 of 40 shards restore it), "dev" (3 of 10), "dc", "wide"; default: the network's.
            periods: how many periods; one is a day on public networks.
            max_price: wei that may be locked at most.
            name: for the own list; default: the file's.
            progress: called with bytes done, bytes in all, bytes a second, seconds left.
            align: periods. The end, and what is paid, moves up to their next multiple: with 7 what is put on the days
                of a week ends together and shares agreements. `max_price` has to allow for it.

        Raises:
            InputError: the source is missing, unreadable, special, or changed while it was read.
            PriceTooHigh, InsufficientFunds: nothing was sent to the chain.
            NoFreeNodes, ChainError, DiskFull, KeyMissing, JournalInUse.
        """
        from blackhole.storage.put import Put
        from blackhole.storage.put_base import PutOptions
        from blackhole.storage.sources import open_source

        opened = await asyncio.to_thread(open_source, source, name)
        try:
            options = PutOptions(
                profile=self._profile(profile),
                periods=periods,
                max_price=max_price,
                name=name,
                progress=progress,
                align=align,
            )
            put = await Put.begin(self._core, opened, options)
            return await put.run()
        finally:
            opened.close()

    @operation
    async def get(
        self,
        cap: str,
        target: str | os.PathLike[str] | BinaryIO | None = None,
        *,
        start: int = 0,
        length: int | None = None,
        overwrite: bool = False,
        max_price: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> Fetched:
        """Read an object, or `length` bytes of it from `start`, and pay the nodes for what was verified.

        A file appears under its name only after its last byte was verified and is on the disk.

        Args:
            cap: a read-cap, or the name of an object in the own list.
            target: a path, a binary stream, or None to get the bytes themselves.
            max_price: wei that may be paid for what is read at most. Deposits of lanes are not counted: they stay
                yours.

        Raises:
            PriceTooHigh: it costs more than `max_price`; nothing was sent, unless nodes failed on the way and others
                are dearer.
            CapError: malformed, of another network, or too weak.
            InputError: the file exists already (unless `overwrite`), or the range is beyond the object.
            NotEnoughShards: too few nodes answer. IntegrityError: … and some sent wrong bytes. Nothing was given out.
            InsufficientFunds: lanes to read on cannot be paid. ChainError, DiskFull, KeyMissing.
        """
        from blackhole.protocol import MICRO
        from blackhole.storage.get import ObjectReader, read_object
        from blackhole.storage.reading import Purse
        from blackhole.storage.targets import FileTarget, MemoryTarget, StreamTarget, Target
        from blackhole.storage.types import Fetched

        core, began = self._core, time.monotonic()
        wanted = await asyncio.to_thread(resolve_cap, core, cap)
        memory = MemoryTarget()
        sink: Target = memory
        path: Path | None = None
        if isinstance(target, str | os.PathLike):
            path = Path(target)
            sink = await asyncio.to_thread(FileTarget, path, overwrite=overwrite)
        elif target is not None:
            sink = StreamTarget(target)
        used: list[ObjectReader] = []
        size = 0
        try:
            parts = read_object(
                core, wanted, start=start, length=length, progress=progress, opened=lambda r, *_: used.append(r),
                purse=Purse(None if max_price is None else max_price // MICRO),
            )  # fmt: skip
            try:
                async for part in parts:
                    await asyncio.to_thread(sink.write, part)
                    size += len(part)
            finally:
                await parts.aclose()
            await asyncio.to_thread(sink.commit)
        except BaseException:
            sink.abandon()
            raise
        reader = used[0]
        return Fetched(
            size=size,
            path=str(path) if path is not None else None,
            data=memory.data if target is None else None,
            spent_micro=reader.readers.spent,
            lanes_opened=reader.readers.opened,
            served={node: each.served for node, each in reader.readers.by_node.items() if each.served},
            failed=dict(reader.failures),
            seconds=time.monotonic() - began,
        )

    @operation
    async def read_quote(self, cap: str, *, start: int = 0, length: int | None = None) -> ReadQuote:
        """What `get` would cost now, and which nodes would serve it. Nothing is paid.

        Raises:
            PriceTooHigh: what it costs stands in its manifest, which is not on this machine and not free to read.
            CapError, NotEnoughShards, ChainError.
        """
        from blackhole.storage.read_quote import read_quote

        core = self._core
        return await read_quote(core, await asyncio.to_thread(resolve_cap, core, cap), start=start, length=length)

    @operation
    async def ls(self) -> list[ObjectEntry]:
        """The own objects, oldest first, from the encrypted list of this machine."""
        return await asyncio.to_thread(self._core.objects.entries)

    @operation
    async def status(self, cap: str, *, audit: bool = True) -> ObjectStatus:
        """How an object is: full, degraded or unreadable, shard by shard.

        Args:
            cap: any cap of it (a verify-cap suffices), or the name of an own object.
            audit: ask every node for one chunk of its shard, which is free; else believe their signed lists.

        Raises:
            CapError, NotEnoughShards (no node has even its manifest), ChainError.
        """
        from blackhole.storage.status import examine

        core = self._core
        return await examine(core, await asyncio.to_thread(resolve_any_cap, core, cap), audit=audit)

    @operation
    async def renew_quote(self, cap: str, periods: int) -> RenewQuote:
        """What `renew` would cost now. Nothing is signed or sent. Raises as `renew` does."""
        from blackhole.storage.renewal import renew_quote

        core = self._core
        wanted = await asyncio.to_thread(resolve_cap, core, cap)
        require_own(core, wanted, "Only its owner pays for it; put it yourself to keep a copy.")
        return await renew_quote(core, wanted, _at_least_one(periods))

    @operation
    async def renew(self, cap: str, periods: int, *, max_price: int | None = None) -> Kept:
        """Pay an object for `periods` more. Its nodes ask their present price.

        Other objects in its agreements are neither extended nor charged: there its shards move to agreements that end
        at the new time, without a byte being sent.

        Raises:
            PriceTooHigh, InsufficientFunds: nothing was sent. StorageError: no agreement of it lives. CapError.
        """
        from blackhole.storage.inventory import copy_lists
        from blackhole.storage.renewal import renew

        core = self._core
        wanted = await asyncio.to_thread(resolve_cap, core, cap)
        require_own(core, wanted, "Only its owner pays for it; put it yourself to keep a copy.")
        kept: Kept = await renew(core, wanted, _at_least_one(periods), max_price=max_price)
        if kept.agreements:
            await asyncio.to_thread(_renewed, core, str(wanted.manifest), kept)
            await copy_lists(core, {*kept.agreements, *kept.moved})
        return kept

    @operation
    async def remove(self, cap: str, *, nodes: Collection[int] | None = None) -> Kept:
        """Give an object up and forget it: its rate ends, what is not used of its money comes back at the close.

        Args:
            nodes: take it off these nodes only, and keep the object: `repair` stores those shards elsewhere.

        Raises:
            CapError, ChainError. What could not be given up stands in the result, and the object stays in the list.
        """
        from blackhole.storage.inventory import copy_lists
        from blackhole.storage.upkeep import remove

        core = self._core
        wanted = await asyncio.to_thread(resolve_cap, core, cap)
        require_own(core, wanted, "Only its owner gives it up.")
        kept = await remove(core, wanted, nodes=nodes)
        await copy_lists(core, kept.agreements)
        if nodes is None and not kept.failed:
            await asyncio.to_thread(core.objects.remove, str(wanted.manifest))
        return kept

    @operation
    async def repair_quote(self, cap: str, *, silent: bool = False) -> RepairQuote:
        """What `repair` would restore now, where, and what it would cost. Nothing is rebuilt, signed or sent.

        Raises as `repair` does.
        """
        from blackhole.storage.repair import repair_quote

        core = self._core
        return await repair_quote(core, await self._to_repair(cap), silent=silent)

    @operation
    async def repair(self, cap: str, *, max_price: int | None = None, silent: bool = False) -> Repaired:
        """Restore the object's lost shards on new nodes, paid by this account.

        Args:
            cap: a read-cap or repair-cap of an own object, or its name.
            max_price: wei that may be locked at most.
            silent: also replace shards of nodes that do not answer but have missed no proof yet.

        Raises:
            NotEnoughShards, IntegrityError: it cannot be rebuilt. NoFreeNodes, PriceTooHigh, InsufficientFunds.
        """
        from blackhole.storage.repair import repair_object

        return await repair_object(self._core, await self._to_repair(cap), max_price=max_price, silent=silent)

    async def _to_repair(self, cap: str) -> ReadCap | RepairCap:
        from blackhole.errors import CapError
        from blackhole.storage.caps import VerifyCap

        core = self._core
        wanted = await asyncio.to_thread(resolve_any_cap, core, cap)
        if isinstance(wanted, VerifyCap):
            raise CapError("Repair takes a repair-cap or a read-cap.")
        require_own(core, wanted, "Repair it with its owner's order: blackhole storage repair --order FILE")
        return wanted

    @operation
    async def repair_order(
        self, cap: str, *, budget: int, max_rate: int | None = None, seconds: int = 90 * 86_400
    ) -> RepairOrder:
        """An order that lets a repairer restore this object while its owner is away. Give it to him in secret.

        Args:
            budget: wei the repairer may spend beyond what lost locks give back.
            max_rate: wei per GiB and period a new node may ask; default twice the highest offer of today.
            seconds: how long it holds, in the chain's time.
        """
        from blackhole.storage.repair_order import sign_order

        core = self._core
        wanted = await asyncio.to_thread(resolve_cap, core, cap)
        if max_rate is None:
            max_rate = 2 * max((info.price for info in await core.directory.offering()), default=0)
        expiry = (await core.clock()).now + seconds
        return sign_order(core, wanted, max_rate=max_rate, budget=budget, expiry=expiry)

    @operation
    async def repair_by_order(self, order: RepairOrder) -> Repaired:
        """Restore an object as a repairer: with its owner's order and this account's own key. See `repair_order`.

        Raises:
            InputError: the order contradicts itself. CapError, NotEnoughShards, NoFreeNodes, Reverted, KeyMissing.
        """
        from blackhole.storage.repair import repair_by_order

        return await repair_by_order(self._core, order)

    @operation
    async def claim_repair(self, done: Replacement) -> bool:
        """Take the pay for a replacement from the failed node's fund; False as long as it cannot be taken."""
        from blackhole.storage.repair import claim

        return await claim(self._core, done)


def require_own(core: StorageCore, cap: ReadCap | RepairCap, hint: str) -> None:
    """Raises CapError when another account pays for the object."""
    from blackhole.errors import CapError

    if cap.payer_address.lower() != core.account.lower():
        raise CapError("This object is another account's.", hint=hint, data={"payer": cap.payer_address})


def _renewed(core: StorageCore, manifest: str, kept: Kept) -> None:
    """Bring the own list to what a renewal did."""
    entry = core.objects.find(manifest)
    if entry is not None:
        agreements = tuple(kept.moved.get(each, each) for each in entry.agreements)
        end = kept.end if not kept.failed else entry.end
        core.objects.update(manifest, end=end, agreements=agreements)


def _at_least_one(periods: int) -> int:
    from blackhole.errors import InputError

    if periods < 1:
        raise InputError("An object is renewed for at least one period.", hint="Pass 1 or more.")
    return periods


def resolve_any_cap(core: StorageCore, text: str) -> ReadCap | RepairCap | VerifyCap:
    """Any cap `text` is, or the read-cap of the own object of that name. Raises CapError."""
    from blackhole.storage.caps import PREFIX, parse_cap

    if text.strip().startswith(PREFIX[:2]) and len(text.strip()) > 60:
        return parse_cap(text, chain_id=core.chain_id)
    return resolve_cap(core, text)


def resolve_cap(core: StorageCore, text: str) -> ReadCap:
    """The read-cap `text` is, or the own object of that name has. Raises CapError."""
    from blackhole.errors import CapError
    from blackhole.storage.caps import PREFIX, read_cap

    if text.strip().startswith(PREFIX[:2]) and len(text.strip()) > 60:
        return read_cap(text, chain_id=core.chain_id)
    entry = core.objects.find(text) if core.connection.signer is not None else None
    if entry is None:
        raise CapError(
            f"{text[:40]!r} is neither a cap nor the name of an own object.",
            hint="`blackhole storage ls` lists your objects.",
        )
    if entry.chain_id == core.chain_id and entry.market.lower() != core.market.address.lower():
        raise CapError(
            f"{text[:40]!r} is stored on the market {entry.market}, this network's is {core.market.address}.",
            hint="Select the network the object is stored on with --network.",
            data={"market": entry.market, "expected": core.market.address},
        )
    return read_cap(entry.cap, chain_id=core.chain_id)
