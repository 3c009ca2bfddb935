"""The nodes a client knows: from the registry, and from what each says of itself under the registered digest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from blackhole.errors import BlackholeError, NodeError, NodeUnreachable, WrongCertificate
from blackhole.protocol import STORAGE
from blackhole.storage.node_manifest import NodeManifest
from blackhole.storage.transport import NodeClient, Transport

if TYPE_CHECKING:
    from blackhole.chain.bindings.node_registry import NodeRegistry
    from blackhole.chain.client import Chain
    from blackhole.chain.values import Address

ANSWER_SECONDS = 8.0
"""Of many nodes asked at once, one that takes longer is silent."""
PAGE = 256
"""Nodes asked for at once."""


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """What the registry says of a node.

    Attributes:
        id: in the registry.
        owner, signer, payee: its accounts; signer and payee are the owner where none are set.
        digest: SHA-256 of its manifest.
        endpoint: where it is reached; empty if no event of it was found.
        price: wei per GiB and period it offers.
        capacity: GiB it offers; 0 takes no new deals.
        region: ISO 3166-1 numeric country it declares; a hint.
    """

    id: int
    owner: Address
    signer: Address
    payee: Address
    digest: bytes
    endpoint: str
    price: int
    capacity: int
    region: int

    @property
    def host(self) -> str:
        """Host of the endpoint."""
        return urlsplit(self.endpoint).hostname or ""


@dataclass(frozen=True, slots=True)
class Reached:
    """A node that answered: what it says of itself, and the pinned connection to it."""

    info: NodeInfo
    manifest: NodeManifest
    client: NodeClient


class Directory:
    """Nodes by id, read once each and again when the registry has another digest for one."""

    def __init__(self, chain: Chain, registry: NodeRegistry, transport: Transport, *, from_block: int = 0) -> None:
        self._chain = chain
        self._registry = registry
        self._transport = transport
        self._next_block = from_block
        self._endpoints: dict[int, str] = {}
        self._reached: dict[int, Reached] = {}
        self._lock = asyncio.Lock()

    async def offering(self) -> list[NodeInfo]:
        """Every node that offers storage, by id. Raises ChainError."""
        block = (await self._chain.block("latest")).number
        ids: list[int] = []
        cursor = 0
        while True:
            page = await self._chain.read(self._registry.nodes_of(STORAGE, cursor, PAGE), at=block)
            ids += page.nodes
            cursor = page.next
            if not cursor:
                break
        return await self.infos(sorted(ids))

    async def infos(self, nodes: Iterable[int]) -> list[NodeInfo]:
        """What the registry says of these nodes, in their order. Raises ChainError."""
        wanted = list(nodes)
        await self._follow()
        records, offers = await asyncio.gather(
            self._chain.read_many([self._registry.node_of(node) for node in wanted]),
            self._chain.read_many([self._registry.offer_of(node, STORAGE) for node in wanted]),
        )
        return [
            NodeInfo(
                id=node,
                owner=record.owner,
                signer=record.signer if int(record.signer, 16) else record.owner,
                payee=record.payee if int(record.payee, 16) else record.owner,
                digest=bytes(record.manifest),
                endpoint=self._endpoints.get(node, ""),
                price=offer.price,
                capacity=offer.capacity,
                region=offer.region,
            )
            for node, record, offer in zip(wanted, records, offers, strict=True)
        ]

    async def reach(self, info: NodeInfo) -> Reached:
        """Connect to a node and check what it says against the registry.

        Raises:
            NodeUnreachable, NodeRefused: it does not answer, or not as a node does.
            WrongCertificate: its manifest or its TLS key is not the registered one.
        """
        known = self._reached.get(info.id)
        if known is not None and (known.info.digest, known.info.endpoint) == (info.digest, info.endpoint):
            return known
        if not info.endpoint:
            raise NodeError(f"Node {info.id} has no endpoint.", hint="Its operator has to publish one.")
        raw, shown = await self._transport.manifest(info.endpoint, info.digest)
        manifest = NodeManifest.decode(raw)
        if manifest.tls != shown:
            raise WrongCertificate(
                f"Node {info.id} at {info.endpoint} shows another TLS key than its manifest names.",
                data={"node": info.id, "endpoint": info.endpoint},
            )
        reached = Reached(info, manifest, self._transport.node(info.endpoint, manifest.tls))
        self._reached[info.id] = reached
        return reached

    async def reach_all(self, infos: Iterable[NodeInfo]) -> tuple[list[Reached], dict[int, BlackholeError]]:
        """As `reach` for many at once: those that answered, and why the others did not."""

        async def one(info: NodeInfo) -> Reached | BlackholeError:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await self.reach(info)
            except TimeoutError:
                return NodeUnreachable(f"Node {info.id} took longer than {ANSWER_SECONDS:.0f} s to say what it is.")
            except BlackholeError as error:
                return error

        wanted = list(infos)
        found = await asyncio.gather(*(one(info) for info in wanted))
        failed = {
            info.id: answer for info, answer in zip(wanted, found, strict=True) if isinstance(answer, BlackholeError)
        }
        return [answer for answer in found if isinstance(answer, Reached)], failed

    async def _follow(self) -> None:
        """Read the endpoints published since the last look."""
        from blackhole.chain.bindings.node_registry import ManifestSet, NodeRegistered

        async with self._lock:
            last = (await self._chain.block("latest")).number
            if last < self._next_block:
                return
            kinds: list[type[NodeRegistered | ManifestSet]] = [NodeRegistered, ManifestSet]
            for logged in await self._chain.events(self._registry.address, kinds, self._next_block, last):
                self._endpoints[logged.event.node] = logged.event.endpoint
            # The newest blocks are read again next time: a reorganisation may have changed them.
            self._next_block = max(0, last - 16)
