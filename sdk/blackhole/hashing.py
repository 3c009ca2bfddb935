"""Keccak-256, as Ethereum uses it, by pycryptodome's C code.

The public class of pycryptodome builds a new C state and several Python objects a call. A voucher takes three hashes,
so this module keeps one state a thread and resets it: three times as fast. Where that lower layer is not as expected,
the public class is used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from typing import Any

_EMPTY = bytes.fromhex("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")
_CAPACITY = 64
_ROUNDS = 24
_PADDING = 0x01

_local = threading.local()


def keccak256(data: bytes) -> bytes:
    """The 32-byte Keccak-256 of `data`."""
    try:
        absorb = cast("Callable[[bytes], bytes]", _local.hasher)
    except AttributeError:
        absorb = _local.hasher = _new_hasher()
    return absorb(data)


def _new_hasher() -> Callable[[bytes], bytes]:
    try:
        hasher = _fast_hasher()
        if hasher(b"") == _EMPTY and hasher(b"") == _EMPTY:
            return hasher
    except (ImportError, AttributeError, TypeError, ValueError):
        pass
    return _plain_hasher


def _plain_hasher(data: bytes) -> bytes:
    from Crypto.Hash import keccak

    return keccak.new(digest_bits=256, data=data).digest()


def _fast_hasher() -> Callable[[bytes], bytes]:
    from Crypto.Hash import keccak
    from Crypto.Util import _raw_api

    library: Any = keccak._raw_keccak_lib  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    api: Any = _raw_api
    pointer = api.VoidPointer()
    if library.keccak_init(pointer.address_of(), api.c_size_t(_CAPACITY), _ROUNDS):
        raise ValueError("keccak_init failed")
    # Frees the C state when the thread's hasher goes.
    state = api.SmartPointer(pointer.get(), library.keccak_destroy)
    raw = state.get()
    buffer = api.create_string_buffer(32)
    size, padding = api.c_size_t(32), api.c_ubyte(_PADDING)
    reset, absorb, digest, read = (
        library.keccak_reset,
        library.keccak_absorb,
        library.keccak_digest,
        api.get_raw_buffer,
    )
    count = api.c_size_t

    def hasher(data: bytes) -> bytes:
        if type(data) is not bytes:
            data = bytes(data)
        reset(raw)
        absorb(raw, data, count(len(data)))
        digest(raw, buffer, size, padding)
        return cast(bytes, read(buffer))

    hasher.__dict__["state"] = state
    return hasher
