"""A real chain for contract tests: anvil on a free port, raw batched JSON-RPC, contracts from forge's artifacts.

    with Chain() as chain:
        token = chain.deploy("BlackholeToken", [owner], [10**27], timelock)
        receipt = chain.send(token, "transfer", to, 5, sender=owner)
        chain.call(token, "balanceOf", to)

Accounts need no keys: anvil takes any sender. A call that reverts raises `Reverted` with the decoded custom error.
Reads go out in one batch (`Chain.calls`), because a round trip costs more than the call.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from collections import namedtuple
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_account import Account
from eth_utils import keccak, to_checksum_address

ROOT = Path(__file__).resolve().parents[3]
GAS = 16_000_000  # below the 2^24 a transaction may use
MNEMONIC = "test test test test test test test test test test test junk"


class Reverted(Exception):
    """A call reverted with custom error `name` and its arguments, "Error" and the text, or "" and no data."""

    def __init__(self, name: str, args: tuple[Any, ...] = (), data: bytes = b"") -> None:
        super().__init__(name, args)
        self.name, self.arguments, self.data = name, args, data


class RpcError(Exception):
    """The node refused a request."""


def artifacts() -> Path:
    """Where forge puts its output in the profile of this run (FOUNDRY_PROFILE)."""
    profile = os.environ.get("FOUNDRY_PROFILE", "default")
    return ROOT / ".build" / ("release" if profile == "release" else "forge") / "out"


@cache
def artifact(name: str, out: Path | None = None) -> dict[str, Any]:
    """Forge's artifact of contract `name`, whichever source file has it."""
    folder = out or artifacts()
    found = sorted(folder.glob(f"*.sol/{name}.json")) or sorted(folder.glob(f"*.sol/{name}.*.json"))
    if not found:
        raise FileNotFoundError(f"no artifact of {name} in {folder}: run `forge build` first")
    loaded: dict[str, Any] = json.loads(found[0].read_text())
    return loaded


def type_of(component: dict[str, Any]) -> str:
    """The canonical ABI type of a parameter; tuples spelled out."""
    kind: str = component["type"]
    if not kind.startswith("tuple"):
        return kind
    return "(" + ",".join(type_of(c) for c in component["components"]) + ")" + kind[5:]


def named(component: dict[str, Any], value: Any) -> Any:
    """A decoded value with addresses in checksum form and structs as named tuples."""
    kind: str = component["type"]
    if kind.endswith("]"):
        inner = {**component, "type": kind[: kind.rindex("[")]}
        return [named(inner, v) for v in value]
    if kind == "tuple":
        parts = component["components"]
        shape = namedtuple("Struct", [p["name"] or f"_{i}" for i, p in enumerate(parts)], rename=True)
        return shape(*(named(p, v) for p, v in zip(parts, value, strict=True)))
    return to_checksum_address(value) if kind == "address" else value


@dataclass(frozen=True)
class Method:
    """One function of an ABI: encodes its call, decodes its answer."""

    entry: dict[str, Any]

    @cached_property
    def inputs(self) -> list[str]:
        return [type_of(c) for c in self.entry["inputs"]]

    @cached_property
    def selector(self) -> bytes:
        return keccak(text=f"{self.entry['name']}({','.join(self.inputs)})")[:4]

    def encode(self, args: Sequence[Any]) -> bytes:
        return self.selector + abi_encode(self.inputs, args)

    def decode(self, data: bytes) -> Any:
        outputs = self.entry["outputs"]
        values = abi_decode([type_of(c) for c in outputs], data)
        decoded = tuple(named(c, v) for c, v in zip(outputs, values, strict=True))
        return decoded[0] if len(decoded) == 1 else decoded


@dataclass(frozen=True)
class Event:
    """A decoded log."""

    name: str
    address: str
    args: dict[str, Any]


@dataclass(eq=False)
class Contract:
    """An address with an ABI."""

    name: str
    address: str
    abi: list[dict[str, Any]]
    methods: dict[str, list[Method]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for entry in self.abi:
            if entry["type"] == "function":
                self.methods.setdefault(entry["name"], []).append(Method(entry))

    def method(self, name: str, count: int) -> Method:
        """The function `name` with `count` inputs; a full signature picks between overloads."""
        if "(" in name:
            for candidate in self.methods[name.split("(")[0]]:
                if f"{candidate.entry['name']}({','.join(candidate.inputs)})" == name:
                    return candidate
            raise KeyError(name)
        return next(m for m in self.methods[name] if len(m.inputs) == count)

    def encode(self, name: str, *args: Any) -> bytes:
        return self.method(name, len(args)).encode(args)

    @cached_property
    def errors(self) -> dict[bytes, dict[str, Any]]:
        return {keccak(text=signature(e))[:4]: e for e in self.abi if e["type"] == "error"}

    @cached_property
    def events(self) -> dict[bytes, dict[str, Any]]:
        return {keccak(text=signature(e)): e for e in self.abi if e["type"] == "event"}


def signature(entry: dict[str, Any]) -> str:
    """`name(type,…)` of an ABI entry."""
    return f"{entry['name']}({','.join(type_of(c) for c in entry['inputs'])})"


BUILT_IN = {
    keccak(text="Error(string)")[:4]: {"name": "Error", "inputs": [{"type": "string"}]},
    keccak(text="Panic(uint256)")[:4]: {"name": "Panic", "inputs": [{"type": "uint256"}]},
}


def decode_event(contracts: Iterable[Contract], log: dict[str, Any]) -> Event | None:
    """A log as the event of the first contract at its address that knows it."""
    topics = [bytes.fromhex(t[2:]) for t in log["topics"]]
    for contract in contracts:
        if int(contract.address, 16) != int(log["address"], 16) or not topics or topics[0] not in contract.events:
            continue
        entry = contract.events[topics[0]]
        indexed = [c for c in entry["inputs"] if c["indexed"]]
        plain = [c for c in entry["inputs"] if not c["indexed"]]
        values = dict(
            zip(
                [c["name"] for c in plain],
                abi_decode([type_of(c) for c in plain], bytes.fromhex(log["data"][2:])),
                strict=True,
            )
        )
        for component, topic in zip(indexed, topics[1:], strict=True):
            static = not (component["type"] in ("bytes", "string") or component["type"].endswith("]"))
            values[component["name"]] = abi_decode([component["type"]], topic)[0] if static else topic
        args = {c["name"]: named(c, values[c["name"]]) for c in entry["inputs"]}
        return Event(entry["name"], contract.address, args)
    return None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Chain:
    """An anvil of its own; ends with the `with` block. `timestamp` fixes the first block's time."""

    def __init__(self, *, timestamp: int = 1_800_000_000, chain_id: int = 31337) -> None:
        self.chain_id = chain_id
        self._timestamp = timestamp
        self._next = 0
        self.contracts: list[Contract] = []

    def __enter__(self) -> Chain:
        self.port = free_port()
        command = ["anvil", "--port", str(self.port), "--chain-id", str(self.chain_id), "--auto-impersonate"]
        command += [
            "--timestamp",
            str(self._timestamp),
            "--slots-in-an-epoch",
            "1",
            "--enable-tx-gas-limit",
            # Code of the pipeline these tests run is larger than what is released, which the SDK's tests deploy within
            # the limit of 24,576 bytes.
            "--code-size-limit",
            "32768",
            "--silent",
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        give_up = time.monotonic() + 15
        while True:
            try:
                self.rpc("eth_chainId")
                break
            except OSError:
                self._connection.close()
                if self._process.poll() is not None or time.monotonic() > give_up:
                    self.__exit__()
                    raise RuntimeError("anvil did not start") from None
                time.sleep(0.02)
        self.accounts: list[str] = [to_checksum_address(a) for a in self.rpc("eth_accounts")]
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    # ------------------------------------------------------------------------------------------------- requests

    def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Answers in order; an answer is a result or an `RpcError`/`Reverted` object, not raised. The node may run
        the requests of a batch in any order: put only reads into one."""
        if not requests:
            return []
        first = self._next
        self._next += len(requests)
        body = [
            {"jsonrpc": "2.0", "id": first + i, "method": method, "params": params}
            for i, (method, params) in enumerate(requests)
        ]
        self._connection.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
        answers = json.loads(self._connection.getresponse().read())
        results: list[Any] = [None] * len(requests)
        for answer in answers:
            results[answer["id"] - first] = self._error(answer["error"]) if "error" in answer else answer["result"]
        return results

    def rpc(self, method: str, *params: Any) -> Any:
        """One request; raises what it failed with."""
        (result,) = self.batch([(method, params)])
        if isinstance(result, Exception):
            raise result
        return result

    def _error(self, error: dict[str, Any]) -> Exception:
        data = error.get("data")
        if not isinstance(data, str) or not data.startswith("0x"):
            return Reverted("") if "revert" in error["message"] else RpcError(error["message"])
        return self.reverted(bytes.fromhex(data[2:]))

    def reverted(self, data: bytes) -> Reverted:
        """The custom error in revert data, by the ABIs of the contracts deployed here."""
        for table in (BUILT_IN, *(c.errors for c in self.contracts)):
            entry = table.get(data[:4])
            if entry is not None:
                values = abi_decode([type_of(c) for c in entry["inputs"]], data[4:])
                return Reverted(
                    entry["name"], tuple(named(c, v) for c, v in zip(entry["inputs"], values, strict=True)), data
                )
        return Reverted("" if not data else "0x" + data[:4].hex(), (), data)

    # ------------------------------------------------------------------------------------------------ contracts

    def at(self, name: str, address: str) -> Contract:
        """Contract `name` at an address: a proxy, or one that another contract deployed."""
        contract = Contract(name, to_checksum_address(address), artifact(name)["abi"])
        self.contracts.append(contract)
        return contract

    def creation(self, name: str, *args: Any) -> bytes:
        """Creation code with constructor arguments."""
        found = artifact(name)
        entry = next((e for e in found["abi"] if e["type"] == "constructor"), {"inputs": []})
        types = [type_of(c) for c in entry["inputs"]]
        return bytes.fromhex(found["bytecode"]["object"][2:]) + abi_encode(types, args)

    def deploy(self, name: str, *args: Any, sender: str | None = None) -> Contract:
        """A new contract by a plain transaction."""
        data = "0x" + self.creation(name, *args).hex()
        receipt = self.transact(None, data, sender or self.accounts[0])
        if int(receipt["status"], 16) != 1:
            raise Reverted("", (), b"")
        return self.at(name, receipt["contractAddress"])

    def calls(self, requests: Sequence[tuple[Any, ...]], sender: str | None = None) -> list[Any]:
        """Views in one batch: rows (contract, function, *arguments) → decoded answers, failures as objects."""
        methods = [contract.method(name, len(args)) for contract, name, *args in requests]
        answers = self.batch(
            [
                ("eth_call", [self._transaction(contract.address, "0x" + m.encode(args).hex(), sender), "latest"])
                for m, (contract, _, *args) in zip(methods, requests, strict=True)
            ]
        )
        return [
            a if isinstance(a, Exception) else m.decode(bytes.fromhex(a[2:]))
            for m, a in zip(methods, answers, strict=True)
        ]

    def call(self, contract: Contract, name: str, *args: Any, sender: str | None = None) -> Any:
        """One view, or a transaction tried without sending it; raises Reverted."""
        (result,) = self.calls([(contract, name, *args)], sender)
        if isinstance(result, Exception):
            raise result
        return result

    def send(
        self, contract: Contract, name: str, *args: Any, sender: str | None = None, check: bool = True, value: int = 0
    ) -> dict[str, Any]:
        """A mined transaction's receipt with `events` decoded. A revert raises; without `check` the reverted
        transaction is mined and its receipt returned."""
        data = "0x" + contract.encode(name, *args).hex()
        sender = sender or self.accounts[0]
        if check:
            self.rpc("eth_call", self._transaction(contract.address, data, sender, value), "latest")
        receipt = self.transact(contract.address, data, sender, value)
        receipt["events"] = [e for e in (decode_event(self.contracts, log) for log in receipt["logs"]) if e]
        if check and int(receipt["status"], 16) != 1:
            raise Reverted("out of gas?", (), b"")
        return receipt

    def transact(self, to: str | None, data: str, sender: str, value: int = 0) -> dict[str, Any]:
        """Sends and mines one transaction; the receipt, whatever its status."""
        transaction = {**self._transaction(to, data, sender, value), "gas": hex(GAS)}
        sent = self.rpc("eth_sendTransaction", transaction)
        give_up = time.monotonic() + 30
        while True:  # mined at once, but not always before the answer
            receipt: dict[str, Any] | None = self.rpc("eth_getTransactionReceipt", sent)
            if receipt is not None:
                return receipt
            if time.monotonic() > give_up:
                raise RpcError(f"not mined: {sent}")
            time.sleep(0.001)

    @staticmethod
    def _transaction(to: str | None, data: str, sender: str | None, value: int = 0) -> dict[str, Any]:
        transaction: dict[str, Any] = {"data": data}
        if to is not None:
            transaction["to"] = to
        if sender is not None:
            transaction["from"] = sender
        if value:
            transaction["value"] = hex(value)
        return transaction

    # ----------------------------------------------------------------------------------------- accounts and time

    def fund(self, *accounts: str, wei: int = 10**20) -> None:
        """Gives accounts native coin for gas."""
        self.batch([("anvil_setBalance", [a, hex(wei)]) for a in accounts])

    def now(self) -> int:
        """The newest block's time, seconds."""
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def warp(self, timestamp: int) -> None:
        """Mines a block at `timestamp`."""
        self.rpc("evm_setNextBlockTimestamp", timestamp)
        self.rpc("evm_mine")

    def advance(self, seconds: int) -> None:
        """Mines a block `seconds` after the newest."""
        self.warp(self.now() + seconds)

    def mine(self, blocks: int, interval: int = 1) -> None:
        """Mines empty blocks."""
        self.rpc("anvil_mine", hex(blocks), hex(interval))

    def snapshot(self) -> str:
        """The state, to come back to by `revert`, once."""
        saved: str = self.rpc("evm_snapshot")
        return saved

    def revert(self, snapshot: str) -> None:
        if self.rpc("evm_revert", snapshot) is not True:
            raise RpcError("no such snapshot")


def key(name: str) -> Any:
    """A deterministic key pair for a named person (`.address`, `.key`, `.unsafe_sign_hash`)."""
    return Account.from_key(keccak(text=f"test key of {name}"))


def sign(account: Any, digest: bytes) -> bytes:
    """65 bytes r, s, v over a digest."""
    return bytes(account.unsafe_sign_hash(digest).signature)


def compact(signature: bytes) -> bytes:
    """The 64-byte form (EIP-2098) of a 65-byte signature with low s."""
    vs = int.from_bytes(signature[32:64], "big") | (signature[64] - 27) << 255
    return signature[:32] + vs.to_bytes(32, "big")


def typed_digest(domain_separator: bytes, kind: str, values: Sequence[Any]) -> bytes:
    """EIP-712 digest of a flat struct: `kind` is "Name(type field,…)", fields of value types."""
    types = [field.split()[0] for field in kind[kind.index("(") + 1 : -1].split(",")]
    struct = keccak(keccak(text=kind) + abi_encode(types, values))
    return keccak(b"\x19\x01" + domain_separator + struct)
