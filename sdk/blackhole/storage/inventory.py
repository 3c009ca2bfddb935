"""What a payer's agreements hold, and where: the chain's roots, and the nodes' lists checked against them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from blackhole.errors import BlackholeError, IntegrityError, NodeUnreachable
from blackhole.storage.agreement_tree import PieceList
from blackhole.storage.directory import ANSWER_SECONDS
from blackhole.storage.list_copies import find, spread

if TYPE_CHECKING:
    from blackhole.chain.bindings.storage_market import Agreement, Ledger
    from blackhole.storage.core import StorageCore
    from blackhole.storage.directory import Reached

LIVE = (1, 2)
"""Status Open and Terminated of IStorageMarket."""
LOST = 4
"""Status Lost: closed after its node's tenth miss."""


@dataclass(frozen=True, slots=True)
class Held:
    """One agreement.

    Attributes:
        id: on chain.
        agreement: as the chain has it.
        pieces: what it holds, checked against the chain's root; None when neither its node nor a copy tells.
        reached: the node; None when it does not answer.
        error: why not.
        seconds: how long it took to answer.
    """

    id: int
    agreement: Agreement
    pieces: PieceList | None
    reached: Reached | None
    error: BlackholeError | None
    seconds: float

    @property
    def node(self) -> int:
        return self.agreement.node

    @property
    def told(self) -> bool:
        """Whether its node itself says that it holds them."""
        return self.live and self.error is None

    @property
    def silent(self) -> bool:
        """Whether it lives on chain and its node did not tell what it holds."""
        return self.live and self.error is not None

    @property
    def live(self) -> bool:
        """Whether the chain still counts it; a lost one only names what was lost."""
        return self.agreement.status in LIVE


@dataclass(frozen=True, slots=True)
class Inventory:
    """A payer's agreements that have not ended.

    Attributes:
        period: the current one.
        held: every agreement, the lost ones too.
        ledgers: what the market knows of their nodes, by id.
        places: piece root → agreements whose node says it holds it, the quickest node first.
    """

    period: int
    held: tuple[Held, ...]
    ledgers: Mapping[int, Ledger]
    places: Mapping[bytes, tuple[Held, ...]] = field(default_factory=dict)

    def holding(self, roots: Collection[bytes]) -> list[Held]:
        """The live agreements known to hold any of these pieces. The payer's other objects have others."""
        return [
            each
            for each in self.held
            if each.live and each.pieces is not None and any(piece.root in roots for piece in each.pieces.pieces)
        ]


async def agreements_of(core: StorageCore, payer: str) -> list[int]:
    """Every agreement the chain ever opened for `payer`."""
    from blackhole.chain.bindings.storage_market import Opened

    topic = bytes(12) + bytes.fromhex(payer[2:])
    last = (await core.chain.block("latest")).number
    logs = await core.chain.logs(core.market.address, [Opened.TOPIC, None, topic], core.connection.network.block, last)
    return [int.from_bytes(log.topics[1], "big") for log in logs]


async def take(core: StorageCore, payer: str, ids: Iterable[int] | None = None) -> Inventory:
    """The live agreements of `payer` (or those in `ids`) and what they hold. Raises ChainError."""
    wanted = await agreements_of(core, payer) if ids is None else list(dict.fromkeys(ids))
    clock, found = await asyncio.gather(
        core.clock(), core.chain.read_many([core.market.agreement_of(identity) for identity in wanted])
    )
    live = [
        (identity, agreement)
        for identity, agreement in zip(wanted, found, strict=True)
        if (agreement.status in LIVE or agreement.status == LOST) and agreement.end > clock.period
    ]
    nodes = sorted({agreement.node for _, agreement in live})
    infos, ledgers = await asyncio.gather(
        core.directory.infos(nodes), core.chain.read_many([core.market.ledger_of(node) for node in nodes])
    )
    reached, failed = await core.directory.reach_all(infos)
    by_node = {each.info.id: each for each in reached}

    async def ask(identity: int, agreement: Agreement) -> Held:
        node = by_node.get(agreement.node)
        if node is None or agreement.status not in LIVE:
            return Held(identity, agreement, None, node, failed.get(agreement.node), 0.0)
        began = time.monotonic()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                pieces = await listed_pieces(node, identity, agreement)
        except TimeoutError:
            error = NodeUnreachable(f"node {agreement.node} took longer than {ANSWER_SECONDS:.0f} s")
            return Held(identity, agreement, None, None, error, ANSWER_SECONDS)
        except BlackholeError as error:
            return Held(identity, agreement, None, node, error, time.monotonic() - began)
        return Held(identity, agreement, pieces, node, None, time.monotonic() - began)

    held = await asyncio.gather(*(ask(identity, agreement) for identity, agreement in live))
    places: dict[bytes, list[Held]] = {}
    for each in sorted(held, key=lambda each: each.seconds):
        for piece in each.pieces.pieces if each.pieces is not None else ():
            places.setdefault(piece.root, []).append(each)
    return Inventory(
        clock.period,
        tuple(held),
        dict(zip(nodes, ledgers, strict=True)),
        {root: tuple(where) for root, where in places.items()},
    )


async def listed_pieces(node: Reached, identity: int, agreement: Agreement) -> PieceList:
    """The agreement's pieces as its node lists them. Raises IntegrityError when they are not what the chain signed."""
    root = bytes(agreement.root)
    if not agreement.leaves:
        return PieceList()
    raw = await node.client.get(f"/v1/agreements/{identity:064x}/pieces?root={root.hex()}")
    pieces = PieceList.decode(raw)
    if not pieces.pieces or pieces.tree().root != root or pieces.leaves != agreement.leaves:
        raise IntegrityError(f"node {agreement.node} lists other pieces than the agreement's root says")
    return pieces


async def from_copies(core: StorageCore, inventory: Inventory) -> Inventory:
    """The inventory with the lists of silent and lost nodes filled in, where a copy has the root the chain knows."""
    answering = [each.reached for each in inventory.held if each.told and each.reached is not None]

    async def one(held: Held) -> Held:
        if held.pieces is not None or not held.agreement.leaves:
            return held
        return replace(held, pieces=await find(core, held.id, held.agreement, answering))

    return replace(inventory, held=tuple(await asyncio.gather(*map(one, inventory.held))))


async def copy_lists(core: StorageCore, agreements: Iterable[str]) -> None:
    """Copy the lists of these agreements (0x-hex) of the account, as they are now, to where they outlive their nodes.

    Costs nothing; where it fails the next Change does it again.
    """
    ids = [int(each, 16) for each in agreements if each]
    try:
        await spread(core, (await take(core, core.account, ids)).held if ids else ())
    except BlackholeError:
        return


def infer(inventory: Inventory, lists: Iterable[PieceList]) -> Inventory:
    """The inventory with the lists of silent nodes filled in, where one of `lists` has the root the chain knows."""
    known = {(each.tree().root, each.leaves): each for each in lists}
    held = tuple(
        replace(each, pieces=known.get((bytes(each.agreement.root), each.agreement.leaves)))
        if each.pieces is None
        else each
        for each in inventory.held
    )
    return replace(inventory, held=held)
