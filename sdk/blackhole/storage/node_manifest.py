"""What a node says of itself: canonical DAG-CBOR whose SHA-256 stands in the registry.

    {"schema": 1, "tls": bytes, "endpoint": str, "egress_micro_per_mib": int, "audit_bytes_per_day": int,
     "services": {"1": {"price_wei_per_gib_period": str}}, "version": str}

Readers ignore fields they do not know; a schema above theirs is refused. wei are decimal strings: CBOR readers of other
languages stop at 2^53.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from blackhole.errors import IntegrityError
from blackhole.storage.ipfs import dag_cbor

SCHEMA = 1
SIZE_MAX = 2**16
"""bytes. A larger manifest is refused."""


@dataclass(frozen=True, slots=True)
class NodeManifest:
    """A node's manifest.

    Attributes:
        tls: SHA-256 of its TLS key's SubjectPublicKeyInfo, 32 bytes.
        endpoint: https://host:port, as in the registry's event.
        egress_micro_per_mib: price of reads, micro-HOLE a MiB.
        audit_bytes_per_day: audit reads served free, per address block and day.
        prices: wei per GiB and period by service id.
        version: of the node's software.
    """

    tls: bytes
    endpoint: str
    egress_micro_per_mib: int
    audit_bytes_per_day: int = 0
    prices: Mapping[int, int] = field(default_factory=dict)
    version: str = ""

    def encode(self) -> bytes:
        """The canonical bytes."""
        services: dict[str, dag_cbor.Node] = {
            str(service): {"price_wei_per_gib_period": str(price)} for service, price in self.prices.items()
        }
        return dag_cbor.encode(
            {
                "schema": SCHEMA,
                "tls": self.tls,
                "endpoint": self.endpoint,
                "egress_micro_per_mib": self.egress_micro_per_mib,
                "audit_bytes_per_day": self.audit_bytes_per_day,
                "services": services,
                "version": self.version,
            }
        )

    def digest(self) -> bytes:
        """What the registry holds: SHA-256 of the canonical bytes."""
        return hashlib.sha256(self.encode()).digest()

    @classmethod
    def decode(cls, raw: bytes) -> NodeManifest:
        """Read a manifest. Raises IntegrityError when it is malformed, too large or of a newer schema."""
        if len(raw) > SIZE_MAX:
            raise IntegrityError(f"a node's manifest has at most {SIZE_MAX} bytes, not {len(raw)}")
        value = dag_cbor.decode(raw)
        if not isinstance(value, dict):
            raise IntegrityError("a node's manifest is a map")
        schema = value.get("schema")
        if not isinstance(schema, int) or isinstance(schema, bool) or not 1 <= schema <= SCHEMA:
            raise IntegrityError(f"a node's manifest of schema {schema!r} cannot be read", hint="Update Blackhole.")
        tls = value.get("tls")
        if not isinstance(tls, bytes) or len(tls) != 32:
            raise IntegrityError("a node's manifest names its TLS key by 32 bytes")
        services = value.get("services")
        prices: dict[int, int] = {}
        for name, row in services.items() if isinstance(services, dict) else ():
            price = row.get("price_wei_per_gib_period") if isinstance(row, dict) else None
            if name.isdecimal() and isinstance(price, str) and price.isdecimal() and len(price) < 40:
                prices[int(name)] = int(price)
        return cls(
            tls,
            _text(value, "endpoint"),
            _count(value, "egress_micro_per_mib"),
            _count(value, "audit_bytes_per_day"),
            prices,
            _text(value, "version"),
        )


def _count(value: Mapping[str, dag_cbor.Node], name: str) -> int:
    found = value.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < 2**48:
        raise IntegrityError(f"{name} of a node's manifest is no amount: {found!r}")
    return found


def _text(value: Mapping[str, dag_cbor.Node], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str) or len(found) > 256:
        raise IntegrityError(f"{name} of a node's manifest is no short text")
    return found
