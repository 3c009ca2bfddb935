"""Services, nodes and offers."""

from __future__ import annotations

from functools import cached_property

from blackhole.chain.bindings.node_registry import NodeRegistered, Offer
from blackhole.chain.bindings.service_catalog import Service as ServiceRow
from blackhole.chain.service import ConnectedService, Plan, one, write
from blackhole.chain.values import ZERO, Address, Receipt, address
from blackhole.face import M, operation
from blackhole.registry.directory import Directory, ListedNode, NodeRecord


class Registry(ConnectedService[M]):
    """The catalog of services and the registry of nodes. Errors of the contracts arrive as `Reverted` with the typed
    error of `blackhole.chain.bindings.node_registry` or `service_catalog`.

    Source: `contracts/registry/NodeRegistry.sol`, `contracts/registry/ServiceCatalog.sol`.
    """

    @cached_property
    def directory(self) -> Directory:
        """The core behind the reads; for code that is asynchronous itself."""
        return Directory(self.connection)

    # Services

    @operation
    async def service(self, service: int) -> ServiceRow:
        """The row of a service (1 is storage); all zero when there is none."""
        return await self.connection.chain.read(self.connection.catalog.service(service))

    @operation
    async def is_open(self, service: int) -> bool:
        """Whether new deals of the service may start now."""
        return await self.connection.chain.read(self.connection.catalog.is_open(service))

    @operation
    async def guardian(self) -> Address | None:
        """Who may close the entries of a service; None when there is nobody."""
        found = await self.connection.chain.read(self.connection.catalog.guardian())
        return None if found == ZERO else found

    @operation
    async def last_closed(self, service: int) -> int:
        """When the Guardian last closed the entries of a service (seconds), 0 if never: the next time is 60 days
        later.
        """
        return await self.connection.chain.read(self.connection.catalog.last_closed_at(service))

    @write
    async def close_entries(self, service: int, until: int) -> Plan[Receipt]:
        """Let no new deal of a service start before `until` (seconds), at most 7 days away; what runs goes on.

        The Guardian. Reverts NotGuardian, UnknownService, InvalidClosing, ClosedTooSoon.
        """
        return one(self.connection.catalog.close_entries(service, until))

    # Nodes

    @operation
    async def node(self, node: int) -> NodeRecord:
        """One node. Raises `InputError` when there is none of that id."""
        return (await self.directory.nodes([node]))[0]

    @operation
    async def nodes(self, service: int) -> list[ListedNode]:
        """Every node that offers a service, with its offer, by id."""
        return await self.directory.listed(service)

    @operation
    async def node_count(self) -> int:
        """How many nodes there are; ids run from 1 to this."""
        return await self.connection.chain.read(self.connection.registry.node_count())

    @operation
    async def listed_count(self, service: int) -> int:
        """How many nodes offer a service."""
        return await self.connection.chain.read(self.connection.registry.listed_count(service))

    @operation
    async def pending_owner(self, node: int) -> Address | None:
        """To whom a node is offered; None when to nobody."""
        found = await self.connection.chain.read(self.connection.registry.pending_owner_of(node))
        return None if found == ZERO else found

    @operation
    async def offer(self, node: int, service: int) -> Offer:
        """A node's offer for a service: `price` wei per GiB and period, `capacity` GiB; all zero without one."""
        return await self.connection.chain.read(self.connection.registry.offer_of(node, service))

    @write
    async def register(self, manifest: bytes, endpoint: str) -> Plan[int]:
        """Register a node of one's own; the result is its id. Anyone; the sender becomes its owner.

        `manifest`: SHA-256 digest of its manifest. `endpoint`: where clients reach it, 1 to 256 bytes. Reverts
        EmptyManifest, InvalidEndpoint.
        """
        return Plan(
            (self.connection.registry.register(manifest, endpoint),),
            lambda receipts: receipts[0].event(NodeRegistered).node,
        )

    @write
    async def set_offer(self, node: int, service: int, price: int, capacity: int, region: int = 0) -> Plan[Receipt]:
        """Offer `capacity` GiB at `price` wei per GiB and period; capacity 0 withdraws. Owner or signer.

        `region`: ISO 3166-1 numeric code, 0 for none. Reverts NotNodeOperator, InvalidService, NotListed.
        """
        return one(self.connection.registry.set_offer(node, service, price, capacity, region))

    @write
    async def set_manifest(self, node: int, manifest: bytes, endpoint: str) -> Plan[Receipt]:
        """Announce another manifest or endpoint. Owner or signer. Reverts EmptyManifest, InvalidEndpoint."""
        return one(self.connection.registry.set_manifest(node, manifest, endpoint))

    @write
    async def set_keys(self, node: int, signer: str | None = None, payee: str | None = None) -> Plan[Receipt]:
        """Set the agent's hot signer and who new deals pay; None is the owner. Live deals keep their payee. Owner only.
        Reverts NotNodeOwner.
        """
        return one(
            self.connection.registry.set_keys(
                node,
                ZERO if signer is None else address(signer),
                ZERO if payee is None else address(payee),
            )
        )

    @write
    async def transfer_node(self, node: int, to: str | None) -> Plan[Receipt]:
        """Offer the node to another owner, who accepts; None takes the offer back. Owner only."""
        return one(self.connection.registry.transfer_node(node, ZERO if to is None else address(to)))

    @write
    async def accept_node(self, node: int) -> Plan[Receipt]:
        """Take over an offered node. Reverts NotPendingOwner, NodeHasStake (take over the staker's role first)."""
        return one(self.connection.registry.accept_node(node))
