"""Which chain, which contracts: `network.json`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from blackhole.errors import NetworkNotFound
from blackhole.paths import Home, private_folder, write_private

SCHEMA: Final = 1
VARIABLE: Final = "BLACKHOLE_NETWORK"
FILE: Final = "network.json"
CONTRACTS: Final = (
    "BlackholeToken",
    "PaymentHub",
    "FeeSplitter",
    "LaneReceipts",
    "ServiceCatalog",
    "NodeRegistry",
    "StakeManager",
    "DisputeManager",
    "PanelArbitrator",
    "StorageMarket",
    "ProofVerifier",
    "Blake3Chunk",
    "BlockhashRandomness",
    "Timelock",
    "Deployer",
)
"""The keys `addresses` may have."""


@dataclass(frozen=True)
class Network:
    """One Blackhole market on one chain."""

    name: str
    rpc: Sequence[str]
    """Endpoints, best first."""
    chain_id: int
    addresses: Mapping[str, str]
    """Checksummed, by contract name."""
    period: int
    """Seconds of a proof period."""
    unit: int
    """wei a micro."""
    prove_window: int = 0
    """Seconds of a period's end in which proofs count."""
    block: int = 0
    """The block before the first contract: where event scans begin."""
    schema: int = SCHEMA
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the file this version does not know; kept when it is written."""

    def address(self, contract: str) -> str:
        """The address of a contract by name. Raises `NetworkNotFound` when the network has none of that name."""
        try:
            return self.addresses[contract]
        except KeyError:
            raise NetworkNotFound(f"the network {self.name} has no {contract}") from None

    @classmethod
    def load(cls, source: str | os.PathLike[str] | None = None, *, home: Home | None = None) -> Network:
        """From a file, a folder that holds network.json, or a name under `networks/` of the home.

        None takes `$BLACKHOLE_NETWORK`. Raises `NetworkNotFound`.
        """
        chosen = source or os.environ.get(VARIABLE)
        if not chosen:
            raise NetworkNotFound("no network is selected")
        path = Path(chosen).expanduser()
        if path.is_dir():
            path /= FILE
        if not path.is_file() and len(path.parts) == 1:
            path = (home or Home.locate()).root / "networks" / f"{path.name}.json"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise NetworkNotFound(f"cannot read the network file {path}: {error.strerror}") from error
        return cls.from_json(content, str(path))

    @classmethod
    def from_json(cls, content: bytes, where: str = FILE) -> Network:
        """Parse and check. Raises `NetworkNotFound` naming the field."""
        import orjson

        try:
            raw = orjson.loads(content)
        except orjson.JSONDecodeError:
            raise NetworkNotFound(f"{where} is not JSON") from None
        if not isinstance(raw, dict):
            raise NetworkNotFound(f"{where} does not hold a network")
        schema = raw.pop("schema", None)
        if not isinstance(schema, int) or schema > SCHEMA:
            raise NetworkNotFound(f"{where} has schema {schema}, this version reads up to {SCHEMA}", hint="Update.")
        known: dict[str, Any] = {}
        for name, kind in (("name", str), ("rpc", list), ("chain_id", int), ("addresses", dict), ("period", int)):
            known[name] = _take(raw, name, kind, where)
        unit = _take(raw, "unit", str, where)
        if not unit.isascii() or not unit.isdecimal() or not int(unit):
            raise NetworkNotFound(f"{where}: unit is no number of wei above zero")
        known["unit"] = int(unit)
        for name in ("prove_window", "block"):
            if name in raw:
                known[name] = _take(raw, name, int, where)
        if not all(isinstance(each, str) for each in [*known["rpc"], *known["addresses"].values()]):
            raise NetworkNotFound(f"{where}: rpc and addresses hold strings")
        return cls(**known, extra=raw)

    def to_json(self) -> bytes:
        """The content of network.json; wei as a decimal string."""
        import orjson

        content = {
            "schema": SCHEMA,
            "name": self.name,
            "rpc": list(self.rpc),
            "chain_id": self.chain_id,
            "addresses": dict(self.addresses),
            "period": self.period,
            "prove_window": self.prove_window,
            "unit": str(self.unit),
            "block": self.block,
            **self.extra,
        }
        return orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n"

    def save(self, path: Path) -> Path:
        """Write it as a whole to a file, or as network.json into a folder; returns the file."""
        if path.is_dir() or not path.suffix:
            path = private_folder(path) / FILE
        write_private(path, self.to_json())
        return path


def _take(raw: dict[str, Any], name: str, kind: type, where: str) -> Any:
    value = raw.pop(name, None)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise NetworkNotFound(f"{where}: `{name}` is missing or no {kind.__name__}")
    return value
