"""Two dishonest agents, run as processes of their own in the place of the honest ones:

    python -m blackhole.devnet.demo.cheats invent   NODE_FOLDER NETWORK
    python -m blackhole.devnet.demo.cheats freeload NODE_FOLDER NETWORK

`invent` deletes its shards and answers with invented bytes. `freeload` keeps of its shards only the hash trees (3 % of
the bytes), deletes the rest, and when a leaf is asked for reads the same KiB from k of its peers, pays for it, and
combines what it got as the erasure code allows. Both submit their answer without asking whether it would be accepted.
They speak JSON lines on stdout: `ready`, then `skipped` (a leaf of the manifest, which is no secret, was asked for, or
the window closed meanwhile) or `answered`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from blackhole.chain.bindings.blackhole_token import BlackholeToken
from blackhole.chain.bindings.node_registry import NodeRegistry
from blackhole.chain.bindings.payment_hub import LaneOpened, PaymentHub
from blackhole.chain.bindings.storage_market import StorageMarket, WindowClosed
from blackhole.chain.client import Chain
from blackhole.chain.raw_transactions import RawTransaction
from blackhole.chain.rpc import Rpc
from blackhole.chain.signers import load_keystore, signer_from_environment
from blackhole.chain.values import Address, Tx
from blackhole.devnet.demo.child import end_with_parent
from blackhole.errors import BlackholeError, NodeRefused, Reverted
from blackhole.escrow.vouchers import VoucherDomain, VoucherSigner
from blackhole.network import Network
from blackhole.node.config import Config
from blackhole.node.folder import NodeFolder
from blackhole.node.logs import configure
from blackhole.node.storage.pieces import PieceStore
from blackhole.paths import Home
from blackhole.protocol import BLOCK, LEAF, MICRO, STORAGE
from blackhole.storage.agreement_tree import AgreementTree, Piece
from blackhole.storage.blake3_tree import ChunkTree
from blackhole.storage.blocks import BlockList
from blackhole.storage.directory import Directory, Reached
from blackhole.storage.erasure import ErasureCode
from blackhole.storage.lane_book import cost_micro
from blackhole.storage.manifest import SegmentsManifest
from blackhole.storage.manifest_reading import decode_manifest
from blackhole.storage.rows import RowBuffer
from blackhole.storage.sum_tree import Found, encode_path
from blackhole.storage.transport import Transport

ANSWER_GAS = 1_000_000
"""Gas limit of a dishonest proof; a refused one uses less."""
LANE_MICRO = 10_000
LOOK_SECONDS = 0.1


def say(event: str, **found: Any) -> None:
    """One line for whoever started this."""
    sys.stdout.write(json.dumps({"event": event, **found}) + "\n")
    sys.stdout.flush()


class Sampled:
    """A leaf that is asked for, and everything about it that is public."""

    def __init__(self, in_agreement: Found, piece: Piece, blocks: BlockList) -> None:
        self.in_agreement = in_agreement
        self.piece = piece
        self.blocks = blocks
        self.in_piece = blocks.tree.find(in_agreement.offset)
        self.block = self.in_piece.item
        self.chunk = self.in_piece.offset

    def answer(self, data: bytes, siblings: list[bytes]) -> bytes:
        """The answer with that chunk and those siblings: docs/proof-format.md."""
        return b"".join(
            [
                _entry(self.piece.root, self.piece.leaves, self.in_agreement),
                _entry(self.blocks.digests[self.block], self.blocks.chunks(self.block), self.in_piece),
                len(data).to_bytes(2, "big"),
                data,
                bytes([len(siblings)]),
                *siblings,
            ]
        )


def _entry(digest: bytes, leaves: int, found: Found) -> bytes:
    return digest + leaves.to_bytes(6, "big") + bytes([len(found.path)]) + encode_path(found.path)


class Cheat:
    """What both have in common: a node's folder and key, its lists, and proofs sent unseen."""

    def __init__(self, folder: Path, network: Network) -> None:
        self.folder = NodeFolder(folder)
        self.network = network
        self.node = Config.load(self.folder.config).node.id
        self.signer = load_keystore(self.folder.keystore)
        self.chain = Chain(Rpc(network.rpc, network.chain_id), home=Home.locate(folder / "cheat"))
        self.market = StorageMarket(network.addresses["StorageMarket"])
        self.first = 0
        self.store = PieceStore(self.folder.store, configure("cheat", "error"))

    async def run(self) -> None:
        """Cheat in the first period that asks for a leaf of a shard."""
        await self.store.open()
        try:
            await self.prepare()
            kept = sum(len(blocks.digests) for blocks in (await self._pieces()).values())
            deleted = await asyncio.to_thread(self._delete)
            # What is under way already may end at any moment: the next period has all its window before it.
            self.first = await self.chain.read(self.market.current_period())
            say("ready", node=self.node, deleted_bytes=deleted, blocks=kept)
            tried: set[int] = set()
            while True:
                period = await self._drawn(tried)
                tried.add(period)
                if await self._answer(period):
                    return
        finally:
            await self.store.close()
            await self.chain.close()

    async def prepare(self) -> None:
        """Look at what is stored before it is deleted."""

    async def invent(self, sampled: Sampled) -> tuple[bytes, dict[str, Any]]:
        """An answer without the bytes, and what to say of it."""
        raise NotImplementedError

    async def _pieces(self) -> dict[bytes, BlockList]:
        """Every piece this node promised to keep, by root."""
        found: dict[bytes, BlockList] = {}
        for agreement in await self.store.held_agreements():
            state = await self.chain.read(self.market.agreement_of(int.from_bytes(agreement, "big")))
            for piece in (await self.store.read_list(agreement, state.root)).pieces:
                found[piece.root] = self.store.require_piece(piece.root)
        return found

    def _delete(self) -> int:
        """Delete every stored block; how many bytes that were."""
        freed = 0
        for path in (self.folder.store / "blocks").rglob("*"):
            if path.is_file():
                freed += path.stat().st_size
                path.unlink()
        return freed

    async def _drawn(self, tried: set[int]) -> int:
        """The newest drawn period whose window is open and that this node owes."""
        while True:
            period = await self.chain.read(self.market.current_period()) - 1
            ledger = await self.chain.read(self.market.ledger_of(self.node))
            seed = await self.chain.read(self.market.seed_of(period))
            proven = await self.chain.read(self.market.bit_of(self.node, period))
            due = period not in tried and period >= max(self.first, ledger.missed_to) and ledger.leaves > 0
            if due and not proven and seed.seed:
                return period
            await asyncio.sleep(LOOK_SECONDS)

    async def _answer(self, period: int) -> bool:
        """Answer for `period`; False when it came too late, or a leaf of the manifest was asked for, which everybody
        can read."""
        samples = (await self.chain.read(self.market.seed_of(period))).samples
        answers, said = [], []
        for i in range(samples):
            index = await self.chain.read(self.market.sample_of(self.node, period, i))
            place = await self.chain.read(self.market.leaf_at(self.node, index))
            state = await self.chain.read(self.market.agreement_of(place.id))
            tree: AgreementTree = (await self.store.read_list(place.id.to_bytes(32, "big"), state.root)).tree()
            in_agreement = tree.proof(place.offset)
            piece = tree.pieces[in_agreement.item]
            sampled = Sampled(in_agreement, piece, self.store.require_piece(piece.root))
            if not self.is_shard(piece.root):
                say("skipped", period=period)
                return False
            answer, more = await self.invent(sampled)
            answers.append(answer)
            said.append({"piece": piece.root.hex(), "block": sampled.block, "chunk": sampled.chunk, **more})
        tx = self.market.prove(self.node, period, b"".join(answers))
        reason = await self._why(tx)
        if reason == WindowClosed.__name__:
            say("skipped", period=period)
            return False
        mined = await self._send(tx)
        ok = mined["status"] == "0x1"
        gas = int(mined["gasUsed"], 16)
        say(
            "answered",
            period=period,
            accepted=ok,
            reason=reason,
            transaction=mined["transactionHash"],
            gas=gas,
            samples=said,
        )
        return True

    def is_shard(self, root: bytes) -> bool:
        """Whether a piece is a shard; a manifest is no secret and proves nothing."""
        return True

    async def _why(self, tx: Tx[None]) -> str:
        try:
            await self.chain.simulate(tx, self.signer.address)
        except Reverted as error:
            return type(error.decoded).__name__ if error.decoded is not None else error.message
        return ""

    async def _send(self, tx: Tx[None]) -> dict[str, Any]:
        """Sign and send without asking first; the receipt, also of a reverted transaction."""
        nonce = await self.chain.transaction_count(self.signer.address)
        fee = 2 * (await self.chain.block("latest")).base_fee + 10**9
        raw = RawTransaction(self.network.chain_id, nonce, 10**9, fee, ANSWER_GAS, tx.to, 0, tx.data).sign(self.signer)
        name = await self.chain.rpc.request("eth_sendRawTransaction", "0x" + raw.raw.hex())
        while (receipt := await self.chain.rpc.request("eth_getTransactionReceipt", name)) is None:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
        found: dict[str, Any] = receipt
        return found


class Inventor(Cheat):
    """Answers with random bytes and the hash tree of a random block."""

    async def invent(self, sampled: Sampled) -> tuple[bytes, dict[str, Any]]:
        block = os.urandom(sampled.blocks.size(sampled.block))
        siblings = ChunkTree.of(block).path(sampled.chunk)
        data = block[sampled.chunk * LEAF : (sampled.chunk + 1) * LEAF]
        return sampled.answer(data, siblings), {"invented_bytes": len(data)}


class Freeloader(Cheat):
    """Keeps hash trees, reads the bytes from its peers when they are asked for."""

    def __init__(self, folder: Path, network: Network) -> None:
        super().__init__(folder, network)
        self.trees: dict[bytes, ChunkTree] = {}
        self.manifest = b""
        self.places: dict[bytes, tuple[SegmentsManifest, int, int]] = {}
        """Root of a shard → manifest, segment, shard."""

    async def prepare(self) -> None:
        for blocks in (await self._pieces()).values():
            for index, digest in enumerate(blocks.digests):
                data = await self.store.block(blocks, index)
                self.trees[digest] = await asyncio.to_thread(ChunkTree.of, data)
                if index == 0:
                    self._look_for_manifest(data)

    def _look_for_manifest(self, data: bytes) -> None:
        try:
            manifest = decode_manifest(data)
        except BlackholeError:
            return
        if isinstance(manifest, SegmentsManifest):
            self.manifest = data
            for number, segment in enumerate(manifest.segments):
                for shard, piece in enumerate(segment.pieces):
                    self.places[piece.root] = (manifest, number, shard)

    def is_shard(self, root: bytes) -> bool:
        return root in self.places

    async def invent(self, sampled: Sampled) -> tuple[bytes, dict[str, Any]]:
        manifest, number, own = self.places[sampled.piece.root]
        segment, profile = manifest.segments[number], manifest.profile
        parts = await self._fetch(segment.pieces, own, profile.k, sampled)
        rows = RowBuffer(profile.n, LEAF)
        for shard, data in parts.items():
            rows.row(shard, 0, len(data))[:] = data
        length = len(next(iter(parts.values())))
        ErasureCode(profile.k, profile.n).rebuild(rows, list(parts), [own], 0, length)
        combined = bytes(rows.row(own, 0, length))
        siblings = self.trees[sampled.blocks.digests[sampled.block]].path(sampled.chunk)
        more = {
            "segment": number,
            "shard": own,
            "fetched": {str(shard): data.hex() for shard, data in parts.items()},
            "combined": combined.hex(),
            "manifest": self.manifest.hex(),
            "siblings": [sibling.hex() for sibling in siblings],
            "offset": sampled.block * BLOCK + sampled.chunk * LEAF,
        }
        return sampled.answer(combined, siblings), more

    async def _fetch(self, pieces: tuple[Piece, ...], own: int, k: int, sampled: Sampled) -> dict[int, bytes]:
        """The KiB at the same place of k other shards, each read from a node that has it and paid by voucher."""
        transport = Transport()
        registry = NodeRegistry(self.network.addresses["NodeRegistry"])
        directory = Directory(self.chain, registry, transport)
        parts: dict[int, bytes] = {}
        try:
            infos = [info for info in await directory.offering() if info.id != self.node]
            reached, _ = await directory.reach_all(infos)
            for node in reached:
                for shard, piece in enumerate(pieces):
                    if len(parts) == k:
                        return parts
                    if shard == own or shard in parts:
                        continue
                    try:
                        await node.client.get_json(f"/v1/pieces/{piece.root.hex()}")
                    except NodeRefused:
                        continue
                    parts[shard] = await self._read(node, piece, sampled)
                    break
        finally:
            await transport.aclose()
        return parts

    async def _read(self, node: Reached, piece: Piece, sampled: Sampled) -> bytes:
        """One KiB of a peer's block: a lane, the range, a voucher for it."""
        reader = signer_from_environment()
        assert reader is not None
        hub = PaymentHub(self.network.addresses["PaymentHub"])
        token = BlackholeToken(self.network.addresses["BlackholeToken"])
        payee, amount = Address(node.info.payee), LANE_MICRO * MICRO
        receipts = await self.chain.send_many(
            [
                token.approve(hub.address, amount),
                hub.deposit(reader.address, amount),
                hub.open_lane(payee, STORAGE, reader.address, LANE_MICRO),
            ],
            reader,
        )
        lane = receipts[2].event(LaneOpened).lane
        start = sampled.chunk * LEAF
        path = f"/v1/pieces/{piece.root.hex()}/blocks/{sampled.block}"
        headers = {"Blackhole-Lane": str(lane), "Range": f"bytes={start}-{start + LEAF - 1}"}
        while True:
            try:
                data = await node.client.get(path, headers, limit=LEAF)
                break
            except NodeRefused as error:
                if error.code != "unknown_lane":
                    raise
                await asyncio.sleep(LOOK_SECONDS)  # not final yet
        domain = VoucherDomain(self.network.chain_id, hub.address)
        owed = cost_micro(len(data), node.manifest.egress_micro_per_mib)
        voucher = VoucherSigner(domain, payee, STORAGE, lane, reader).sign(owed)
        await node.client.post_json(f"/v1/lanes/{lane}", {"voucher": voucher.hex()})
        return data


def main() -> int:
    """Entry of the process."""
    end_with_parent()
    kind, folder, network = sys.argv[1:4]
    cheat = {"invent": Inventor, "freeload": Freeloader}[kind](Path(folder), Network.load(network))
    try:
        asyncio.run(cheat.run())
    except BlackholeError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
