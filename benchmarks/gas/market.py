"""Gas of the storage market: whole transactions from receipts, calldata and the 21,000 included, through the proxies.

`rows(chain)` deploys what it needs on a running chain (`tests/contracts/model/chain.py`) and returns its rows. Run
alone, after `FOUNDRY_PROFILE=release forge build`:  FOUNDRY_PROFILE=release python benchmarks/gas/market.py

The node that proves holds 1 TiB: 64 deals of 4,096 pieces of four full blocks. All blocks are the same one, which
changes no path's length and lets a laptop hold it.
"""

from __future__ import annotations

import hashlib
import random
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "contracts"))

from model.chain import Chain, sign  # noqa: E402
from model.market_chain import Change, Market, Node, Terms, deploy_market  # noqa: E402
from model.storage_proof import Block, Step  # noqa: E402


class Row(NamedTuple):
    """One operation: `gas` measured, `goal` of the design; 0 = the design names none."""

    name: str
    gas: int
    goal: int


HOLE = 10**18
RATE = 10**15
DEALS = 64


class Repeated:
    """A sum tree of 2^height equal entries."""

    def __init__(self, digest: bytes, leaves: int, height: int) -> None:
        self.digest, self.leaves, self.height = digest, leaves, height
        self.nodes = [hashlib.sha256(b"\x02" + digest + leaves.to_bytes(6, "big")).digest()]
        for level in range(height):
            half = self.nodes[-1] + (leaves << level).to_bytes(6, "big")
            self.nodes.append(hashlib.sha256(b"\x03" + half + half).digest())

    def entry(self, index: int) -> bytes:
        steps = [
            Step(bool(index >> level & 1), self.nodes[level], self.leaves << level) for level in range(self.height)
        ]
        head = self.digest + self.leaves.to_bytes(6, "big") + bytes([self.height])
        return head + b"".join(step.encode() for step in steps)


class Terabyte:
    """The content of one of the deals: 16 GiB."""

    def __init__(self) -> None:
        self.block = Block(random.Random(1).randbytes(1 << 20))
        self.piece = Repeated(self.block.digest, 1024, 2)
        self.tree = Repeated(self.piece.nodes[-1], 4 * 1024, 12)
        self.root, self.leaves = self.tree.nodes[-1], 1 << 24

    def answer(self, offset: int) -> bytes:
        piece, offset = divmod(offset, 4 * 1024)
        block, chunk = divmod(offset, 1024)
        siblings = self.block.siblings(chunk)
        proof = self.block.chunk(chunk) + bytes([len(siblings)]) + b"".join(siblings)
        return self.tree.entry(piece) + self.piece.entry(block) + (1024).to_bytes(2, "big") + proof


class Bench:
    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.market: Market = deploy_market(chain, collateral=10**6)
        self.made = self.market.made
        self.payer = self.market.payer("payer", 100_000 * HOLE)
        self.content = Terabyte()
        self.contents: dict[int, Any] = {}
        self.sender = self.made.account("anyone")
        self.found: list[Row] = []

    def used(self, name: str, *args: Any, sender: str | None = None) -> int:
        return int(self.chain.send(self.market.contract, name, *args, sender=sender or self.sender)["gasUsed"], 16)

    def terms(self, node: Node, periods: int = 60) -> Terms:
        start = self.market.current + 1
        return self.market.salted(
            Terms(
                self.payer.address,
                node.id,
                node.owner.address,
                self.content.root,
                b"\x07" * 32,
                self.content.leaves,
                RATE,
                start,
                start + periods,
                RATE * periods,
            )
        )

    def open(self, node: Node) -> int:
        terms = self.terms(node)
        self.contents[self.market.id_of(terms)] = self.content
        return self.used("open", *self.market.signed(terms, self.payer, node))

    def open_many(self, node: Node, count: int) -> int:
        rows = [self.terms(node) for _ in range(count)]
        ids = [self.market.id_of(t) for t in rows]
        self.contents.update(dict.fromkeys(ids, self.content))
        nodes = [self.market.signed(t, self.payer, node)[2] for t in rows]
        batch = sign(self.payer, self.market.batch_digest(ids))
        gas = self.used("openMany", [t.values for t in rows], batch, nodes)
        assert all(self.chain.call(self.market.contract, "agreementOf", i).leaves for i in ids)
        return gas // count

    def prove(self, node: Node, period: int) -> int:
        answers = self.market.answers(node.id, period, self.contents)
        return self.used("prove", node.id, period, answers, sender=node.signer.address)

    def drawn(self, period: int) -> None:
        self.market.to_period(period + 1)
        self.market.draw(period, self.sender)

    def change(self, node: Node, deal: int, rate: int) -> int:
        a = self.chain.call(self.market.contract, "agreementOf", deal)
        c = Change(deal, b"\x09" * 32, b"\x0a" * 32, a.leaves + 4096, rate, a.end, RATE, a.nonce, a.end)
        return self.used("change", *self.market.signed_change(c, self.payer, node))


def rows(chain: Chain) -> list[Row]:
    """A node from its first deal to a terabyte proven, paid, changed, and deals that end."""
    bench = Bench(chain)
    market, found = bench.market, bench.found
    busy, quiet = market.node("busy", 100_000 * HOLE), market.node("quiet", 100_000 * HOLE)
    found.append(Row("open, a node's first", bench.open(busy), 415_000))
    found.append(Row("open, next", bench.open(busy), 295_000))
    found.append(Row("a deal in a batch of 31", bench.open_many(busy, 31), 0))
    bench.open_many(busy, 31)
    bench.open(quiet)
    first = market.current + 1
    deals = list(bench.contents)

    market.to_period(first + 1)
    found.append(Row("draw, naming the block", bench.used("draw", first), 0))
    chain.mine(3)
    found.append(Row("draw, storing the seed", bench.used("draw", first), 0))
    assert chain.call(market.contract, "treeTotal", busy.id) == DEALS << 24
    bench.prove(busy, first)
    market.pass_window()
    bench.used("settle", deals[:1])  # the payee has been paid before
    bench.used("settle", deals[1:21])

    row = chain.call(bench.made.catalog, "service", 1)
    for samples, name, goal in ((1, "prove 1 TiB by one sample", 245_000), (2, "each of two samples", 205_000)):
        chain.send(bench.made.catalog, "setService", 1, row._replace(samples=samples), sender=bench.made.timelock)
        first += 1
        bench.drawn(first)
        found.append(Row(name, bench.prove(busy, first) // samples, goal))
        if samples == 2:
            chain.send(bench.made.catalog, "setService", 1, row, sender=bench.made.timelock)
        market.pass_window()
    found.append(Row("settle one", bench.used("settle", deals[:1]), 67_000))
    found.append(Row("settle, each of 20", bench.used("settle", deals[1:21]) // 20, 30_000))

    found.append(Row("change, with a settled period to pay", bench.change(busy, deals[21], RATE // 2), 120_000))
    found.append(Row("change, nothing to pay", bench.change(busy, deals[0], RATE // 2), 120_000))
    found.append(Row("terminate, by the payer", bench.used("terminate", deals[0], sender=bench.payer.address), 0))

    last = deals[-1]
    for miss in range(1, 4):
        first += 1
        bench.drawn(first)
        market.pass_window()
        gas = bench.used("reportMissed", quiet.id, first, last)
        if miss != 1:
            found.append(Row("report a miss" if miss == 2 else "report a third miss, with its fault", gas, 0))
    end = chain.call(market.contract, "agreementOf", deals[0]).end
    market.to_period(end + 1)
    found.append(Row("close", bench.used("close", deals[0]), 0))
    return found


def main() -> None:
    with Chain() as chain:
        for row in rows(chain):
            mark = "" if not row.goal or row.gas <= row.goal else "ABOVE"
            print(f"{row.name:42}{row.gas:>8,}  goal {row.goal:>7,}  {mark}")


if __name__ == "__main__":
    main()
