"""Trying several transactions one after the other without sending them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from blackhole.chain.reverts import reverted
from blackhole.chain.rpc import RpcError
from blackhole.chain.values import Address, Tx

if TYPE_CHECKING:
    from blackhole.chain.client import Chain


async def simulate_all(chain: Chain, transactions: Sequence[Tx[Any]], sender: Address) -> list[int]:
    """Gas of each, every one on the state the ones before it leave (`eth_simulateV1`). Raises `Reverted`.

    Where the endpoint has no such method, each is tried on the present state: one that needs an earlier one then fails.
    """
    if len(transactions) == 1:
        return [await chain.estimate(transactions[0], sender)]
    calls: list[dict[str, str]] = []
    for tx in transactions:
        call = {"from": sender, "data": "0x" + tx.data.hex(), "value": hex(tx.value)}
        calls.append(call if tx.to is None else {**call, "to": tx.to})
    try:
        blocks = await chain.rpc.request("eth_simulateV1", {"blockStateCalls": [{"calls": calls}]}, "latest")
    except RpcError:
        return [await chain.estimate(tx, sender) for tx in transactions]
    gas: list[int] = []
    for tx, result in zip(transactions, blocks[0]["calls"], strict=True):
        if int(result["status"], 16) == 0:
            error = result.get("error") or {}
            data = error.get("data") or result.get("returnData") or "0x"
            raise reverted(bytes.fromhex(data[2:]), tx.name, text=str(error.get("message", "")))
        gas.append(int(result["gasUsed"], 16))
    return gas
