"""Logs: typed decoding, ranges an endpoint accepts, and a cursor that survives restarts and reorganisations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from blackhole.chain.abi import AbiError, Codec, split
from blackhole.chain.rpc import Rpc, RpcError
from blackhole.chain.values import Address, Event, Log, Logged
from blackhole.errors import ChainError, Reorganised

if TYPE_CHECKING:
    from blackhole.chain.client import Chain

E = TypeVar("E", bound=Event)

RANGE_FIRST: Final = 5_000
RANGE_MAX: Final = 50_000
_MEMORY: Final = 128
"""Block hashes a cursor remembers: how far back it can find where two branches part."""


def decode_log(log: Log) -> Event | None:
    """The typed event of a log; None when no contract of this project declares it."""
    from blackhole.chain.bindings._registry import event_class
    from blackhole.chain.bindings._types import TYPES

    if not log.topics or (known := event_class(log.topics[0], len(log.topics))) is None:
        return None
    kind, types = known
    try:
        names = split(types)
        unindexed = [name for name, indexed in zip(names, kind.INDEXED, strict=True) if not indexed]
        plain = iter(TYPES.many(",".join(unindexed)).decode(log.data, 0))
        topics = iter(log.topics[1:])
        values = [
            _topic(TYPES.one(name), next(topics)) if indexed else next(plain)
            for name, indexed in zip(names, kind.INDEXED, strict=True)
        ]
    except AbiError:
        return None
    event = kind(*values)
    event.address = log.address
    return event


def _topic(codec: Codec, topic: bytes) -> Any:
    # Of a value that is no single word the topic holds only the hash.
    return topic if codec.dynamic or codec.composite else codec.decode(topic, 0)


async def read_logs(
    rpc: Rpc,
    addresses: Address | Sequence[Address] | None,
    topics: Sequence[bytes | Sequence[bytes] | None],
    from_block: int,
    to_block: int,
) -> list[Log]:
    """`eth_getLogs` in ranges that shrink when the endpoint refuses and grow again. Raises `RpcError` for a single
    block."""
    found: list[Log] = []
    size = RANGE_FIRST
    start = from_block
    while start <= to_block:
        end = min(start + size - 1, to_block)
        query: dict[str, Any] = {"fromBlock": hex(start), "toBlock": hex(end), "topics": [_hex(t) for t in topics]}
        if addresses is not None:
            query["address"] = addresses if isinstance(addresses, str) else list(addresses)
        try:
            raw = await rpc.request("eth_getLogs", query)
        except RpcError:
            if end == start:
                raise
            size = max((end - start + 1) // 2, 1)
            continue
        found.extend(Log.from_rpc(each) for each in raw if not each.get("removed"))
        start = end + 1
        size = min(size * 2, RANGE_MAX)
    return found


def _hex(topic: bytes | Sequence[bytes] | None) -> Any:
    if topic is None:
        return None
    return "0x" + topic.hex() if isinstance(topic, bytes) else ["0x" + each.hex() for each in topic]


@dataclass(frozen=True, slots=True)
class Page(Generic[E]):
    """Events of the blocks up to `block`, and what to do with what was read before."""

    events: list[Logged[E]]
    block: int
    rewound_to: int | None
    """When the chain went back: everything read from blocks after this one is void and must be undone first."""


class EventCursor(Generic[E]):
    """Reads events onward from where it stands. `state()` makes it resumable: keep it with what the events led to."""

    def __init__(
        self,
        chain: Chain,
        addresses: Address | Sequence[Address] | None,
        kinds: Sequence[type[E]],
        *,
        from_block: int = 0,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self._chain = chain
        self._addresses = addresses
        self._kinds = kinds
        self._next = int(state["next"]) if state else from_block
        self._hashes: dict[int, bytes] = (
            {int(number): bytes.fromhex(value) for number, value in state["hashes"].items()} if state else {}
        )

    def state(self) -> dict[str, Any]:
        """JSON values; give them to a new cursor."""
        return {"next": self._next, "hashes": {str(number): value.hex() for number, value in self._hashes.items()}}

    async def advance(self) -> Page[E]:
        """What happened since the last call. Raises `Reorganised` when the branches part before all it remembers."""
        rewound: int | None = None
        while True:
            back = await self._rewind()
            if back is not None:
                rewound = back if rewound is None else min(back, rewound)
            head = await self._chain.block("latest")
            if head.number < self._next:
                return Page([], self._next - 1, rewound)
            events = await self._chain.events(self._addresses, self._kinds, self._next, head.number)
            if (await self._chain.block(head.number)).hash == head.hash:
                break
        self._hashes[head.number] = head.hash
        for number in sorted(self._hashes)[:-_MEMORY]:
            del self._hashes[number]
        self._next = head.number + 1
        return Page(events, head.number, rewound)

    async def _rewind(self) -> int | None:
        """Drop remembered blocks the chain no longer has; the last common one, or None when nothing changed."""
        changed = False
        for number in sorted(self._hashes, reverse=True):
            try:
                same = (await self._chain.block(number)).hash == self._hashes[number]
            except ChainError:
                same = False
            if same:
                if changed:
                    self._next = number + 1
                    return number
                return None
            changed = True
            del self._hashes[number]
        if changed:
            raise Reorganised(f"the chain went back further than the last {_MEMORY} reads")
        return None

    async def follow(self, *, pause: float = 1.0) -> AsyncIterator[Page[E]]:
        """Pages for ever; `pause` seconds between looks at the chain."""
        while True:
            page = await self.advance()
            if page.events or page.rewound_to is not None:
                yield page
            await asyncio.sleep(pause)
