"""Which nodes hold the shards of an object: pure functions over what the client knows of each node.

Nodes that share an owner, a payee, a signer, a TLS key or a /24 are one group, also through a third node: they can fail
or cheat together. A group holds at most ⌊(n − r) / 2⌋ shards, so losing any two groups never reaches the repair mark
r. Node version and declared region are shown, never hard rules: anybody can write what he likes there.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from blackhole.errors import NoFreeNodes

REASONS_SHOWN = 3
"""How many of the commonest reasons the message of a failed placement names; its data has all."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node as placement sees it.

    Attributes:
        node: id in the registry.
        owner, payee, signer: its accounts.
        tls: sha256 of its TLS key.
        host: IP address (or name) of its endpoint.
        price: wei, what the whole request costs at this node; candidates are compared by it.
        version, region: declared, shown only.
        refused: why it cannot be used; empty if it can.
    """

    node: int
    owner: str
    payee: str
    signer: str
    tls: bytes
    host: str
    price: int
    version: str = ""
    region: int = 0
    refused: str = ""

    def links(self) -> list[tuple[str, str]]:
        """What ties it to others. An account in any of its three roles is the same account."""
        accounts = sorted({a.lower() for a in (self.owner, self.payee, self.signer)})
        return [*(("account", a) for a in accounts), ("tls", self.tls.hex()), ("net", network(self.host))]


def network(host: str) -> str:
    """The /24 (IPv4) or /48 (IPv6) of an address; a name stands for itself."""
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower()
    return str(ip_network(f"{address}/{24 if address.version == 4 else 48}", strict=False))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of an explanation."""

    node: int
    group: int
    price: int
    chosen: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Placement:
    """Nodes in the order of their shards, and why.

    Attributes:
        nodes: chosen ids; position i holds shard i.
        spares: usable ids that were not needed, best first; `replace` respects groups.
        rows: every candidate with its group and the reason.
    """

    nodes: tuple[int, ...]
    spares: tuple[int, ...]
    rows: tuple[Row, ...]
    groups: dict[int, int] = field(default_factory=dict)
    limit: int = 1

    def replacement(self, current: Iterable[int], failed: Iterable[int]) -> int:
        """A spare for one of `failed` that keeps the groups within bounds beside `current`.

        Raises:
            NoFreeNodes: no spare is left.
        """
        bad = set(failed)
        alive = [node for node in current if node not in bad]
        for node in self.spares:
            if node in bad or node in alive:
                continue
            if sum(self.groups[other] == self.groups[node] for other in alive) < self.limit:
                return node
        raise NoFreeNodes(
            f"{len(bad)} nodes failed and no spare node is left.",
            hint="Run it again when more nodes are up; nothing is paid yet.",
            data={"failed": sorted(bad)},
        )


def group_limit(n: int, repair_at: int) -> int:
    """At most this many of `n` shards for one group: ⌊(n − r) / 2⌋, never less than one."""
    return max(1, (n - repair_at) // 2)


def group_of(candidates: Sequence[Candidate]) -> dict[int, int]:
    """Node → its group, named by the lowest node id in it."""
    parent = {candidate.node: candidate.node for candidate in candidates}

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    first: dict[tuple[str, str], int] = {}
    for candidate in candidates:
        for link in candidate.links():
            a, b = root(first.setdefault(link, candidate.node)), root(candidate.node)
            parent[max(a, b)] = min(a, b)
    return {node: root(node) for node in parent}


def place(
    candidates: Sequence[Candidate],
    *,
    n: int,
    repair_at: int,
    seed: bytes,
    held: Iterable[int] = (),
    wanted: int | None = None,
) -> Placement:
    """Choose nodes for `n` shards, the cheapest first, at most `group_limit` a group.

    Args:
        candidates: all nodes known; those with `refused` set appear in the explanation only.
        n, repair_at: of the profile.
        seed: orders equal prices, so that clients do not all choose the same nodes.
        held: nodes that hold other shards of the same object (repair); they count in their groups and are not chosen.
        wanted: how many to choose; default `n` less those held.

    Raises:
        NoFreeNodes: fewer than wanted fit; its data says how many and why the others do not.
    """
    groups = group_of(candidates)
    limit = group_limit(n, repair_at)
    taken: dict[int, int] = {}
    holding = set(held)
    for node in holding:
        if node in groups:
            taken[groups[node]] = taken.get(groups[node], 0) + 1

    def rank(candidate: Candidate) -> tuple[int, bytes]:
        return candidate.price, hashlib.sha256(seed + candidate.node.to_bytes(8, "big")).digest()

    wanted = n - len(holding) if wanted is None else wanted
    chosen: list[int] = []
    spares: list[int] = []
    rows: list[Row] = []
    for candidate in sorted(candidates, key=rank):
        group = groups[candidate.node]
        if candidate.node in holding:
            reason, picked = "holds a shard already", False
        elif candidate.refused:
            reason, picked = candidate.refused, False
        elif len(chosen) == wanted:
            reason, picked = "spare: dearer or drawn later", False
            spares.append(candidate.node)
        elif taken.get(group, 0) >= limit:
            reason, picked = f"its group holds {limit} already", False
            spares.append(candidate.node)
        else:
            taken[group] = taken.get(group, 0) + 1
            chosen.append(candidate.node)
            reason, picked = "chosen", True
        rows.append(Row(candidate.node, group, candidate.price, picked, reason))
    if len(chosen) < wanted:
        left_out: dict[str, str] = {str(row.node): row.reason for row in rows if not row.chosen}
        common = Counter(left_out.values()).most_common(REASONS_SHOWN)
        reasons = "".join(f" {count} left out: {str(reason).rstrip('.')}." for reason, count in common)
        raise NoFreeNodes(
            f"{len(chosen)} nodes can take a shard, {wanted} are needed ({len(candidates)} known).{reasons}",
            data={"usable": len(chosen), "needed": wanted, "known": len(candidates), "left_out": left_out},
        )
    return Placement(tuple(chosen), tuple(spares), tuple(rows), groups, limit)
