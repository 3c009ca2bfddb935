"""Asking nodes what they want, and choosing among them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blackhole.chain.signatures import recover
from blackhole.errors import BlackholeError, IntegrityError, NodeError, NodeUnreachable
from blackhole.storage.deals import start_period
from blackhole.storage.directory import ANSWER_SECONDS
from blackhole.storage.joining import aligned_end, lasting, places
from blackhole.storage.placement import Candidate, Placement, place
from blackhole.storage.types import NodeQuote, Quote

if TYPE_CHECKING:
    from blackhole.storage.core import StorageCore
    from blackhole.storage.directory import NodeInfo, Reached
    from blackhole.storage.profiles import Profile

ASKED_AT_LEAST = 64
"""Nodes asked for a quote; of a larger network the cheapest, four times as many as there are shards."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A node and its signed quote.

    Attributes:
        rate: wei a period for `leaves`.
        egress: micro-HOLE a MiB read.
        row, signature: as the node sent them, to be shown to it again.
    """

    reached: Reached
    leaves: int
    rate: int
    egress: int
    row: Mapping[str, Any]
    signature: str

    @property
    def node(self) -> int:
        return self.reached.info.id


@dataclass(frozen=True, slots=True)
class Offers:
    """What came of asking.

    Attributes:
        placement: the chosen nodes and the reasons.
        offered: every usable quote, by node.
        infos: every node asked or known, by id.
    """

    placement: Placement
    offered: Mapping[int, Offered]
    infos: Mapping[int, NodeInfo]


async def ask_one(core: StorageCore, info: NodeInfo, leaves: int, periods: int, *, payer: str | None = None) -> Offered:
    """One node's quote for `payer` (default: the account).

    Raises:
        NodeError: it does not answer, or not with a quote of its own for this request.
    """
    reached = await core.directory.reach(info)
    whom = payer or core.account
    body = {"payer": whom, "leaves": leaves, "periods": periods}
    return _checked(core, reached, await reached.client.post_json("/v1/quotes", body), leaves, whom)


async def ask(
    core: StorageCore,
    profile: Profile,
    leaves: int,
    periods: int,
    *,
    seed: bytes,
    held: Iterable[int] = (),
    without: Iterable[int] = (),
    payer: str | None = None,
    wanted: int | None = None,
) -> Offers:
    """Ask the nodes that offer storage and place `profile.n` shards of `leaves` KiB each.

    Args:
        held: nodes that hold other shards of the object already (repair).
        without: nodes that are not asked.
        payer: for whom; default the account.
        wanted: how many nodes to choose; default all but those held.

    Raises:
        NoFreeNodes: too few fit; its data names why each was left out.
        ChainError.
    """
    infos = await core.directory.offering()
    holding = set(held)
    refused = {info.id: "offers no capacity" for info in infos if not info.capacity}
    refused |= dict.fromkeys(without, "fails at present")
    usable = sorted((info for info in infos if info.id not in refused), key=lambda info: info.price)
    asked = [info for info in usable if info.id not in holding][: max(ASKED_AT_LEAST, 4 * profile.n)]
    refused |= {info.id: "dearer than those asked" for info in usable if info not in asked}

    async def one(info: NodeInfo) -> Offered | BlackholeError:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await ask_one(core, info, leaves, periods, payer=payer)
        except TimeoutError:
            return NodeUnreachable(f"Node {info.id} took longer than {ANSWER_SECONDS:.0f} s to quote.")
        except (NodeError, IntegrityError) as error:
            return error

    answers = await asyncio.gather(*(one(info) for info in asked))
    offered: dict[int, Offered] = {}
    for info, answer in zip(asked, answers, strict=True):
        if isinstance(answer, Offered):
            offered[info.id] = answer
        else:
            refused[info.id] = answer.message
    if missing := holding - {info.id for info in infos}:
        infos = [*infos, *await core.directory.infos(sorted(missing))]
    candidates = [_candidate(info, offered.get(info.id), refused.get(info.id, "")) for info in infos]
    placement = place(candidates, n=profile.n, repair_at=profile.repair_at, seed=seed, held=holding, wanted=wanted)
    return Offers(placement, offered, {info.id: info for info in infos})


def own_order(core: StorageCore) -> bytes:
    """Orders nodes of equal price: the same for every object of an account, so that its objects share agreements, and
    another for each account."""
    return bytes.fromhex(core.account[2:])


async def summarise(
    core: StorageCore,
    offers: Offers,
    *,
    size: int,
    profile: Profile,
    leaves: int,
    periods: int,
    align: int,
    reserve: Callable[[int], int],
) -> Quote:
    """The offers as the caller sees them: what is locked where, and which agreements of the account would be joined.

    Args:
        leaves: KiB a node holds.
        periods, align: of the deal; see `joining.aligned_end`.
        reserve: wei set aside for repair at a rate.
    """
    placement = offers.placement
    clock, joined = await asyncio.gather(core.clock(), places(core, placement.nodes, lasting(periods, align)))
    start = start_period(clock)
    span = aligned_end(start, periods, align) - start
    spans = {node: joined[node].periods if node in joined else span for node in placement.nodes}
    shard_of = {node: shard for shard, node in enumerate(placement.nodes)}
    rates = {node: offers.offered[node].rate for node in placement.nodes}
    storage = sum(rates[node] * spans[node] for node in placement.nodes)
    repair = sum(reserve(rate) for rate in rates.values())
    cheapest = sorted(offers.offered[node].egress for node in placement.nodes)[: profile.k]
    mib = -(-leaves // 1024)
    rows = tuple(
        NodeQuote(
            node=row.node,
            endpoint=offers.infos[row.node].endpoint,
            shard=shard_of.get(row.node),
            group=row.group,
            rate=offers.offered[row.node].rate if row.node in offers.offered else 0,
            egress=offers.offered[row.node].egress if row.node in offers.offered else 0,
            reason=row.reason,
            joins=hex(joined[row.node].id) if row.node in joined else "",
        )
        for row in placement.rows
    )
    return Quote(
        size=size,
        profile=profile.name,
        periods=max(spans.values()),
        period_seconds=clock.seconds,
        leaves=leaves * profile.n,
        rate=sum(rates.values()),
        storage=storage,
        repair=repair,
        total=storage + repair,
        read_micro=sum(price * mib for price in cheapest),
        nodes=rows,
    )


def _candidate(info: NodeInfo, offer: Offered | None, refused: str) -> Candidate:
    manifest = offer.reached.manifest if offer is not None else None
    return Candidate(
        node=info.id,
        owner=info.owner,
        payee=info.payee,
        signer=info.signer,
        tls=manifest.tls if manifest is not None else info.digest,
        host=info.host,
        price=offer.rate if offer is not None else info.price,
        version=manifest.version if manifest is not None else "",
        region=info.region,
        refused=refused if offer is None else "",
    )


def _checked(core: StorageCore, reached: Reached, answer: Any, leaves: int, payer: str) -> Offered:
    """The quote, if it is this node's and answers what was asked."""
    from blackhole.storage.terms import Quote as SignedQuote

    info = reached.info
    try:
        row, signature = answer["quote"], bytes.fromhex(answer["signature"].removeprefix("0x"))
        quote = SignedQuote.from_json(row)
        signer = recover(quote.digest(core.domain), signature)
    except (KeyError, TypeError, ValueError, AttributeError, BlackholeError) as error:
        raise NodeError(f"Node {info.id} answers with something that is no quote.") from error
    same = (quote.node, quote.payer.lower(), quote.payee.lower(), quote.leaves)
    if same != (info.id, payer.lower(), info.payee.lower(), leaves) or signer != info.signer:
        raise NodeError(f"Node {info.id} quotes for another request, or under another key.")
    return Offered(reached, leaves, quote.rate, quote.egress, row, answer["signature"])
