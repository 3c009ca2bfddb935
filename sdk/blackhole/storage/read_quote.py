"""What a read would cost, from the manifest and the prices of the nodes that would serve it. Nothing is paid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blackhole.errors import PriceTooHigh
from blackhole.protocol import MICRO
from blackhole.storage.get import ObjectReader, open_pack, price_of, rows_of, used_of
from blackhole.storage.manifest import InlineManifest, PackedManifest
from blackhole.storage.reading import Purse
from blackhole.storage.small import sealed_length
from blackhole.storage.types import ReadQuote

if TYPE_CHECKING:
    from blackhole.storage.caps import ReadCap
    from blackhole.storage.core import StorageCore


async def read_quote(core: StorageCore, cap: ReadCap, *, start: int = 0, length: int | None = None) -> ReadQuote:
    """What reading an object, or `length` bytes of it from `start`, would cost at its quickest nodes.

    Raises:
        PriceTooHigh: its manifest, where its size stands, is not on this machine, and no node gives it free.
        NotEnoughShards, ChainError.
    """
    reader = await ObjectReader.open(core, cap, Purse(0))
    try:
        manifest = await reader.manifest()
        stop = manifest.length if length is None else min(manifest.length, start + length)
        size = max(0, stop - start)
        if isinstance(manifest, InlineManifest):
            return ReadQuote(size, (), 0)  # the bytes are in the manifest
        if isinstance(manifest, PackedManifest):
            inner, pack, _ = await open_pack(reader, manifest, cap)
            rows = rows_of(pack, manifest.offset, manifest.offset + sealed_length(manifest.length))
            need = inner.needs(*used_of(pack, rows))
        else:
            need = reader.needs(*used_of(manifest, rows_of(manifest, start, stop)))
        return ReadQuote(size, tuple(sorted(each.node for each in need)), price_of(need) * MICRO)
    except PriceTooHigh as error:
        raise PriceTooHigh(
            "What it costs stands in its manifest, which is not on this machine, and reading that is not free.",
            hint="Read it with a limit (--max-price): nothing is paid beyond.",
            data=error.data,
        ) from error
    finally:
        await reader.finish()
