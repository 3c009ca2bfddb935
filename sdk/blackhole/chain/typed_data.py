"""EIP-712 digests, compiled once a struct: the type hash, the encoders and the domain separator are computed ahead."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from blackhole.chain.abi import PLAIN
from blackhole.chain.values import Address, address
from blackhole.errors import InputError
from blackhole.hashing import keccak256

_DECLARATION = re.compile(r"(\w+)\((.*)\)$")
_DOMAIN_TYPE: Final = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


@dataclass(frozen=True)
class Domain:
    """What a signature is bound to: a contract on a chain, by name and version."""

    name: str
    version: str
    chain_id: int
    contract: Address

    @cached_property
    def separator(self) -> bytes:
        """The EIP-712 domain separator, 32 bytes."""
        return keccak256(
            keccak256(_DOMAIN_TYPE.encode())
            + keccak256(self.name.encode())
            + keccak256(self.version.encode())
            + self.chain_id.to_bytes(32, "big")
            + bytes(12)
            + bytes.fromhex(address(self.contract)[2:])
        )

    @cached_property
    def prefix(self) -> bytes:
        """`0x1901` and the separator: what goes before a struct hash."""
        return b"\x19\x01" + self.separator


class TypedStruct:
    """One EIP-712 struct type. Make one with `typed_struct(...)`."""

    def __init__(self, declaration: str, references: Sequence[TypedStruct] = ()) -> None:
        match = _DECLARATION.match(declaration)
        if match is None:
            raise ValueError(f"not a struct declaration: {declaration!r}")
        self.name = match.group(1)
        self.declaration = declaration
        fields = [part.strip().split(" ") for part in match.group(2).split(",")] if match.group(2) else []
        self.fields: tuple[tuple[str, str], ...] = tuple((kind, name) for kind, name in fields)
        self._known: dict[str, TypedStruct] = {}
        for reference in references:
            self._known |= {reference.name: reference, **reference._known}
        self.encoded_type = declaration + "".join(self._known[name].declaration for name in sorted(self._known))
        self._encoders = tuple(self._encoder(kind) for kind, _ in self.fields)

    @cached_property
    def type_hash(self) -> bytes:
        """keccak256 of the encoded type."""
        return keccak256(self.encoded_type.encode())

    def _encoder(self, kind: str) -> Callable[[Any], bytes]:
        if kind.endswith("]"):
            item = self._encoder(kind[: kind.rindex("[")])
            length = kind[kind.rindex("[") + 1 : -1]

            def array(value: Any) -> bytes:
                if length and len(value) != int(length):
                    raise InputError(f"{kind} takes {length} items, not {len(value)}")
                return keccak256(b"".join([item(each) for each in value]))

            return array
        if kind in self._known:
            inner = self._known[kind]
            return lambda value: inner.hash(*value)
        if kind == "bytes":
            return lambda value: keccak256(bytes(value))
        if kind == "string":
            return lambda value: keccak256(value.encode())
        return PLAIN.one(kind).encode

    def hash(self, *values: Any) -> bytes:
        """The struct hash of the field values, in order. Raises `InputError` for a value its type cannot hold."""
        if len(values) != len(self._encoders):
            raise InputError(f"{self.name} has {len(self._encoders)} fields, not {len(values)}")
        return keccak256(
            self.type_hash + b"".join([encode(value) for encode, value in zip(self._encoders, values, strict=True)])
        )

    def digest(self, domain: Domain, *values: Any) -> bytes:
        """What a signer signs for these field values in that domain, 32 bytes."""
        return keccak256(domain.prefix + self.hash(*values))


def typed_struct(declaration: str, *references: TypedStruct) -> TypedStruct:
    """`typed_struct("Voucher(address payee,uint16 service,uint32 lane,uint48 cumulative)")`; `references` are the
    structs it names in its fields.
    """
    return TypedStruct(declaration, references)
