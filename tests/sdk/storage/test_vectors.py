"""The vectors of tests/vectors come out of the package and, independently, of the reference written from the
documentation."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from blackhole.errors import CapError
from blackhole.storage.caps import parse_cap

ROOT = Path(__file__).parents[3]
NAMES = ("segment", "mask", "block_tree", "piece_tree", "manifest", "cap", "signed", "unixfs")
KINDS = {"read-cap": 1, "repair-cap": 2, "verify-cap": 3}


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


generator = module(ROOT / "toolchain" / "generate_vectors.py")
reference = module(Path(__file__).with_name("reference.py"))


@cache
def vectors(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "tests" / "vectors" / f"{name}.json").read_text())
    return loaded


@cache
def content(length: int) -> bytes:
    return hashlib.shake_128(vectors("segment")["content"].encode()).digest(length)


@pytest.mark.parametrize("name", NAMES)
def test_the_package_makes_the_vectors(name: str) -> None:
    assert json.loads(generator.text(name)) == vectors(name)


def made(case: dict[str, Any]) -> list[bytes]:
    profile = vectors("segment")["profiles"][case["profile"]]
    keys = reference.Keys(bytes.fromhex(vectors("segment")["object_key"]))
    offset = case.get("content_offset", 0)
    plaintext = content(offset + case["length"])[offset:]
    shards: list[bytes] = reference.shards(
        plaintext, profile["k"], profile["n"], profile["unit"], keys, case["segment"], bytes.fromhex(case["salt"])
    )
    return shards


def cases() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = vectors("segment")["cases"]
    return listed


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case['profile']}-{case['segment']}-{case['length']}")
def test_the_reference_makes_the_same_segments(case: dict[str, Any]) -> None:
    shards = made(case)
    assert {len(shard) for shard in shards} == {case["shard_length"]}
    assert case["shard_length"] == case["unit"] * case["stripes"]
    assert hashlib.sha256(b"".join(shards)).hexdigest() == case["shards_sha256"]
    for expected in case["shards"]:
        shard = shards[expected["shard"]]
        blocks = [reference.blake3(block).hexdigest() for block in reference.blocks_of(shard)]
        assert blocks == expected["blocks"]
        assert reference.root_cid(shard, 0x1E) == expected["cid"]
        root, leaves = reference.piece(shard)
        assert {"root": root.hex(), "leaves": leaves} == expected["piece"]


def test_every_length_the_format_turns_on_is_covered() -> None:
    for name, profile in vectors("segment")["profiles"].items():
        unit, stripe = profile["unit"], profile["unit"] * profile["k"]
        wanted = {0, 1, unit - 1, unit, unit + 1, stripe - 1, stripe, stripe + 1}
        assert wanted <= {case["length"] for case in cases() if case["profile"] == name}
    assert {(1 << 26) - 1, 1 << 26} <= {case["length"] for case in cases()}
    assert any(case["segment"] == 1 and case["length"] == 1 for case in cases()), "64 MiB + 1"


def test_the_reference_derives_the_same_keys_and_masks() -> None:
    given = vectors("mask")
    keys, salt = reference.Keys(bytes.fromhex(given["object_key"])), bytes.fromhex(given["salt"])
    assert (keys.mask_key.hex(), keys.commitment.hex()) == (given["mask_key"], given["commitment"])
    for each in given["segment_keys"]:
        assert keys.segment_key(each["segment"], salt).hex() == each["key"]
    for each in given["shard_mask_keys"]:
        assert keys.shard_key(each["shard"], salt).hex() == each["key"]
    for each in given["masks"]:
        cipher = reference.Cipher(
            reference.algorithms.AES(keys.shard_key(each["shard"], salt)), reference.modes.CTR(bytes(16))
        )
        stream = cipher.encryptor().update(bytes(each["offset"] + 48))
        assert stream[each["offset"] :].hex() == each["mask"]


def test_the_reference_makes_the_same_pieces_and_agreements() -> None:
    given = vectors("piece_tree")
    pieces = []
    for each in given["pieces"]:
        data = content(each["length"])
        assert reference.piece(data) == (bytes.fromhex(each["root"]), each["leaves"])
        assert reference.root_cid(data, 0x1E) == each["cid"]
        pieces.append((bytes.fromhex(each["root"]), each["leaves"]))
    for each in given["agreements"]:
        chosen = pieces[: each["pieces"]]
        encoded = reference.cbor([[root, leaves] for root, leaves in chosen])
        assert encoded.hex() == each["encoded"]
        assert hashlib.sha256(encoded).hexdigest() == each["digest"]
        root, leaves = reference.sum_root(chosen) if chosen else (bytes(32), 0)
        assert (root.hex(), leaves) == (each["root"], each["leaves"])


def test_the_reference_makes_the_same_manifests() -> None:
    given = vectors("manifest")["cases"]
    dev = vectors("segment")["profiles"]["dev"] | {"name": "dev"}
    keys = reference.Keys(bytes.fromhex(vectors("manifest")["object_key"]))
    segments = [case for case in cases() if case["profile"] == "dev" and (case["length"], case["segment"]) in
                ((1 << 26, 0), (1, 1))]  # fmt: skip
    entries = [reference.segment_entry(case["length"], bytes.fromhex(case["salt"]), made(case)) for case in segments]
    large = reference.manifest((1 << 26) + 1, keys.commitment, dev, entries)
    assert hashlib.sha256(large).hexdigest() == given[0]["blocks"][0]["sha256"]
    assert reference.text(reference.cid(0x71, 0x1E, large)) == given[0]["blocks"][0]["cid"]
    assert reference.piece(large)[0].hex() == given[0]["blocks"][0]["piece"]["root"]
    salt = bytes.fromhex(cases()[0]["salt"])
    small = reference.shards(content(5000), 3, 10, 65536, keys, 0, salt)
    entry = reference.segment_entry(5000, salt, small)
    assert reference.manifest(5000, keys.commitment, dev, [entry]).hex() == given[1]["blocks"][0]["data"]
    associated = b"blackhole/1" + keys.commitment + (0).to_bytes(4, "big") + (1).to_bytes(4, "big")
    sealed = reference.AESGCM(keys.segment_key(0, salt)).encrypt(bytes(11) + b"\1", content(100), associated)
    inline = {
        "kind": "inline",
        "schema": 1,
        "length": 100,
        "commitment": keys.commitment,
        "salt": salt,
        "data": sealed,
    }
    assert reference.cbor(inline).hex() == given[2]["blocks"][0]["data"]
    pack = reference.cid(0x71, 0x1E, bytes.fromhex(given[1]["blocks"][0]["data"]))
    pack_key = bytes.fromhex(vectors("manifest")["pack_key"])
    sealing = reference.AESGCM(reference.hkdf(keys.object_key, salt, b"blackhole/1/pack"))
    packed = {
        "kind": "packed",
        "schema": 1,
        "length": 300,
        "commitment": keys.commitment,
        "salt": salt,
        "offset": 77,
        "pack": ("cid", pack),
        "pack_leaves": given[1]["blocks"][0]["piece"]["leaves"],
        "key": sealing.encrypt(bytes(12), pack_key, keys.commitment + pack),
    }
    assert reference.cbor(packed).hex() == given[3]["blocks"][0]["data"]


def test_the_reference_writes_the_same_caps() -> None:
    manifest = bytes.fromhex(vectors("manifest")["cases"][1]["blocks"][0]["data"])
    for case in vectors("cap")["cases"]:
        arguments = (bytes.fromhex(case["payer"]), reference.cid(0x71, 0x1E, manifest), case["leaves"])
        text = reference.cap(KINDS[case["kind"]], int(case["chain_id"]), *arguments, bytes.fromhex(case["key"]))
        assert text == case["text"]
        assert parse_cap(text).text == text
        digest = arguments[1][-32:]
        assert reference.sum_root([(digest, case["leaves"])])[0].hex() == case["piece_root"]
    for case in vectors("cap")["refused"]:
        with pytest.raises(CapError):
            parse_cap(case["text"])


def test_the_reference_makes_the_same_file_cids() -> None:
    for case in vectors("unixfs")["cases"]:
        if case["length"] < 1 << 30:
            data = bytes(case["length"]) if case.get("zeros") else content(case["length"])
            assert reference.root_cid(data, 0x12) == case["sha2-256"]
            assert reference.root_cid(data, 0x1E) == case["blake3"]
