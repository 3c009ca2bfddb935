"""Signed things in requests: rights to upload, quotes, terms, changes, policies, grants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import orjson

from blackhole.errors import BlackholeError
from blackhole.node.storage.api import fields
from blackhole.node.storage.refusal import Refusal, malformed
from blackhole.storage.grants import GrantChain
from blackhole.storage.terms import Change, MarketDomain, Policy, Quote, SignedStruct, Terms, Upload, check_signature

S = TypeVar("S", bound=SignedStruct)

HEADER_MAX = 4096
"""bytes of a header that carries something signed."""


def struct(kind: type[S], body: Mapping[str, Any]) -> S:
    """Read a signed struct. Raises Refusal 400 with the field that is wrong."""
    try:
        return kind.from_json(body)
    except BlackholeError as error:
        raise malformed(f"{error.message}.") from None


def parse_upload(headers: Mapping[str, str], domain: MarketDomain, node: int) -> Upload:
    """`Blackhole-Upload`: compact JSON of the fields of Upload and "signature". The payer comes out lower-case.

    Raises:
        Refusal: 401 without the header, 400, 403.
    """
    text = headers.get("Blackhole-Upload")
    if text is None:
        raise Refusal(401, "upload_missing", "Blackhole-Upload is missing.", hint="Sign the right to upload.")
    try:
        body = orjson.loads(text) if len(text) <= HEADER_MAX else None
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise malformed("Blackhole-Upload is not a JSON object.")
    signature = fields.from_hex(fields.take(body, "signature", str), 65, "signature")
    upload = struct(Upload, {name: value for name, value in body.items() if name != "signature"})
    payer = headers.get("Blackhole-Payer")
    if payer is not None and payer.lower() != upload.payer.lower():
        raise malformed("Blackhole-Payer and Blackhole-Upload name different payers.")
    if upload.node != node:
        raise Refusal(403, "wrong_node", f"This right is for node {upload.node}, this is {node}.", hint="Sign another.")
    if not check_signature(upload.payer, upload.digest(domain), signature):
        raise Refusal(403, "upload_signature", "The right to upload is not signed by its payer.", hint="Sign it again.")
    return Upload(upload.payer.lower(), upload.node, upload.size, upload.expiry, upload.nonce)


def parse_terms(body: Mapping[str, Any]) -> Terms:
    """Terms. Raises Refusal 400."""
    return struct(Terms, body)


def parse_change(body: Mapping[str, Any]) -> Change:
    """A Change. Raises Refusal 400."""
    return struct(Change, body)


def parse_quote(body: Mapping[str, Any]) -> tuple[Quote, bytes] | None:
    """The quote a deal is made under, if one is shown: {"quote", "signature"}. Raises Refusal 400."""
    shown = body.get("quote")
    if shown is None:
        return None
    if not isinstance(shown, dict):
        raise malformed("'quote' is not an object.")
    return struct(Quote, fields.take(shown, "quote", dict)), fields.hexadecimal(shown, "signature", 65)


def parse_policy(body: Mapping[str, Any], terms: Terms, domain: MarketDomain, now: int) -> bool:
    """Whether its payer's repair policy opens the deal: {"policy", "policy_signature"}. Raises Refusal 400, 403."""
    if body.get("policy") is None:
        return False
    policy = struct(Policy, fields.take(body, "policy", dict))
    signature = fields.hexadecimal(body, "policy_signature", 65)
    if policy.payer.lower() != terms.payer.lower() or policy.expiry <= now:
        raise Refusal(403, "policy", "The policy is of another payer or has expired.", hint="Ask the owner.")
    if not check_signature(policy.payer, policy.digest(domain), signature):
        raise Refusal(403, "policy_signature", "The policy is not signed by its payer.", hint="Ask the owner.")
    return True


def parse_grant(text: str) -> GrantChain:
    """`Blackhole-Grant`: hex. Raises Refusal 400."""
    try:
        return GrantChain.decode(fields.from_hex(text, None, "Blackhole-Grant"))
    except BlackholeError as error:
        raise malformed(f"Blackhole-Grant: {error.message}.") from None
