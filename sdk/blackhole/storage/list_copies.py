"""Copies of piece lists with an account's other nodes, and on its own machine.

An agreement's list says which pieces of which objects a node holds. Where several objects share agreements nobody can
reckon it from one object's manifest, and a node that is gone tells nobody. So after each Change its list is copied to a
few of the payer's other nodes; whoever repairs, the owner or a stranger, finds it there. The chain's root proves it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING

from blackhole.errors import BlackholeError, IntegrityError, NodeError
from blackhole.storage.agreement_tree import PieceList

if TYPE_CHECKING:
    from blackhole.chain.bindings.storage_market import Agreement
    from blackhole.storage.core import StorageCore
    from blackhole.storage.directory import Reached
    from blackhole.storage.inventory import Held

COPIES = 3
"""Other nodes that get a list."""
SECONDS = 8.0
"""A node that takes longer is passed over."""


async def spread(core: StorageCore, held: Sequence[Held]) -> None:
    """Keep these agreements' lists here and copy each to `COPIES` of the others' nodes, as far as they take them."""
    known = [each for each in held if each.told and each.pieces is not None and each.pieces.pieces]
    nodes = list({each.node: each.reached for each in known}.values())

    async def one(at: int, each: Held) -> None:
        assert each.pieces is not None
        data = each.pieces.encode()
        await asyncio.to_thread(core.keep_list, each.id, data)
        # Each the next ones in the ring, so that copies spread evenly.
        others = [node for node in (*nodes[at:], *nodes[:at]) if node is not None and node.info.id != each.node]
        kept = 0
        while others and kept < COPIES:
            asked, others = others[: COPIES - kept], others[COPIES - kept :]
            kept += sum(await asyncio.gather(*(_send(node, each.id, data) for node in asked)))

    await asyncio.gather(*(one(at, each) for at, each in enumerate(known)))


async def find(core: StorageCore, identity: int, agreement: Agreement, nodes: Iterable[Reached]) -> PieceList | None:
    """The list under the root the chain has, from here or from any of `nodes`; None when nobody has it."""
    kept = await asyncio.to_thread(core.kept_list, identity)
    if kept is not None and (found := _checked(kept, agreement)) is not None:
        return found
    asked = [asyncio.create_task(_ask(node, identity, agreement)) for node in nodes]
    try:
        for answer in asyncio.as_completed(asked):
            if (found := await answer) is not None:
                return found
    finally:
        for task in asked:
            task.cancel()
    return None


def _checked(data: bytes, agreement: Agreement) -> PieceList | None:
    try:
        pieces = PieceList.decode(data)
    except IntegrityError:
        return None
    same = (pieces.root, pieces.leaves) == (bytes(agreement.root), agreement.leaves)
    return pieces if same else None


async def _ask(node: Reached, identity: int, agreement: Agreement) -> PieceList | None:
    path = f"/v1/agreements/{identity:064x}/pieces?root={bytes(agreement.root).hex()}"
    try:
        async with asyncio.timeout(SECONDS):
            return _checked(await node.client.get(path), agreement)
    except (BlackholeError, TimeoutError):
        return None


async def _send(node: Reached, identity: int, data: bytes) -> bool:
    """Whether the node took it."""

    async def body() -> AsyncIterator[memoryview]:
        yield memoryview(data)

    try:
        async with asyncio.timeout(SECONDS):
            await node.client.put(f"/v1/agreements/{identity:064x}/pieces", len(data), body(), {})
    except (NodeError, TimeoutError):
        return False  # others have it, and the next Change brings it again
    return True
