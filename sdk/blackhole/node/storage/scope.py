"""What a grant over a manifest covers: the pieces that manifest lists, as far as this node holds the manifest."""

from __future__ import annotations

from collections import OrderedDict

from blackhole.errors import IntegrityError, StorageError
from blackhole.node.storage.pieces import PieceStore
from blackhole.protocol import BLOCK
from blackhole.storage.manifest import InlineManifest, PackedManifest, SegmentsManifest
from blackhole.storage.manifest_reading import decode_manifest, join_parts
from blackhole.storage.sum_tree import entry

CACHED = 32
"""Manifests whose pieces are kept in memory: 32 bytes a piece."""


class Scopes:
    """Finds the pieces under a manifest. Manifests are immutable, so what was found once stays true."""

    def __init__(self, store: PieceStore) -> None:
        self._store = store
        self._known: OrderedDict[bytes, frozenset[bytes]] = OrderedDict()

    async def pieces(self, manifest: bytes) -> frozenset[bytes]:
        """Roots of the pieces the manifest with piece root `manifest` lists; empty when it is none, or not here."""
        known = self._known.get(manifest)
        if known is None:
            try:
                known = await self._store.in_disk_thread(self._read, manifest)
            except StorageError:
                return frozenset()  # not remembered: it may still be uploaded
            self._known[manifest] = known
            if len(self._known) > CACHED:
                self._known.popitem(last=False)
        return known

    def _read(self, root: bytes) -> frozenset[bytes]:
        manifest = decode_manifest(self._block(root))
        if isinstance(manifest, InlineManifest):
            return frozenset()
        if isinstance(manifest, PackedManifest):
            # The object lies in the segments of a pack, which has a manifest of its own.
            pack = entry(manifest.pack.digest, manifest.pack_leaves).hash
            manifest = decode_manifest(self._block(pack))
            if isinstance(manifest, InlineManifest | PackedManifest):
                raise IntegrityError("a pack is an object in segments")
            return frozenset({pack}) | self._segments(manifest)
        return self._segments(manifest)

    def _segments(self, manifest: SegmentsManifest) -> frozenset[bytes]:
        parts = [part.piece.root for part in manifest.parts]
        if parts:
            manifest = join_parts(manifest, [self._block(part) for part in parts])
        return frozenset({*parts, *(piece.root for segment in manifest.segments for piece in segment.pieces)})

    def _block(self, root: bytes) -> bytes:
        blocks = self._store.require_piece(root)
        if len(blocks.digests) != 1 or blocks.length > BLOCK:
            raise IntegrityError("a manifest has one block")
        return self._store.blocks.get(blocks.cid(0))
