"""Reading manifests: strict, so that whatever is accepted is what `manifest` would write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from blackhole.errors import IntegrityError
from blackhole.protocol import BLOCK
from blackhole.storage.ipfs import dag_cbor
from blackhole.storage.ipfs.cid import BLAKE3, DAG_CBOR, Cid
from blackhole.storage.manifest import SCHEMA, InlineManifest, PackedManifest, Part, Segment, SegmentsManifest
from blackhole.storage.profiles import PROFILES, Profile


def decode_manifest(data: bytes, cid: Cid | None = None) -> SegmentsManifest | InlineManifest | PackedManifest:
    """Read a manifest, checked against its CID when that is given. A `SegmentsManifest` with `parts` has no segments
    before they are `joined`. Raises IntegrityError for everything that is malformed, contradictory or newer than this
    version."""
    if cid is not None and not cid.matches(data):
        raise IntegrityError("the manifest is not what its CID says")
    if len(data) > BLOCK:
        raise IntegrityError("a manifest has at most 1 MiB")
    value = dag_cbor.decode(data)
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if kind == "segments":
        return _segments_manifest(value)
    if kind == "inline":
        fields = _map(value, "kind", "schema", "length", "commitment", "salt", "data")
        _check_schema(fields)
        return InlineManifest(
            _int(fields["length"]), _bytes(fields["commitment"]), _bytes(fields["salt"]), _bytes(fields["data"])
        )
    if kind == "packed":
        fields = _map(value, "kind", "schema", "length", "commitment", "salt", "offset", "pack", "pack_leaves", "key")
        _check_schema(fields)
        return PackedManifest(
            _int(fields["length"]),
            _bytes(fields["commitment"]),
            _bytes(fields["salt"]),
            _int(fields["offset"]),
            _manifest_cid(fields["pack"]),
            _int(fields["pack_leaves"]),
            _bytes(fields["key"]),
        )
    raise IntegrityError("not a manifest of a kind this version knows")


def _segments_manifest(value: dag_cbor.Node) -> SegmentsManifest:
    body = "parts" if isinstance(value, Mapping) and "parts" in value else "segments"
    fields = _map(value, "kind", "schema", "length", "commitment", "profile", body)
    _check_schema(fields)
    profile = _profile(fields["profile"])
    segments: tuple[Segment, ...] = ()
    parts: tuple[Part, ...] = ()
    if body == "segments":
        segments = tuple(_segment(profile, row) for row in _list(fields[body]))
    else:
        parts = tuple(_part(row) for row in _list(fields[body]))
        if not parts:
            raise IntegrityError("a manifest without segments")
    return SegmentsManifest(profile, _int(fields["length"]), _bytes(fields["commitment"]), segments, parts)


def join_parts(manifest: SegmentsManifest, parts: Sequence[bytes]) -> SegmentsManifest:
    """The manifest with the segments of all its parts, given in order. Raises IntegrityError."""
    segments: list[Segment] = []
    for part, data in zip(manifest.parts, parts, strict=True):
        segments += decode_part(manifest.profile, part, data)
    return SegmentsManifest(manifest.profile, manifest.length, manifest.commitment, tuple(segments), manifest.parts)


def decode_part(profile: Profile, part: Part, data: bytes) -> tuple[Segment, ...]:
    """The segments a part lists. Raises IntegrityError when `data` is not that part."""
    if not part.cid.matches(data):
        raise IntegrityError("a part of the manifest is not what its CID says")
    fields = _map(dag_cbor.decode(data), "kind", "schema", "segments")
    if fields["kind"] != "part":
        raise IntegrityError("not a part of a manifest")
    _check_schema(fields)
    segments = tuple(_segment(profile, row) for row in _list(fields["segments"]))
    if len(segments) != part.segments:
        raise IntegrityError("a part of the manifest lists another number of segments")
    return segments


def _segment(profile: Profile, row: dag_cbor.Node) -> Segment:
    fields = _map(row, "length", "salt", "shards")
    shards = []
    for joined in map(_bytes, _list(fields["shards"])):
        if len(joined) % 32:
            raise IntegrityError("a shard's digests have 32 bytes each")
        shards.append(tuple(joined[at : at + 32] for at in range(0, len(joined), 32)))
    return Segment(profile, _int(fields["length"]), _bytes(fields["salt"]), tuple(shards))


def _part(row: dag_cbor.Node) -> Part:
    values = _list(row)
    if len(values) != 3:
        raise IntegrityError("a part is [CID, leaves, segments]")
    part = Part(_manifest_cid(values[0]), _int(values[1]), _int(values[2]))
    if not 1 <= part.leaves <= 1024 or part.segments < 1:
        raise IntegrityError("a malformed part of a manifest")
    return part


def _profile(value: dag_cbor.Node) -> Profile:
    fields = _map(value, "name", "k", "n", "repair_at", "unit")
    name = fields["name"]
    if not isinstance(name, str):
        raise IntegrityError("a profile's name is text")
    numbers = [_int(fields[key]) for key in ("k", "n", "repair_at", "unit")]
    try:
        profile = Profile(name, *numbers)
    except ValueError as error:
        raise IntegrityError(str(error)) from None
    known = PROFILES.get(name)
    return known if known is not None and known == profile else profile


def _check_schema(fields: Mapping[str, dag_cbor.Node]) -> None:
    schema = _int(fields["schema"])
    if schema != SCHEMA:
        raise IntegrityError(
            f"a manifest of schema {schema}; this version knows {SCHEMA}", hint="Use a newer version of Blackhole."
        )


def _map(value: dag_cbor.Node, *names: str) -> Mapping[str, dag_cbor.Node]:
    if not isinstance(value, Mapping) or set(value) != set(names):
        raise IntegrityError("a manifest with missing or unknown fields")
    return value


def _list(value: dag_cbor.Node) -> list[dag_cbor.Node]:
    if not isinstance(value, list):
        raise IntegrityError("a list was expected in the manifest")
    return value


def _int(value: dag_cbor.Node) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise IntegrityError("a number was expected in the manifest")
    return value


def _bytes(value: dag_cbor.Node) -> bytes:
    if not isinstance(value, bytes) or isinstance(value, Cid):
        raise IntegrityError("bytes were expected in the manifest")
    return value


def _manifest_cid(value: dag_cbor.Node) -> Cid:
    if not isinstance(value, Cid) or value.codec != DAG_CBOR or value.hash_code != BLAKE3:
        raise IntegrityError("a link to a manifest was expected")
    return value
