"""Everything that happened on the chain, read from its blocks: who sent what, what it cost, what it emitted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeVar

from blackhole.chain.bindings.payment_hub import Credited, VoucherPaid
from blackhole.chain.events import decode_log
from blackhole.chain.values import Address, Event, Log, address
from blackhole.devnet.chain import DevnetChain
from blackhole.escrow.credits import credited
from blackhole.hashing import keccak256

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class Entry:
    """One mined transaction.

    Attributes:
        block: number of its block.
        timestamp: of its block, in seconds.
        hash: 0x-hex.
        sender: who signed it.
        to: the contract called; None for a creation.
        name: contract and function, `StorageMarket.prove`; the selector where it is none of ours.
        gas: gas used.
        fee: wei of the chain's coin.
        ok: False when it reverted.
        input: its calldata.
        events: decoded events of the contracts of this project.
    """

    block: int
    timestamp: int
    hash: str
    sender: Address
    to: Address | None
    name: str
    gas: int
    fee: int
    ok: bool
    input: bytes
    events: tuple[Event, ...]


class Ledger:
    """All transactions from block 0 on, read block by block and kept."""

    def __init__(self, chain: DevnetChain, addresses: Mapping[str, str]) -> None:
        self.chain = chain
        self.entries: list[Entry] = []
        self.read_to = -1
        self._functions = {str(account).lower(): _functions(name) for name, account in addresses.items()}

    def read(self) -> list[Entry]:
        """Read what was mined since the last call, and return it."""
        head, _ = self.chain.head()
        fresh: list[Entry] = []
        for number in range(self.read_to + 1, head + 1):
            block = self.chain.call("eth_getBlockByNumber", hex(number), True)
            assert isinstance(block, dict)
            if not block["transactions"]:
                continue
            receipts = self.chain.call("eth_getBlockReceipts", hex(number))
            assert isinstance(receipts, list)
            pairs = zip(block["transactions"], receipts, strict=True)
            fresh += [self._entry(int(block["timestamp"], 16), sent, got) for sent, got in pairs]
        self.read_to = head
        self.entries += fresh
        return fresh

    def _entry(self, timestamp: int, sent: Mapping[str, Any], got: Mapping[str, Any]) -> Entry:
        data = bytes.fromhex(sent["input"][2:])
        gas = int(got["gasUsed"], 16)
        events = (decode_log(Log.from_rpc(log)) for log in got["logs"])
        return Entry(
            block=int(sent["blockNumber"], 16),
            timestamp=timestamp,
            hash=sent["hash"],
            sender=address(bytes.fromhex(sent["from"][2:])),
            to=None if sent["to"] is None else address(bytes.fromhex(sent["to"][2:])),
            name=self._name(sent["to"], data[:4]),
            gas=gas,
            fee=gas * int(got["effectiveGasPrice"], 16),
            ok=got["status"] == "0x1",
            input=data,
            events=tuple(event for event in events if event is not None),
        )

    def _name(self, to: str | None, selector: bytes) -> str:
        if to is None:
            return "create"
        return self._functions.get(to.lower(), {}).get(selector, f"{to}.0x{selector.hex()}")

    def events(self, kind: type[E], entries: Iterable[Entry] | None = None) -> Iterator[E]:
        """All events of a type, in order."""
        for entry in self.entries if entries is None else entries:
            for event in entry.events:
                if isinstance(event, kind):
                    yield event

    def credits(self) -> Iterator[Credited]:
        """All payments, of locks and of vouchers, in order."""
        for entry in self.entries:
            yield from credits_of(entry)

    def after(self, block: int) -> list[Entry]:
        """Transactions of the blocks after `block`."""
        return [entry for entry in self.entries if entry.block > block]


def credits_of(entry: Entry) -> Iterator[Credited]:
    """The payments of a transaction, in order."""
    for event in entry.events:
        if isinstance(event, Credited | VoucherPaid):
            yield credited(event)


def _functions(contract: str) -> dict[bytes, str]:
    """Selector → `Contract.function` of a contract's compiled ABI; empty when it has none."""
    artifact = files("blackhole.chain.artifacts") / f"{contract}.json"
    if not artifact.is_file():
        return {}
    found = {}
    for item in json.loads(artifact.read_text())["abi"]:
        if item["type"] == "function":
            signature = f"{item['name']}({','.join(_type(each) for each in item['inputs'])})"
            found[keccak256(signature.encode())[:4]] = f"{contract}.{item['name']}"
    return found


def _type(item: Mapping[str, Any]) -> str:
    if not item["type"].startswith("tuple"):
        return str(item["type"])
    return f"({','.join(_type(each) for each in item['components'])}){item['type'].removeprefix('tuple')}"
