"""Receipts: typed, and why a mined transaction failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from blackhole.chain.events import decode_log
from blackhole.chain.transactions.flights import Flight
from blackhole.chain.values import Log, Receipt, Tx, address
from blackhole.errors import ChainError, Reverted, TransactionUnknown

if TYPE_CHECKING:
    from blackhole.chain.client import Chain


def parse_receipt(raw: Mapping[str, Any]) -> Receipt:
    """A receipt from its JSON-RPC object, events typed."""
    logs = tuple(Log.from_rpc(each) for each in raw["logs"])
    decoded = (decode_log(log) for log in logs)
    return Receipt(
        hash=bytes.fromhex(raw["transactionHash"][2:]),
        block=int(raw["blockNumber"], 16),
        block_hash=bytes.fromhex(raw["blockHash"][2:]),
        gas_used=int(raw["gasUsed"], 16),
        effective_gas_price=int(raw.get("effectiveGasPrice") or "0x0", 16),
        sender=address(raw["from"].lower()),
        to=address(raw["to"].lower()) if raw.get("to") else None,
        events=tuple(event for event in decoded if event is not None),
        logs=logs,
    )


async def fetch_receipt(chain: Chain, transaction: bytes) -> Receipt:
    """The receipt of a mined transaction. Raises `TransactionUnknown`, `Reverted`."""
    raw = await chain.rpc.request("eth_getTransactionReceipt", "0x" + transaction.hex())
    if raw is None:
        raise TransactionUnknown(f"no endpoint has a receipt of 0x{transaction.hex()}")
    receipt = parse_receipt(raw)
    if int(raw.get("status", "0x1"), 16) == 0:
        raise Reverted("the transaction reverted", transaction="0x" + transaction.hex())
    return receipt


async def why_reverted(chain: Chain, flight: Flight, receipt: Receipt) -> Reverted:
    """The error of a mined transaction that failed: what it gives when it is called on the state before its block."""
    name = flight.name or "the transaction"
    version = next((each for each in flight.versions if each.hash == receipt.hash), flight.versions[-1])
    transaction = version.transaction
    tx: Tx[object] = Tx(transaction.to, transaction.data, transaction.value, name=name)
    identity = "0x" + receipt.hash.hex()
    for at in (receipt.block, receipt.block - 1):
        try:
            await chain.simulate(tx, receipt.sender, at=at)
        except Reverted as error:
            return Reverted(error.message, decoded=error.decoded, raw=error.raw, transaction=identity)
        except ChainError:
            continue
    if receipt.gas_used >= transaction.gas:
        return Reverted(f"{name} ran out of gas ({transaction.gas})", transaction=identity)
    return Reverted(f"{name} reverted in its block; it would pass now", transaction=identity)
