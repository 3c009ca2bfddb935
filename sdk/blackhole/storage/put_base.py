"""What a put is: its options, its journalled state, and what follows from the size of an object alone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from blackhole.errors import (
    InputError,
)
from blackhole.journal import Journal
from blackhole.protocol import LEAF
from blackhole.storage.encryption import ObjectKeys
from blackhole.storage.layout import SegmentLayout
from blackhole.storage.manifest import InlineManifest, Segment, SegmentsManifest
from blackhole.storage.profiles import PROFILES, TAG, Profile
from blackhole.storage.progress import Meter, ProgressCallback
from blackhole.storage.put_journal import KIND, PutState, PutStep
from blackhole.storage.sources import Source
from blackhole.storage.spooling import SpoolFolder, layouts

if TYPE_CHECKING:
    from blackhole.storage.core import StorageCore
    from blackhole.storage.directory import Reached
    from blackhole.storage.quotes import Offered, Offers


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
        align: periods; the end moves up to their next multiple, so that objects of different days share agreements.
    """

    profile: str = "std"
    periods: int = 30
    max_price: int | None = None
    name: str | None = None
    progress: ProgressCallback | None = None
    repair_share: int | None = None
    align: int = 1


class PutBase:
    """State and identity of one put."""

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
        self._apart: set[int] = set()
        self._permits: dict[int, tuple[int, dict[str, str]]] = {}
        self._replacing = asyncio.Lock()
        self._meter = Meter(None, None)
        self._inline: bytes | None = None

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


def checked_profile(options: PutOptions) -> Profile:
    """The profile the options name. Raises InputError for it or for no period."""
    profile = PROFILES.get(options.profile)
    if profile is None:
        raise InputError(f"There is no profile {options.profile!r}.", hint=f"Profiles: {', '.join(PROFILES)}")
    if options.periods < 1:
        raise InputError("An object is stored for at least one period.", hint="Pass periods=1 or more.")
    if options.align < 1:
        raise InputError("Ends are aligned to one period or more.", hint="Pass align=1 for exactly the periods asked.")
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
