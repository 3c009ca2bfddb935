"""What a node stores: pieces of blocks, and the lists of pieces its agreements are over.

    store/blocks/            the block store, each block under its CID
    store/pieces/<xx>/<root>  a piece: its length and the digests of its blocks; its name is their root
    store/lists/<id>/<root>   the pieces of agreement <id> under the content root <root>, as signed
    store/index.sqlite        which piece has which blocks, which agreement holds which piece

Piece files and lists are checked against their names when they are read; the index is made again when it is damaged.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from blackhole.errors import DiskError, IntegrityError
from blackhole.node.logs import Log
from blackhole.node.storage.index import DamagedIndex, PieceIndex, Totals, index_error
from blackhole.paths import disk_errors, private_folder, write_private
from blackhole.storage.agreement_tree import Piece, PieceList
from blackhole.storage.blocks import BlockList
from blackhole.storage.ipfs import dag_cbor
from blackhole.storage.ipfs.embedded import Batch, EmbeddedBlockStore
from blackhole.storage.ipfs.store import BlockNotFound

T = TypeVar("T")

CACHED = 256
"""Piece files kept in memory: a read touches one a block."""


class PieceStore:
    """All of a node's content. What touches the disk runs in a thread; the event loop never waits for it."""

    def __init__(self, folder: Path, log: Log) -> None:
        self.folder = folder
        self.log = log
        self._pieces = folder / "pieces"
        self._lists = folder / "lists"
        # SQLite is used from one thread; blocks are read and written by a few.
        self._one = ThreadPoolExecutor(1, "index")
        self._disk = ThreadPoolExecutor(4, "disk")
        self._cache: OrderedDict[bytes, BlockList] = OrderedDict()
        # What one piece shares with another is neither found while it is deleted nor deleted while it is found.
        self._sharing = asyncio.Lock()
        self.blocks: EmbeddedBlockStore
        self._index: PieceIndex

    async def open(self) -> None:
        """Open the store; a damaged index is made again. Raises DiskError."""
        for folder in (self.folder, self._pieces, self._lists):
            private_folder(folder)
        self.blocks = await self.in_disk_thread(EmbeddedBlockStore, self.folder / "blocks")
        await self._in_index_thread(self._open_index)

    async def close(self) -> None:
        """Wait for what is under way and close the files."""
        if hasattr(self, "_index"):
            await self._in_index_thread(self._index.close)
            await self.in_disk_thread(self.blocks.close)
        self._one.shutdown()
        self._disk.shutdown()

    # ------------------------------------------------------------------------------------------------ pieces

    async def piece(self, root: bytes) -> BlockList | None:
        """The blocks of a piece, None when it is not stored. Raises IntegrityError when its file is damaged."""
        known = self._cache.get(root)
        if known is None:
            known = await self.in_disk_thread(self._read_piece, root)
            if known is None:
                return None
            self._cache[root] = known
            if len(self._cache) > CACHED:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(root)
        return known

    def require_piece(self, root: bytes) -> BlockList:
        """The blocks of a piece that must be here; waits for the disk. Raises IntegrityError."""
        known = self._cache.get(root) or self._read_piece(root)
        if known is None:
            raise IntegrityError(f"piece {root.hex()} is not stored", code="missing_piece")
        return known

    async def add(self, blocks: BlockList, batch: Batch) -> Piece:
        """Keep a piece whose blocks are in `batch`: on return all of it is on the disk.

        Raises DiskFull, DiskError; BlockNotFound when a block it shares was deleted meanwhile: send it again.

        The piece is entered before its blocks are committed: should the process die between, the next start finds a
        piece nothing holds and removes it with whatever blocks it has.
        """
        piece = blocks.piece
        await self.in_disk_thread(self._write_piece, piece.root, blocks)
        async with self._sharing:
            await self._in_index_thread(self._index.add, piece.root, piece.leaves, blocks.length, blocks.digests)
        # From here on nobody deletes its blocks; one that was shared and deleted before is missed now.
        await self.in_disk_thread(batch.commit)
        await self.in_disk_thread(self._require, blocks)
        return piece

    async def remove(self, root: bytes) -> None:
        """Delete a piece and the blocks no other piece has."""
        self._cache.pop(root, None)
        async with self._sharing:
            digests = await self._in_index_thread(self._index.remove, root)
            await self.in_disk_thread(self._delete, root, digests)

    async def known(self, roots: Sequence[bytes]) -> set[bytes]:
        """Which of these pieces are stored."""
        return await self._in_index_thread(self._index.known, roots)

    async def holders(self, root: bytes) -> list[bytes]:
        """The agreements (ids, 32 bytes) that hold a piece."""
        return await self._in_index_thread(self._index.holders, root)

    async def totals(self) -> Totals:
        """Pieces and bytes stored."""
        return await self._in_index_thread(self._index.totals)

    async def unheld(self) -> list[bytes]:
        """Roots of the pieces no agreement holds."""
        return list(await self._in_index_thread(self._index.unheld))

    async def block(self, blocks: BlockList, index: int) -> bytes:
        """A block, checked against its CID. Raises BlockNotFound, IntegrityError."""
        return await self.in_disk_thread(self.blocks.get, blocks.cid(index))

    async def block_range(self, blocks: BlockList, index: int, start: int, length: int) -> bytes:
        """A part of a block, not checked: whoever reads it does. Raises BlockNotFound."""
        return await self.in_disk_thread(self.blocks.get_range, blocks.cid(index), start, length)

    # ------------------------------------------------------------------------------------------------- lists

    async def write_list(self, agreement: bytes, pieces: PieceList) -> None:
        """Keep the pieces of an agreement under their content root."""
        await self.in_disk_thread(self._write_list, agreement, pieces)

    async def read_list(self, agreement: bytes, root: bytes) -> PieceList:
        """The pieces of `agreement` under content root `root`. Raises IntegrityError, DiskError."""
        return await self.in_disk_thread(self._read_list, agreement, root)

    async def list_names(self, agreement: bytes) -> set[str]:
        """The content roots (hex) whose lists are kept for an agreement."""
        folder = self._lists / agreement.hex()
        return await self.in_disk_thread(lambda: {path.name for path in folder.glob("[0-9a-f]*")})

    async def hold(self, agreement: bytes, roots: Iterable[bytes]) -> list[bytes]:
        """`agreement` holds these pieces and no others; returns those nothing holds any more."""
        return await self._in_index_thread(self._index.hold, agreement, list(roots))

    async def held_agreements(self) -> set[bytes]:
        """Every agreement that holds a piece."""
        return await self._in_index_thread(self._index.agreements)

    async def drop_lists(self, agreement: bytes, keep: Iterable[bytes] = ()) -> None:
        """Delete an agreement's lists but those under the content roots `keep`."""
        await self.in_disk_thread(self._drop_lists, agreement, {root.hex() for root in keep})

    # ---------------------------------------------------------------------------------------------- internal

    async def in_disk_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """Run something that waits for the disk."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, functools.partial(function, *arguments))

    async def _in_index_thread(self, function: Callable[..., T], *arguments: object) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._one, functools.partial(function, *arguments))
        except sqlite3.Error as error:
            raise index_error(error, self._index_path) from error

    @property
    def _index_path(self) -> Path:
        return self.folder / "index.sqlite"

    def _open_index(self) -> None:
        path = self._index_path
        try:
            self._index = PieceIndex(path)
        except DamagedIndex as error:
            self.log.error("the index is damaged and made again", reason=str(error))
            with disk_errors(path):
                path.replace(path.with_suffix(".damaged"))
                for suffix in ("-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
            self._index = PieceIndex(path)
        if self._index.fresh:
            self._fill_index()

    def _fill_index(self) -> None:
        count = 0
        for path in self._pieces.glob("*/*"):
            try:
                root = bytes.fromhex(path.name)
                blocks = self._read_piece(root)
            except (ValueError, IntegrityError) as error:
                self.log.error("a piece file is damaged", file=path.name, reason=str(error))
                continue
            if blocks is not None:
                self._index.add(root, blocks.piece.leaves, blocks.length, blocks.digests)
                count += 1
        if count:
            self.log.warning("index made from piece files", pieces=count)

    def _file(self, root: bytes) -> Path:
        name = root.hex()
        return self._pieces / name[:2] / name

    def _write_piece(self, root: bytes, blocks: BlockList) -> None:
        path = self._file(root)
        if not path.exists():
            private_folder(path.parent)
            write_private(path, dag_cbor.encode([1, blocks.length, b"".join(blocks.digests)]))

    def _read_piece(self, root: bytes) -> BlockList | None:
        try:
            raw = self._file(root).read_bytes()
        except FileNotFoundError:
            return None
        match dag_cbor.decode(raw):
            case [1, int(length), bytes(joined)] if len(joined) % 32 == 0:
                blocks = BlockList(tuple(joined[i : i + 32] for i in range(0, len(joined), 32)), length)
            case _:
                raise IntegrityError(f"the file of piece {root.hex()} is malformed")
        if blocks.piece.root != root:
            raise IntegrityError(f"the file of piece {root.hex()} is not what its name says")
        return blocks

    def _require(self, blocks: BlockList) -> None:
        for index, cid in enumerate(blocks.cids):
            stat = self.blocks.stat(cid)
            if stat is None or stat.size != blocks.size(index):
                raise BlockNotFound(f"block {cid} was deleted meanwhile", hint="Send the piece again.")

    def _delete(self, root: bytes, digests: Iterable[bytes]) -> None:
        from blackhole.storage.ipfs.cid import BLAKE3, RAW, Cid

        self.blocks.delete(Cid.make(RAW, BLAKE3, digest) for digest in digests)
        self._file(root).unlink(missing_ok=True)

    def _list(self, agreement: bytes, root: bytes) -> Path:
        return self._lists / agreement.hex() / root.hex()

    def _write_list(self, agreement: bytes, pieces: PieceList) -> None:
        path = self._list(agreement, _root(pieces))
        if pieces.pieces and not path.exists():
            private_folder(path.parent)
            write_private(path, pieces.encode())

    def _read_list(self, agreement: bytes, root: bytes) -> PieceList:
        if root == bytes(32):
            return PieceList()
        path = self._list(agreement, root)
        try:
            pieces = PieceList.decode(path.read_bytes())
        except OSError as error:
            raise DiskError(f"cannot read the piece list {path.name}: {error.strerror}") from error
        if _root(pieces) != root:
            raise IntegrityError(f"the piece list {path.name} is not what its name says")
        return pieces

    def _drop_lists(self, agreement: bytes, keep: set[str]) -> None:
        folder = self._lists / agreement.hex()
        for path in list(folder.glob("*")):
            if path.name not in keep:
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()


def _root(pieces: PieceList) -> bytes:
    return pieces.tree().root if pieces.pieces else bytes(32)
