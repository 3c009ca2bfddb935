"""Who the nodes are: records of the registry joined with the endpoints, which stand in its events only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from blackhole.chain.bindings.node_registry import ManifestSet, NodeRegistered, Offer
from blackhole.chain.client import At
from blackhole.chain.connection import Connection
from blackhole.chain.events import EventCursor
from blackhole.chain.values import ZERO, Address
from blackhole.errors import InputError

PAGE = 500


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One node. `signer` and `payee` are resolved: the owner where the node names none."""

    node: int
    owner: Address
    signer: Address
    payee: Address
    since: int
    """Seconds."""
    manifest: bytes
    """SHA-256 of the node's manifest, which holds its TLS key."""
    endpoint: str
    """What its operator last announced."""


@dataclass(frozen=True, slots=True)
class ListedNode:
    """A node and what it offers for one service: `offer.price` wei per GiB and period, `offer.capacity` GiB."""

    record: NodeRecord
    offer: Offer


class Directory:
    """Keeps the endpoints read so far; each look reads only what is new. For one event loop."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._endpoints: dict[int, list[tuple[int, str]]] = {}
        self._cursor: EventCursor[NodeRegistered | ManifestSet] = self._new_cursor()
        self._turn = asyncio.Lock()

    def _new_cursor(self) -> EventCursor[NodeRegistered | ManifestSet]:
        return EventCursor(
            self._connection.chain,
            self._connection.registry.address,
            (NodeRegistered, ManifestSet),
            from_block=self._connection.network.block,
        )

    async def nodes(self, ids: Sequence[int], *, at: At = "latest") -> list[NodeRecord]:
        """Records of these nodes, in order. Raises `InputError` for an id nobody has."""
        registry, chain = self._connection.registry, self._connection.chain
        raw, _ = await asyncio.gather(chain.read_many([registry.node_of(each) for each in ids], at=at), self._refresh())
        records: list[NodeRecord] = []
        for number, node in zip(ids, raw, strict=True):
            if node.owner == ZERO:
                raise InputError(f"there is no node {number}")
            known = self._endpoints.get(number)
            records.append(
                NodeRecord(
                    number,
                    node.owner,
                    node.owner if node.signer == ZERO else node.signer,
                    node.owner if node.payee == ZERO else node.payee,
                    node.since,
                    node.manifest,
                    known[-1][1] if known else "",
                )
            )
        return records

    async def listed(self, service: int) -> list[ListedNode]:
        """Every node that offers a service, read at one block, by id."""
        chain, registry = self._connection.chain, self._connection.registry
        at = (await chain.block()).number
        ids: list[int] = []
        cursor = 0
        while True:
            page = await chain.read(registry.nodes_of(service, cursor, PAGE), at=at)
            ids.extend(page.nodes)
            cursor = page.next
            if cursor == 0:
                break
        ids.sort()
        records, offers = await asyncio.gather(
            self.nodes(ids, at=at), chain.read_many([registry.offer_of(each, service) for each in ids], at=at)
        )
        return [ListedNode(record, offer) for record, offer in zip(records, offers, strict=True)]

    async def _refresh(self) -> None:
        async with self._turn:
            page = await self._cursor.advance()
            if page.rewound_to is not None:
                for number, history in list(self._endpoints.items()):
                    kept = [each for each in history if each[0] <= page.rewound_to]
                    self._endpoints[number] = kept
            for logged in page.events:
                self._endpoints.setdefault(logged.event.node, []).append((logged.block, logged.event.endpoint))
