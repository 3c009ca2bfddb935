"""From quotes to open agreements: nodes sign, the payer signs once for all, a transaction opens as many as fit."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blackhole.chain.signatures import recover
from blackhole.errors import NodeError
from blackhole.storage.terms import Terms, TermsBatch

if TYPE_CHECKING:
    from blackhole.chain.values import Receipt
    from blackhole.storage.agreement_tree import PieceList
    from blackhole.storage.core import Clock, StorageCore
    from blackhole.storage.directory import Reached

ROW_GAS = 400_000
"""Gas set aside for each deal of a transaction. An estimate would not do: a deal that is skipped when it is estimated
and opens when it is mined needs more, and a row that runs out of gas is skipped."""
BASE_GAS = 150_000
ROWS_MAX = 40
"""Deals in one transaction: what fits the cap of 2^24 gas (EIP-7825)."""
EARLY_SECONDS = 60
"""A deal starts with the next period, unless that begins so soon that the transaction may miss it."""
NOT_OPENED = "NotOpened"
"""The chain gives no reason: out of gas, or the transaction was dropped. Worth another try."""
PROVING = "NodeIsProving"
"""How the market refuses while a node is between a draw and its proof. It passes."""
TOO_LATE = "StartOutOfRange"
"""How the market refuses Terms whose first period has come. They can open no more, so others may be signed."""
NO_ACCOUNT = "0x" + "00" * 20


def start_period(clock: Clock) -> int:
    """The first period of a deal made now."""
    return clock.period + (1 if clock.left > EARLY_SECONDS else 2)


def draft(
    core: StorageCore,
    reached: Reached,
    pieces: PieceList,
    *,
    rate: int,
    start: int,
    end: int,
    repair_share: int,
    payer: str | None = None,
    repairer: str = NO_ACCOUNT,
) -> Terms:
    """Terms over `pieces` at one node, with a salt of their own. Amounts in wei."""
    return Terms(
        payer=payer or core.account,
        node=reached.info.id,
        payee=reached.info.payee,
        root=pieces.tree().root,
        pieces=pieces.digest(),
        leaves=pieces.leaves,
        rate=rate,
        start=start,
        end=end,
        prepaid=rate * (end - start) + repair_share,
        repair_share=repair_share,
        repairer=repairer,
        salt=secrets.randbits(63),
    )


async def ask_signature(
    core: StorageCore,
    reached: Reached,
    terms: Terms,
    pieces: PieceList,
    quote: tuple[Mapping[str, Any], str] | None = None,
    **more: Any,
) -> bytes:
    """The node's signature over `terms`.

    Raises:
        NodeRefused: with its reason.
        NodeError: the signature is not its own.
    """
    body: dict[str, Any] = {
        "terms": terms.to_json(),
        "pieces": [[piece.root.hex(), piece.leaves] for piece in pieces.pieces],
        **more,
    }
    if quote is not None:
        body["quote"] = {"quote": quote[0], "signature": quote[1]}
    answer = await reached.client.post_json("/v1/agreements", body)
    try:
        signature = bytes.fromhex(str(answer["signature"]).removeprefix("0x"))
    except (KeyError, TypeError, ValueError) as error:
        raise NodeError(f"Node {reached.info.id} answers without a signature.") from error
    if recover(terms.digest(core.domain), signature) != reached.info.signer:
        raise NodeError(f"Node {reached.info.id} signed with a key that is not its registered one.")
    return signature


@dataclass(frozen=True, slots=True)
class Row:
    """A deal ready to open: the slot it is for, the terms and the node's signature."""

    slot: int
    terms: Terms
    signature: bytes

    def id(self, core: StorageCore) -> int:
        """The agreement's id."""
        return self.terms.id(core.domain)


@dataclass(frozen=True, slots=True)
class OpenResult:
    """What became of rows.

    Attributes:
        opened: slot → agreement id.
        skipped: slot → the decoded reason it did not open.
        receipts: of the transactions.
    """

    opened: dict[int, int]
    skipped: dict[int, str]
    receipts: tuple[Receipt, ...]


async def which_are_open(core: StorageCore, rows: Sequence[Row]) -> dict[int, int]:
    """Slot → id of the rows whose agreement the chain has."""
    found = await core.chain.read_many([core.market.agreement_of(row.id(core)) for row in rows])
    return {row.slot: row.id(core) for row, agreement in zip(rows, found, strict=True) if agreement.status}


def batches(rows: Sequence[Row]) -> list[Sequence[Row]]:
    """Rows in as few transactions as the gas of one allows."""
    return [rows[start : start + ROWS_MAX] for start in range(0, len(rows), ROWS_MAX)]


async def open_batch(core: StorageCore, batch: Sequence[Row]) -> OpenResult:
    """Send one transaction over these rows and see which of them the chain opened."""
    from blackhole.chain.bindings.storage_market import Skipped
    from blackhole.chain.reverts import decode_revert

    by_id = {row.id(core): row.slot for row in batch}
    gas = BASE_GAS + ROW_GAS * len(batch)
    receipt = await core.chain.send(_transaction(core, batch), core.signer, gas=gas)
    opened = await which_are_open(core, batch)
    skipped: dict[int, str] = {}
    for event in receipt.events_of(Skipped, core.market.address):
        if (slot := by_id.get(event.id)) is not None and slot not in opened:
            decoded = decode_revert(event.reason)
            skipped[slot] = type(decoded).__name__ if decoded is not None else NOT_OPENED
    for row in batch:
        if row.slot not in opened:
            skipped.setdefault(row.slot, NOT_OPENED)
    return OpenResult(opened, skipped, (receipt,))


async def open_patiently(core: StorageCore, rows: Sequence[Row]) -> OpenResult:
    """As `open_batch` for any number of rows; those whose nodes are proving are tried until their start has come."""
    opened: dict[int, int] = {}
    skipped: dict[int, str] = {}
    receipts: list[Receipt] = []
    while rows:
        waiting: list[Row] = []
        for batch in batches(rows):
            result = await open_batch(core, batch)
            opened |= result.opened
            skipped |= result.skipped
            receipts += result.receipts
            waiting += [row for row in batch if result.skipped.get(row.slot) in {PROVING, NOT_OPENED}]
        period = (await core.clock()).period
        rows = [row for row in waiting if row.terms.start > period]
        if rows:
            await wait_for_block(core, receipts[-1].block)
    return OpenResult(opened, {slot: reason for slot, reason in skipped.items() if slot not in opened}, tuple(receipts))


def _transaction(core: StorageCore, batch: Sequence[Row]) -> Any:
    from blackhole.chain.bindings.storage_market import Terms as Struct

    terms = [row.terms for row in batch]
    payer_signature = core.signer.sign_digest(TermsBatch.of(terms, core.domain).digest(core.domain))
    structs = [Struct(*each.values()) for each in terms]
    return core.market.open_many(structs, payer_signature, [row.signature for row in batch])


async def wait_for_block(core: StorageCore, seen: int, *, final: bool = False, seconds: float = 60.0) -> None:
    """Wait until the chain has (finally) a block above number `seen`; after `seconds` go on without."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if (await core.chain.block("finalized" if final else "latest")).number > seen:
            return
        await asyncio.sleep(0.1)
