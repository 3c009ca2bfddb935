"""Gas of the payment hub: whole transactions from receipts, calldata and the 21,000 included.

`rows(chain)` deploys what it needs on a running chain (`tests/contracts/model/chain.py`) and returns its rows. Run
alone, after `FOUNDRY_PROFILE=release forge build`:  FOUNDRY_PROFILE=release python benchmarks/gas/hub.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "contracts"))

from model.chain import Chain, Contract, compact, key, sign, typed_digest  # noqa: E402


class Row(NamedTuple):
    """One operation: `gas` measured, `goal` of the design (a batch row counts a voucher's share)."""

    name: str
    gas: int
    goal: int


SERVICE = 1
VOUCHER = "Voucher(address payee,uint16 service,uint32 lane,uint48 cumulative)"
HOLE = 10**18
NOTICE = 30 * 86_400


def voucher(domain: bytes, signer: Any, payee: str, lane: int, cumulative: int) -> bytes:
    """74 packed bytes."""
    digest = typed_digest(domain, VOUCHER, [payee, SERVICE, lane, cumulative])
    return lane.to_bytes(4, "big") + cumulative.to_bytes(6, "big") + compact(sign(signer, digest))


def rows(chain: Chain) -> list[Row]:
    """Deposit, lanes and redemptions on a fresh HOLE hub without a fee; one more row tells what a fee adds."""
    timelock, sink, payee = chain.accounts[0], chain.accounts[1], key("payee").address
    payers = [key(f"payer {i}") for i in range(200)]
    treasury = key("treasury").address
    chain.fund(treasury, *(p.address for p in payers))
    token = chain.deploy("BlackholeToken", [treasury], [10**27], timelock)
    hub = chain.deploy("PaymentHub", token.address, 10**12, True, timelock, 0, sink)
    domain = chain.call(hub, "domainSeparator")
    found: list[Row] = []

    def used(contract: Contract, name: str, *args: Any, sender: str) -> int:
        return int(chain.send(contract, name, *args, sender=sender)["gasUsed"], 16)

    chain.send(token, "approve", hub.address, 2**256 - 1, sender=treasury)
    first, second = payers[0].address, payers[1].address
    found.append(Row("deposit, first", used(hub, "deposit", first, 100 * HOLE, sender=treasury), 86_000))
    found.append(Row("deposit, more", used(hub, "deposit", first, 100 * HOLE, sender=treasury), 52_000))
    chain.send(hub, "deposit", second, 100 * HOLE, sender=treasury)

    def open_lane(payer: str, to: str, signer: str) -> int:
        return used(hub, "openLane", to, SERVICE, signer, 10**6, sender=payer)

    session = key("session").address
    found.append(Row("open lane, first", open_lane(first, payee, first), 100_000))
    found.append(Row("open lane, next", open_lane(first, payee, first), 82_000))
    elsewhere = key("another payee").address
    found.append(Row("open lane with a session signer, first", open_lane(first, elsewhere, session), 100_000))
    found.append(Row("open lane with a session signer, next", open_lane(first, elsewhere, session), 82_000))

    def redeem(to: str, vouchers: list[bytes]) -> int:
        receipt = chain.send(hub, "redeem", to, SERVICE, b"".join(vouchers), sender=timelock)
        assert len([e for e in receipt["events"] if e.name == "VoucherPaid"]) == len(vouchers), "a voucher was skipped"
        return int(receipt["gasUsed"], 16)

    chain.send(hub, "deposit", sink, HOLE, sender=treasury)  # the sink has received before
    found.append(Row("redeem one, first", redeem(payee, [voucher(domain, payers[0], payee, 0, 1000)]), 86_000))
    found.append(Row("redeem one, repeat", redeem(payee, [voucher(domain, payers[0], payee, 0, 2000)]), 51_000))

    busy = key("busy payee").address
    for payer in payers:
        chain.send(hub, "deposit", payer.address, 10 * HOLE, sender=treasury, check=False)
        chain.send(hub, "openLane", busy, SERVICE, payer.address, 10**6, sender=payer.address, check=False)
    redeem(busy, [voucher(domain, p, busy, i, 10) for i, p in enumerate(payers)])
    for size, goal in ((25, 13_000), (100, 12_200), (200, 12_100)):
        batch = [voucher(domain, p, busy, i, 123_456 + size) for i, p in enumerate(payers[:size])]
        found.append(Row(f"a voucher in a batch of {size}", -(-redeem(busy, batch) // size), goal))

    chain.send(hub, "setFee", SERVICE, 100, sink, sender=timelock)
    chain.advance(NOTICE)
    found.append(
        Row("redeem one, repeat, with a fee", redeem(payee, [voucher(domain, payers[0], payee, 0, 3000)]), 51_000)
    )
    return found


def main() -> None:
    with Chain() as chain:
        for row in rows(chain):
            print(f"{row.name:42}{row.gas:>8,}  goal {row.goal:>7,}  {'' if row.gas <= row.goal else 'ABOVE'}")


if __name__ == "__main__":
    main()
