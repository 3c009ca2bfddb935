"""Gas of registry, vault and disputes: whole transactions from receipts, calldata and the 21,000 included, through the
proxies where there are any.

`rows(chain)` deploys what it needs on a running chain (`tests/contracts/model/chain.py`) and returns its rows. Run
alone, after `FOUNDRY_PROFILE=release forge build`:  FOUNDRY_PROFILE=release python benchmarks/gas/vault.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "contracts"))

from model.chain import Chain, Contract, key  # noqa: E402
from model.vault_chain import HOLE, SERVICE, UNLIMITED, deploy  # noqa: E402


class Row(NamedTuple):
    """One operation: `gas` measured, `goal` of the design; 0 = the design names none."""

    name: str
    gas: int
    goal: int


EXIT = 21 * 86_400
ROUND_OVER = 14 * 86_400


def rows(chain: Chain) -> list[Row]:
    """A node from registration to its last withdrawal, and a claim from opening to payment."""
    made = deploy(chain)
    registry, vault, disputes, verifier, hub = made.registry, made.vault, made.disputes, made.verifier, made.hub
    found: list[Row] = []

    def used(contract: Contract, name: str, *args: Any, sender: str) -> int:
        return int(chain.send(contract, name, *args, sender=sender)["gasUsed"], 16)

    def row(text: str, goal: int, contract: Contract, name: str, *args: Any, sender: str) -> None:
        found.append(Row(text, used(contract, name, *args, sender=sender), goal))

    # A network with nodes and stake already: counters and the vault's token balance are not zero.
    other = made.account("another owner", 1000 * HOLE)
    chain.send(vault, "bond", made.register(other), SERVICE, 100 * HOLE, sender=other)
    owner = made.account("owner", 10_000 * HOLE)
    endpoint = "https://node-17.example.org:4433"
    row("register a node", 118_000, registry, "register", b"\x5a" * 32, endpoint, sender=owner)
    node = chain.call(registry, "nodeCount")
    row("set keys, both", 0, registry, "setKeys", node, key("signer").address, key("payee").address, sender=owner)
    row("offer, first", 0, registry, "setOffer", node, SERVICE, 10**15, 4096, 276, sender=owner)
    row("offer, changed", 0, registry, "setOffer", node, SERVICE, 10**15 + 1, 4096, 276, sender=owner)
    row("set manifest", 0, registry, "setManifest", node, b"\x5b" * 32, endpoint, sender=owner)

    row("bond, first", 140_000, vault, "bond", node, SERVICE, 1000 * HOLE, sender=owner)
    # Every second change of a staker's votes takes a new slot of history, so each of the next two has both rows.
    # Changes within one second are one change: time passes between them.
    chain.advance(60)
    row("bond, more", 90_000, vault, "bond", node, SERVICE, 1000 * HOLE, sender=owner)
    chain.advance(60)
    row("bond, more, history slot at hand", 90_000, vault, "bond", node, SERVICE, 1000 * HOLE, sender=owner)
    row("request exit", 70_000, vault, "requestExit", node, SERVICE, 100 * HOLE, sender=owner)
    for _ in range(100):
        chain.send(vault, "requestExit", node, SERVICE, HOLE, sender=owner, check=False)
    row("request exit after 100 requests", 70_000, vault, "requestExit", node, SERVICE, 100 * HOLE, sender=owner)
    chain.advance(EXIT)
    row("withdraw", 70_000, vault, "withdraw", node, SERVICE, owner, sender=owner)
    chain.send(vault, "requestExit", node, SERVICE, HOLE, sender=owner)
    chain.advance(EXIT)
    row("withdraw, history slot at hand", 70_000, vault, "withdraw", node, SERVICE, owner, sender=owner)
    chain.send(verifier, "reserve", node, SERVICE, HOLE, chain.now() + 86_400, sender=owner)
    chain.advance(60)
    row("fault, reporter and remedy known", 0, verifier, "fault", node, SERVICE, HOLE // 2, other, other, sender=owner)

    payer = made.account("payer", 1000 * HOLE)
    chain.send(made.token, "approve", hub.address, UNLIMITED, sender=payer)
    chain.send(hub, "deposit", payer, 1000 * HOLE, sender=payer)
    chain.send(hub, "allow", disputes.address, UNLIMITED, sender=payer)
    receipt = b"\x01" * 32
    chain.send(verifier, "setReceipt", receipt, payer, node, SERVICE, 100 * HOLE, sender=owner)
    row("claim, opened", 0, disputes, "open", verifier.address, receipt, 100 * HOLE, b"\x02" * 32, sender=payer)
    row("claim, conceded", 0, disputes, "concede", 1, sender=owner)
    chain.advance(ROUND_OVER)
    row("claim, paid", 0, vault, "pay", 1, sender=other)

    chain.send(verifier, "reserve", node, SERVICE, -(2**127), 0, sender=owner)
    rest = chain.call(vault, "stakeOf", node, SERVICE).active
    row("request exit of all", 70_000, vault, "requestExit", node, SERVICE, rest, sender=owner)
    chain.advance(EXIT)
    row("withdraw, the last of it", 70_000, vault, "withdraw", node, SERVICE, owner, sender=owner)
    return found


def main() -> None:
    with Chain() as chain:
        for row in rows(chain):
            mark = "" if not row.goal or row.gas <= row.goal else "ABOVE"
            print(f"{row.name:42}{row.gas:>8,}  goal {row.goal:>7,}  {mark}")


if __name__ == "__main__":
    main()
