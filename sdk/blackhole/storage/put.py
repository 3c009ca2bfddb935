"""Storing an object: quotes, encryption, uploads, deals, and a journal that lets an interrupted put go on.

One `Put` is one object on its way. Everything it does is journalled (`put_journal`) before it counts; run again with
the same source it takes up its journal: what nodes have is not sent again, and what is paid is not paid again.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from blackhole.errors import InputError, JournalInUse
from blackhole.journal import Journal, Record
from blackhole.storage import quotes
from blackhole.storage.caps import ReadCap
from blackhole.storage.encryption import new_object_key
from blackhole.storage.inventory import copy_lists
from blackhole.storage.objects import ObjectEntry
from blackhole.storage.put_base import PutOptions, checked_profile, leaves_of, repair_share
from blackhole.storage.put_deals import PutDeals
from blackhole.storage.put_journal import KIND, PutState, PutStep
from blackhole.storage.sources import Source
from blackhole.storage.types import Quote, StoredObject

if TYPE_CHECKING:
    from blackhole.storage.core import StorageCore


class Put(PutDeals):
    """One object on its way. Use `Put.begin`, then `run` once."""

    @classmethod
    async def begin(cls, core: StorageCore, source: Source, options: PutOptions) -> Put:
        """Take up the interrupted put of this very source and profile, or begin a new one.

        Raises:
            InputError: unknown profile, no period.
            JournalInUse: another process is at it.
        """
        profile = checked_profile(options)
        found = await asyncio.to_thread(cls._find, core, source, options)
        if found is not None:
            return cls(core, source, options, found, resumed=True)
        identity = os.urandom(8).hex()
        journal = await asyncio.to_thread(Journal.open, cls._path(core, identity), KIND, PutStep)
        put = cls(core, source, options, journal, resumed=False)
        key = new_object_key()
        try:
            await put._step(
                PutStep.STARTED,
                id=identity,
                chain_id=core.chain_id,
                market=core.market.address,
                payer=core.account,
                profile=profile.name,
                periods=options.periods,
                align=options.align,
                identity=source.identity,
                size=source.size,
                name=options.name or source.name,
                created=int(time.time()),
                sealed=core.seal.close(key, KIND),
            )
        except BaseException:
            journal.remove()  # nothing has begun
            raise
        return put

    @staticmethod
    def _path(core: StorageCore, identity: str) -> Path:
        return core.connection.home.journals / f"put-{identity}.journal"

    @classmethod
    def _find(cls, core: StorageCore, source: Source, options: PutOptions) -> Journal[PutStep] | None:
        if source.identity is None:
            return None
        wanted = (source.identity, options.profile, options.periods, core.chain_id, core.market.address, core.account)

        def fits(records: list[Record[PutStep]]) -> bool:
            started = PutState.replay(records).started
            names = ("identity", "profile", "periods", "chain_id", "market", "payer")
            return (*(started.get(name) for name in names), started.get("align", 1)) == (*wanted, options.align)

        for path in sorted(core.connection.home.journals.glob("put-*.journal")):
            # Other processes may be at their own files: only the journal of this one has to be free.
            records = Journal.peek(path, KIND, PutStep)
            if not records:
                cls._sweep(path)
            if not fits(records):
                continue
            journal = Journal.open(path, KIND, PutStep)
            if fits(journal.records()):
                return journal
            journal.remove()  # it was done in the meantime, and gone: this one is empty
        return None

    @staticmethod
    def _sweep(path: Path) -> None:
        """Remove the journal of a put that was killed before it had begun."""
        with suppress(JournalInUse):
            journal = Journal.open(path, KIND, PutStep)
            if journal.records():
                journal.close()
            else:
                journal.remove()

    # ------------------------------------------------------------------------------------------------------ run

    async def run(self) -> StoredObject:
        """Do what is left to do. See `Storage.put` for what it raises; what was done stays journalled."""
        try:
            if self.state.sealed is None or len(self.state.open_slots) < self.profile.n:
                await self._absorb()
                await self._take_stock()
                quote = await self._place()
                self._spools.prepare(self._disk_need())
                await self._transfer()
                await self._agree_and_open()
            else:
                quote = self._restored_quote()
            stored = await self._list(quote)
            if any(slot.joins for slot in self.state.slots):
                await copy_lists(self.core, stored.agreements)
            self.journal.remove()
        finally:
            self.journal.close()
        await asyncio.to_thread(self._spools.remove)
        return stored

    async def _list(self, quote: Quote) -> StoredObject:
        """Write the object into the list of own objects, then say the put is done."""
        top = self._manifest[0]
        payer = bytes.fromhex(self.core.account[2:])
        object_key = self.core.seal.open(self.state.started["sealed"], KIND)
        cap = ReadCap(self.core.chain_id, payer, top.cid, top.leaves, object_key)
        agreements = tuple(hex(slot.id) if slot.id else "" for slot in self.state.slots)
        end = min(slot.end for slot in self.state.slots if slot.id)
        name = str(self.state.started["name"])
        entry = ObjectEntry(
            manifest=str(top.cid),
            cap=cap.text,
            name=name,
            size=self.size,
            profile=self.profile.name,
            chain_id=self.core.chain_id,
            market=self.core.market.address,
            created=int(self.state.started["created"]),
            end=end,
            agreements=agreements,
        )
        for block in self._manifest:
            await asyncio.to_thread(self.core.keep_block, block.cid.digest, block.data)
        await asyncio.to_thread(self.core.objects.save, entry)
        await self._step(PutStep.LISTED)
        return StoredObject(
            cap=cap.text,
            repair_cap=cap.repair_cap.text,
            manifest=str(top.cid),
            name=name,
            size=self.size,
            profile=self.profile.name,
            nodes=tuple(slot.node if slot.id else 0 for slot in self.state.slots),
            agreements=agreements,
            end=end,
            cost=sum(slot.cost for slot in self.state.slots),
            gas=self.gas,
            transactions=tuple(self.state.transactions),
            quote=quote,
            missing=tuple(index for index, slot in enumerate(self.state.slots) if not slot.id),
            resumed=self.resumed,
        )

    def _restored_quote(self) -> Quote:
        """The quote of a put whose deals were all open when it was interrupted: what they say."""
        rate = sum(slot.rate for slot in self.state.slots)
        repair = sum(self._repair_share(slot.rate) for slot in self.state.slots)
        return Quote(
            size=self.size,
            profile=self.profile.name,
            periods=self.periods,
            period_seconds=0,
            leaves=self._leaves * self.profile.n,
            rate=rate,
            storage=rate * self.periods,
            repair=repair,
            total=rate * self.periods + repair,
            read_micro=0,
            nodes=(),
        )


async def quote_for(core: StorageCore, size: int, options: PutOptions) -> Quote:
    """What storing `size` bytes would cost. Raises InputError, NoFreeNodes, ChainError."""
    profile = checked_profile(options)
    if size < 0:
        raise InputError("An object has no negative size.", hint="Pass the number of bytes.")
    leaves = leaves_of(profile, size)
    most = options.periods + options.align - 1
    offers = await quotes.ask(core, profile, leaves, most, seed=quotes.own_order(core))
    return await quotes.summarise(
        core,
        offers,
        size=size,
        profile=profile,
        leaves=leaves,
        periods=options.periods,
        align=options.align,
        reserve=lambda rate: repair_share(options, rate, options.periods),
    )
