"""A node's manifest: canonical, committed to by its digest, read with suspicion."""

import hashlib

import pytest
from blackhole.errors import IntegrityError
from blackhole.storage.ipfs import dag_cbor
from blackhole.storage.node_manifest import NodeManifest

MANIFEST = NodeManifest(b"k" * 32, "https://127.1.2.1:4480", 10, 64 * 2**20, {1: 10**15}, "0.1.0")


def test_it_reads_what_it_writes_and_commits_to_it() -> None:
    raw = MANIFEST.encode()
    assert NodeManifest.decode(raw) == MANIFEST
    assert MANIFEST.digest() == hashlib.sha256(raw).digest()


def test_unknown_fields_are_ignored() -> None:
    value = dag_cbor.decode(MANIFEST.encode())
    assert isinstance(value, dict)
    assert NodeManifest.decode(dag_cbor.encode({**value, "motto": "more"})) == MANIFEST


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"schema": "1"},
        {"schema": True},
        {"tls": b"short"},
        {"tls": "text"},
        {"egress_micro_per_mib": -1},
        {"egress_micro_per_mib": 2**60},
        {"egress_micro_per_mib": True},
        {"endpoint": "x" * 300},
        {"version": 3},
        {"audit_bytes_per_day": None},
    ],
)
def test_what_is_malformed_is_refused(change: dict[str, dag_cbor.Node]) -> None:
    value = dag_cbor.decode(MANIFEST.encode())
    assert isinstance(value, dict)
    with pytest.raises(IntegrityError):
        NodeManifest.decode(dag_cbor.encode({**value, **change}))


@pytest.mark.parametrize("raw", [b"", b"\x80", b"\xa0", b"garbage", b"\xff" * 70_000])
def test_garbage_is_refused(raw: bytes) -> None:
    with pytest.raises(IntegrityError):
        NodeManifest.decode(raw)


def test_prices_that_are_no_prices_are_left_out() -> None:
    value = dag_cbor.decode(MANIFEST.encode())
    assert isinstance(value, dict)
    value["services"] = {"1": {"price_wei_per_gib_period": "x"}, "2": {"price_wei_per_gib_period": "5"}, "y": 3}
    assert NodeManifest.decode(dag_cbor.encode(value)).prices == {2: 5}
