"""Storing an object: quotes, encryption, uploads, deals, and a journal that lets an interrupted put go on.

One `Put` is one object on its way. Everything it does is journalled (`put_journal`) before it counts; run again with
the same source it takes up its journal: what nodes have is not sent again, and what is paid is not paid again.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackhole.errors import (
    BlackholeError,
    Degraded,
    InputError,
    IntegrityError,
    NodeError,
    NodeRefused,
    NoFreeNodes,
    PriceTooHigh,
)
from blackhole.journal import Journal, Record
from blackhole.protocol import INLINE_MAX, LEAF, SEGMENT
from blackhole.storage import deals, quotes
from blackhole.storage.agreement_tree import Piece, PieceList
from blackhole.storage.blocks import BlockList
from blackhole.storage.caps import ReadCap
from blackhole.storage.encryption import ObjectKeys, new_object_key, new_salt
from blackhole.storage.ipfs.cid import BLAKE3, DAG_CBOR, Cid
from blackhole.storage.layout import SegmentLayout
from blackhole.storage.manifest import InlineManifest, ManifestBlock, Segment, SegmentsManifest
from blackhole.storage.objects import ObjectEntry
from blackhole.storage.profiles import PROFILES, TAG, Profile
from blackhole.storage.progress import Meter, ProgressCallback
from blackhole.storage.put_journal import KIND, PutState, PutStep
from blackhole.storage.small import write_inline
from blackhole.storage.sources import Source
from blackhole.storage.spooling import ShardFile, SpoolFolder, layouts
from blackhole.storage.terms import Terms
from blackhole.storage.types import Quote, StoredObject
from blackhole.storage.upload import Outgoing, Uploads
from blackhole.units import format_tokens

if TYPE_CHECKING:
    from blackhole.storage.core import StorageCore
    from blackhole.storage.directory import Reached
    from blackhole.storage.quotes import Offered, Offers
    from blackhole.storage.transport import NodeClient

PERMIT_SECONDS = 86_400
"""How long a right to upload holds, in the chain's time."""
ROUNDS = 6
"""How often terms are signed anew before a put gives up."""
FUNDS_TRIES = 20
FUNDS_SECONDS = 0.5
"""How often, and how long apart, a node is asked again that does not see the payer's money yet."""
OPEN_TRIES = 40
"""Blocks waited for while nodes are between a draw and their proof."""


@dataclass(frozen=True, slots=True)
class PutOptions:
    """How to store.

    Attributes:
        profile: name of an erasure profile.
        periods: how long.
        max_price: wei locked at most; None sets no limit.
        name: for the list of own objects; None takes the source's.
        progress: called as bytes reach the nodes.
        repair_share: wei a shard set aside for replacing it, None: what one period costs for each ten.
    """

    profile: str = "std"
    periods: int = 30
    max_price: int | None = None
    name: str | None = None
    progress: ProgressCallback | None = None
    repair_share: int | None = None


class Put:
    """One object on its way. Use `Put.begin`, then `run` once."""

    def __init__(
        self, core: StorageCore, source: Source | None, options: PutOptions, journal: Journal[PutStep], *, resumed: bool
    ) -> None:
        self.core = core
        self.source = source
        self.options = options
        self.journal = journal
        self.resumed = resumed
        self.state = PutState.replay(journal.records())
        self.gas = 0
        self._clients: dict[int, Reached] = {}
        self._offers: Offers | None = None
        self._offered: dict[int, Offered] = {}
        self._failed: set[int] = set()
        self._permits: dict[int, tuple[int, dict[str, str]]] = {}
        self._replacing = asyncio.Lock()
        self._meter = Meter(None, None)
        self._inline: bytes | None = None

    # ---------------------------------------------------------------------------------------------------- begin

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
        await put._step(
            PutStep.STARTED,
            id=identity,
            chain_id=core.chain_id,
            market=core.market.address,
            payer=core.account,
            profile=profile.name,
            periods=options.periods,
            identity=source.identity,
            size=source.size,
            name=options.name or source.name,
            created=int(time.time()),
            sealed=core.seal.close(key, KIND),
        )
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
            return tuple(started.get(name) for name in names) == wanted

        for path in sorted(core.connection.home.journals.glob("put-*.journal")):
            # Other processes may be at their own files: only the journal of this one has to be free.
            if not fits(Journal.peek(path, KIND, PutStep)):
                continue
            journal = Journal.open(path, KIND, PutStep)
            if fits(journal.records()):
                return journal
            journal.remove()  # it was done in the meantime, and gone: this one is empty
        return None

    # ------------------------------------------------------------------------------------------------------ run

    async def run(self) -> StoredObject:
        """Do what is left to do. See `Storage.put` for what it raises; what was done stays journalled."""
        try:
            if self.state.sealed is None or len(self.state.open_slots) < self.profile.n:
                await self._absorb()
                quote = await self._place()
                self._spools.prepare(self._disk_need())
                await self._transfer()
                await self._agree_and_open()
            else:
                quote = self._restored_quote()
            stored = await self._list(quote)
            self.journal.remove()
        finally:
            self.journal.close()
        await asyncio.to_thread(self._spools.remove)
        return stored

    # ------------------------------------------------------------------------------------------------- what it is

    @cached_property
    def profile(self) -> Profile:
        return PROFILES[self.state.started["profile"]]

    @cached_property
    def keys(self) -> ObjectKeys:
        return ObjectKeys(self.core.seal.open(self.state.started["sealed"], KIND))

    @cached_property
    def _spools(self) -> SpoolFolder:
        return SpoolFolder(self.core.folder("spool") / str(self.state.started["id"]), self.keys)

    @property
    def size(self) -> int:
        """bytes of the object. Known from the start, or once the source has ended."""
        size = self.state.started.get("size")
        assert isinstance(size, int)
        return size

    @property
    def _layouts(self) -> list[SegmentLayout]:
        return layouts(self.profile, self.size)

    @cached_property
    def _leaves(self) -> int:
        """KiB every slot holds: its shards and the manifest."""
        return leaves_of(self.profile, self.size)

    async def _step(self, step: PutStep, **fields: Any) -> None:
        await asyncio.to_thread(self.journal.append, step, **fields)
        self.state.apply(step, fields)

    # ------------------------------------------------------------------------------------------------- the source

    async def _absorb(self) -> None:
        """Read a source of unknown size to its end, encrypting it into the spool: only then a price can be asked."""
        if self.state.started.get("size") is not None:
            return
        source = self._source()
        self._spools.prepare(0)
        buffer = memoryview(bytearray(SEGMENT))
        size = 0
        while True:
            count = await asyncio.to_thread(source.read_into, buffer)
            if count or not size:
                index = size // SEGMENT
                if size + count <= INLINE_MAX:
                    self._inline = bytes(buffer[:count])
                else:
                    self._spools.prepare(2 * count)
                    await self._encrypt(index, buffer[:count], SegmentLayout(self.profile, count), shards=False)
                size += count
            if count < SEGMENT:
                break
        await asyncio.to_thread(source.finish)
        await self._step(PutStep.STARTED, **{**self.state.started, "size": size})

    def _source(self) -> Source:
        if self.source is None:
            raise InputError(
                "What was interrupted can only be finished with its source.", hint="Run put again with the same file."
            )
        return self.source

    async def _encrypt(
        self, index: int, plaintext: memoryview, layout: SegmentLayout, *, shards: bool
    ) -> ShardFile | None:
        """Encrypt a segment under a fresh salt, which is journalled first."""
        known = self.state.segments.get(index)
        salt = new_salt()
        await self._step(PutStep.SALTED, segment=index, salt=salt.hex(), attempt=known.attempt + 1 if known else 0)
        lists, file = await asyncio.to_thread(self._spools.fresh, index, salt, plaintext, layout, shards=shards)
        await self._encoded(index, lists)
        return file

    async def _encoded(self, index: int, lists: list[BlockList]) -> None:
        pieces = [blocks.piece for blocks in lists]
        await self._step(
            PutStep.ENCODED,
            segment=index,
            pieces=[[piece.root.hex(), piece.leaves] for piece in pieces],
            row={"digests": [[digest.hex() for digest in blocks.digests] for blocks in lists]},
        )

    def _disk_need(self) -> int:
        """bytes of spool still to be written, and of the shards on their way."""
        missing = [each for index, each in enumerate(self._layouts) if not self._spools.has(index, each)]
        ahead = sorted((each.n * each.shard_length for each in self._layouts), reverse=True)[:3]
        return sum(each.k * each.shard_length for each in missing) + sum(ahead)

    # ------------------------------------------------------------------------------------------------- the nodes

    async def _ask(self) -> None:
        """Ask for quotes and choose nodes; what was chosen before is kept as far as it still answers."""
        seed = bytes.fromhex(str(self.state.started["id"]))
        self._offers = await quotes.ask(self.core, self.profile, self._leaves, self.periods, seed=seed)
        self._offered = dict(self._offers.offered)

    async def _place(self) -> Quote:
        await self._ask()
        assert self._offers is not None
        if not self.state.slots:
            nodes = self._offers.placement.nodes
            self._check_price([self._offered[node].rate for node in nodes])
            await self._require_funds([self._offered[node].rate for node in nodes])
            rates = [str(self._offered[node].rate) for node in nodes]
            await self._step(PutStep.PLACED, nodes=list(nodes), rates_wei=rates)
        for index, slot in enumerate(self.state.slots):
            if not slot.id and slot.node not in self._offered:
                await self.replace(index, NoFreeNodes(f"Node {slot.node} does not answer any more."))
        self._check_price([slot.rate for slot in self.state.slots])
        return await self._summary(self._offers)

    async def _summary(self, offers: Offers) -> Quote:
        clock = await self.core.clock()
        return quotes.summarise(
            offers,
            size=self.size,
            profile=self.profile,
            periods=self.periods,
            period_seconds=clock.seconds,
            leaves=self._leaves,
            repair=sum(self._repair_share(offers.offered[node].rate) for node in offers.placement.nodes),
        )

    @property
    def periods(self) -> int:
        return int(self.state.started["periods"])

    def _repair_share(self, rate: int) -> int:
        return repair_share(self.options, rate, self.periods)

    def _price(self, rates: list[int]) -> int:
        return sum(rate * self.periods + self._repair_share(rate) for rate in rates)

    def _check_price(self, rates: list[int]) -> None:
        limit, price = self.options.max_price, self._price(rates)
        if limit is not None and price > limit:
            raise PriceTooHigh(
                f"Storing it costs {format_tokens(price)} HOLE, the limit is {format_tokens(limit)} HOLE.",
                data={"price_wei": str(price), "limit_wei": str(int(limit)), "excess_wei": str(price - limit)},
            )

    async def _require_funds(self, rates: list[int]) -> None:
        await self.core.require_funds(self._price(rates))

    def _reached(self, node: int) -> Reached:
        return self._offered[node].reached

    # -------------------------------------------------------------------------------------- Destination (upload)

    def client(self, slot: int) -> NodeClient:
        """The node that has the slot now."""
        return self._reached(self.state.slots[slot].node).client

    async def headers(self, slot: int) -> dict[str, str]:
        """The right to upload, signed once a node."""
        import orjson

        from blackhole.storage.terms import Upload

        node = self.state.slots[slot].node
        known = self._permits.get(node)
        if known is None:
            upload = Upload(
                payer=self.core.account,
                node=node,
                size=2 * self._leaves * LEAF,  # room to send a piece again
                expiry=(await self.core.clock()).now + PERMIT_SECONDS,
                nonce=int.from_bytes(os.urandom(7), "big"),
            )
            signature = self.core.signer.sign_digest(upload.digest(self.core.domain))
            row = {**upload.to_json(), "signature": "0x" + signature.hex()}
            headers = {"Blackhole-Payer": self.core.account, "Blackhole-Upload": orjson.dumps(row).decode()}
            known = self._permits[node] = (upload.expiry, headers)
        return known[1]

    def staged(self, slot: int, root: bytes) -> bool:
        """Whether the slot's node has acknowledged that piece."""
        return root in self.state.slots[slot].staged

    async def acknowledged(self, slot: int, root: bytes) -> None:
        """The slot's node has it on its disk."""
        await self._step(PutStep.STAGED, slot=slot, node=self.state.slots[slot].node, root=root.hex())

    async def replace(self, slot: int, error: BlackholeError) -> None:
        """Give the slot to the best node left. Raises NoFreeNodes, PriceTooHigh."""
        assert self._offers is not None
        async with self._replacing:
            old = self.state.slots[slot]
            self._failed.add(old.node)
            self._permits.pop(old.node, None)
            current = [each.node for each in self.state.slots]
            while True:
                try:
                    node = self._offers.placement.replacement(current, self._failed)
                except NoFreeNodes as none:
                    raise NoFreeNodes(
                        f"{none.message} The last failure: {error.message}",
                        data={**none.data, "last": error.to_json()},
                    ) from error
                if node in self._offered:
                    break
                self._failed.add(node)
            rate = self._offered[node].rate
            self._check_price([rate if index == slot else each.rate for index, each in enumerate(self.state.slots)])
            await self._step(PutStep.REPLACED, slot=slot, node=node, rate_wei=str(rate))

    # -------------------------------------------------------------------------------------------------- transfer

    async def _transfer(self) -> None:
        """Encrypt what is not, send what nodes do not have, seal the manifest and send that too."""
        lengths = self._layouts
        self._meter = Meter(self._leaves * LEAF * self.profile.n, self.options.progress)
        self._meter.add(sum(self._staged_bytes(index) for index in range(self.profile.n)))
        uploads = Uploads(self.profile.n, self, self._meter.add)
        buffer = memoryview(bytearray(0))
        read = False
        try:
            for index, layout in enumerate(lengths):
                segment = self.state.segments.get(index)
                if segment is not None and segment.pieces and self._everywhere(index):
                    await uploads.offer(self._outgoing(index, layout, None))
                    continue
                await uploads.place()
                file = await self._again(index, layout)
                if file is None:
                    if len(buffer) < layout.length:
                        buffer = memoryview(bytearray(layout.length))
                    await self._read(index, layout, buffer[: layout.length])
                    file = await self._encrypt(index, buffer[: layout.length], layout, shards=True)
                    read = True
                assert file is not None
                await uploads.offer(self._outgoing(index, layout, file), file.close)
            if read:
                await asyncio.to_thread(self._source().finish)
            for block in await self._seal():
                await uploads.offer([self._whole(block)] * self.profile.n)
            await uploads.finish()
        except BaseException:
            await uploads.cancel()
            raise
        self._meter.finish()

    def _everywhere(self, index: int) -> bool:
        """Whether every slot has its shard of the segment, or is open already."""
        pieces = self.state.segments[index].pieces
        return all(slot.id or pieces[at][0] in slot.staged for at, slot in enumerate(self.state.slots))

    async def _again(self, index: int, layout: SegmentLayout) -> ShardFile | None:
        """The shards of a segment that was encrypted before; None when it was not, or its spool is of no use."""
        segment = self.state.segments.get(index)
        if segment is None or not segment.pieces:
            return None
        try:
            lists, file = await asyncio.to_thread(self._spools.again, index, segment.salt, layout)
        except (IntegrityError, OSError):
            return None
        if [tuple(blocks.piece) for blocks in lists] == segment.pieces:
            return file
        if file is not None:
            file.close()
        return None

    async def _read(self, index: int, layout: SegmentLayout, target: memoryview) -> None:
        """The plaintext of a segment from the source."""
        source = self._source()
        if self.state.sealed is not None:
            raise IntegrityError(
                "The spool of this put is lost, and its manifest is sealed.",
                hint="Remove its journal and put the file again; nothing more is paid for this one.",
            )

        def read() -> int:
            if index and not source.seek(index * SEGMENT):
                raise InputError(
                    "What was interrupted came from a pipe and cannot be read again.", hint="Put it again."
                )
            return source.read_into(target)

        if await asyncio.to_thread(read) < layout.length:
            await asyncio.to_thread(source.finish)  # says that the file shrank
            raise InputError("The source ended early.", hint="Put it again.")

    def _outgoing(self, index: int, layout: SegmentLayout, file: ShardFile | None) -> list[Outgoing]:
        """A segment's shards, a slot each: from the shard file while it is there, else from the spool."""
        segment = self.state.segments[index]

        def parts(shard: int) -> tuple[Iterator[bytes], bool]:
            if file is not None and file.open:
                return file.parts(shard), False
            return self._spools.shard(index, segment.salt, layout, shard), True

        return [
            Outgoing(root, layout.shard_length, partial(parts, shard)) for shard, (root, _) in enumerate(segment.pieces)
        ]

    @staticmethod
    def _whole(block: ManifestBlock) -> Outgoing:
        return Outgoing(block.piece.root, len(block.data), lambda: (iter([block.data]), False))

    async def _seal(self) -> tuple[ManifestBlock, ...]:
        """The manifest. Once it is journalled nothing of the object changes."""
        if self.state.sealed is None:
            if self._layouts:
                segments = tuple(
                    Segment(
                        self.profile,
                        layout.length,
                        self.state.segments[index].salt,
                        tuple(
                            tuple(bytes.fromhex(digest) for digest in shard)
                            for shard in self.state.segments[index].row["digests"]
                        ),
                    )
                    for index, layout in enumerate(self._layouts)
                )
                blocks = SegmentsManifest(self.profile, self.size, self.keys.commitment, segments).encode()
            else:
                blocks = write_inline(self.keys, await self._small()).encode()
            await self._step(PutStep.SEALED, blocks=[block.data.hex() for block in blocks])
        return self._manifest

    @cached_property
    def _manifest(self) -> tuple[ManifestBlock, ...]:
        assert self.state.sealed is not None
        datas = [bytes.fromhex(data) for data in self.state.sealed["blocks"]]
        return tuple(ManifestBlock(Cid.of(data, DAG_CBOR, BLAKE3), data) for data in datas)

    async def _small(self) -> bytes:
        """The bytes of an object that fits its manifest."""
        if self._inline is None:
            buffer = memoryview(bytearray(self.size))
            source = self._source()
            count = await asyncio.to_thread(source.read_into, buffer)
            await asyncio.to_thread(source.finish)
            self._inline = bytes(buffer[:count])
        return self._inline

    def _staged_bytes(self, index: int) -> int:
        slot = self.state.slots[index]
        return sum(
            segment.pieces[index][1] * LEAF
            for segment in self.state.segments.values()
            if segment.pieces and (slot.id or segment.pieces[index][0] in slot.staged)
        )

    def _pieces(self, index: int) -> PieceList:
        """What slot `index` holds: its shard of each segment, then the manifest."""
        shards = [Piece(*self.state.segments[at].pieces[index]) for at in range(len(self._layouts))]
        return PieceList((*shards, *(block.piece for block in self._manifest)))

    # ----------------------------------------------------------------------------------------------------- deals

    async def _agree_and_open(self) -> None:
        """Have every slot's deal signed and opened; slots that cannot be opened go to other nodes."""
        for _ in range(ROUNDS):
            await self._void_the_late()
            rows = await self._agree()
            if not rows:
                return
            await self._require_open_funds(rows)
            await self._open(rows)
            if all(slot.id for slot in self.state.slots):
                return
            await self._transfer()  # to nodes that took a slot over
        opened = len(self.state.open_slots)
        if opened < self.profile.repair_at:
            raise Degraded(
                f"{opened} of {self.profile.n} agreements are open.",
                hint="Run the same command again: it opens the rest.",
                data={"open": opened, "shards": self.profile.n},
            )

    async def _void_the_late(self) -> None:
        """Terms whose start has come and that are not open never will be: forget them, so new ones can be signed."""
        rows = self._rows()
        if not rows:
            return
        opened = await deals.which_are_open(self.core, rows)
        if opened:
            await self._opened(opened, ())
        period = (await self.core.clock()).period
        late = [row.slot for row in rows if row.slot not in opened and row.terms.start <= period]
        if late:
            await self._step(PutStep.VOIDED, slots=late)

    def _rows(self) -> list[deals.Row]:
        """Signed and not known to be open."""
        return [
            deals.Row(index, Terms.from_json(slot.terms), slot.signature)
            for index, slot in enumerate(self.state.slots)
            if slot.terms is not None and not slot.id
        ]

    async def _agree(self) -> list[deals.Row]:
        """Every unopened slot's Terms, signed by its node; those signed before as they are."""
        clock = await self.core.clock()
        start = deals.start_period(clock)
        known = self._rows()
        # One batch, one span: what was signed before for another start goes with its own dates.
        waiting = [index for index, slot in enumerate(self.state.slots) if not slot.id and slot.terms is None]

        async def one(index: int) -> None:
            slot = self.state.slots[index]
            pieces = self._pieces(index)
            terms = deals.draft(
                self.core,
                self._reached(slot.node),
                pieces,
                rate=slot.rate,
                start=start,
                end=start + self.periods,
                repair_share=self._repair_share(slot.rate),
            )
            signature = await self._signature(index, terms, pieces)
            if signature:
                await self._step(PutStep.AGREED, slot=index, terms=terms.to_json(), signature=signature.hex())

        await asyncio.gather(*(one(index) for index in waiting))
        return self._rows() or known

    async def _signature(self, index: int, terms: Terms, pieces: PieceList) -> bytes:
        """The node's signature; empty when the slot went to another node or its pieces have to be sent again."""
        slot = self.state.slots[index]
        offered = self._offered[slot.node]
        for attempt in range(FUNDS_TRIES):
            try:
                return await deals.ask_signature(
                    self.core, offered.reached, terms, pieces, (offered.row, offered.signature)
                )
            except NodeRefused as error:
                if error.code == "insufficient_funds" and attempt < FUNDS_TRIES - 1:
                    # The node counts final blocks only; a deposit of a moment ago is not final yet.
                    await asyncio.sleep(FUNDS_SECONDS)
                    continue
                if error.code == "insufficient_funds":
                    raise
                if error.code == "not_staged" and slot.staged:
                    await self._step(PutStep.REPLACED, slot=index, node=slot.node, rate_wei=str(slot.rate))
                    return b""
                await self.replace(index, error)
                return b""
            except NodeError as error:
                await self.replace(index, error)
                return b""
        return b""

    async def _require_open_funds(self, rows: list[deals.Row]) -> None:
        await self.core.require_funds(sum(row.terms.prepaid for row in rows))

    async def _open(self, rows: list[deals.Row]) -> None:
        """Send the transactions; wait where a node is between a draw and its proof."""
        for _ in range(OPEN_TRIES):
            ids = [hex(row.id(self.core)) for row in rows]
            await self._step(PutStep.SUBMITTED, ids=ids, prepaid_wei=str(sum(row.terms.prepaid for row in rows)))
            busy: list[deals.Row] = []
            seen = 0
            for batch in deals.batches(rows):
                result = await deals.open_batch(self.core, batch)
                self.gas += sum(receipt.fee for receipt in result.receipts)
                seen = max(receipt.block for receipt in result.receipts)
                await self._opened(result.opened, tuple("0x" + each.hash.hex() for each in result.receipts))
                for row in batch:
                    reason = result.skipped.get(row.slot)
                    if reason in {"NodeIsProving", deals.NOT_OPENED}:
                        busy.append(row)
                    elif reason is not None and reason != deals.TOO_LATE:  # too late: voided in the next round
                        await self._give_up(row, reason)
            if not busy:
                return
            period = (await self.core.clock()).period
            rows = [row for row in busy if row.terms.start > period]
            if not rows:
                return  # too late for these: signed anew in the next round
            await deals.wait_for_block(self.core, seen)

    async def _give_up(self, row: deals.Row, reason: str) -> None:
        """The chain does not take this deal: sign it anew if it came too late, else to another node with it."""
        if reason == "StartOutOfRange":
            await self._step(PutStep.VOIDED, slots=[row.slot])
            return
        if reason in {"InsufficientBalance", "InsufficientAllowance"}:
            await self._require_open_funds([row])
        await self._step(PutStep.VOIDED, slots=[row.slot])
        await self.replace(row.slot, NoFreeNodes(f"The chain refused the deal with node {row.terms.node}: {reason}."))

    async def _opened(self, opened: dict[int, int], transactions: tuple[str, ...]) -> None:
        if opened:
            pairs = [[slot, hex(identity)] for slot, identity in opened.items()]
            await self._step(PutStep.OPENED, opened=pairs, transactions=list(transactions))

    # ------------------------------------------------------------------------------------------------- the result

    async def _list(self, quote: Quote) -> StoredObject:
        """Write the object into the list of own objects, then say the put is done."""
        top = self._manifest[0]
        payer = bytes.fromhex(self.core.account[2:])
        object_key = self.core.seal.open(self.state.started["sealed"], KIND)
        cap = ReadCap(self.core.chain_id, payer, top.cid, top.leaves, object_key)
        terms = [Terms.from_json(slot.terms) for slot in self.state.slots if slot.terms is not None and slot.id]
        agreements = tuple(hex(slot.id) if slot.id else "" for slot in self.state.slots)
        end = min(each.end for each in terms)
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
            cost=sum(each.prepaid for each in terms),
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
    offers = await quotes.ask(core, profile, leaves, options.periods, seed=os.urandom(8))
    repair = sum(repair_share(options, offers.offered[node].rate, options.periods) for node in offers.placement.nodes)
    seconds = (await core.clock()).seconds
    return quotes.summarise(
        offers,
        size=size,
        profile=profile,
        periods=options.periods,
        period_seconds=seconds,
        leaves=leaves,
        repair=repair,
    )


def checked_profile(options: PutOptions) -> Profile:
    """The profile the options name. Raises InputError for it or for no period."""
    profile = PROFILES.get(options.profile)
    if profile is None:
        raise InputError(f"There is no profile {options.profile!r}.", hint=f"Profiles: {', '.join(PROFILES)}")
    if options.periods < 1:
        raise InputError("An object is stored for at least one period.", hint="Pass periods=1 or more.")
    return profile


def repair_share(options: PutOptions, rate: int, periods: int) -> int:
    """wei one shard sets aside for its replacement."""
    return options.repair_share if options.repair_share is not None else rate * -(-periods // 10)


def manifest_lengths(profile: Profile, size: int) -> list[int]:
    """bytes of each block of the manifest of an object, which depend on its size alone."""
    segments = tuple(
        Segment(profile, each.length, bytes(16), ((bytes(32),) * each.rows,) * each.n)
        for each in layouts(profile, size)
    )
    if not segments:
        return [len(InlineManifest(size, bytes(32), bytes(16), bytes(size + TAG)).encode()[0].data)]
    return [len(block.data) for block in SegmentsManifest(profile, size, bytes(32), segments).encode()]


def leaves_of(profile: Profile, size: int) -> int:
    """KiB each node holds of an object: its shards and the manifest."""
    shards = sum(layout.shard_length for layout in layouts(profile, size)) // LEAF
    return shards + sum(-(-length // LEAF) for length in manifest_lengths(profile, size))
