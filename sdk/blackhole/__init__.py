"""Blackhole: the People's Cloud.

    from blackhole import Blackhole, Tokens

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blackhole.client import AsyncBlackhole, Blackhole
    from blackhole.errors import BlackholeError
    from blackhole.network import Network
    from blackhole.units import Tokens, format_tokens

__all__ = ["AsyncBlackhole", "Blackhole", "BlackholeError", "Network", "Tokens", "format_tokens"]

_HOMES = {
    "AsyncBlackhole": "blackhole.client",
    "Blackhole": "blackhole.client",
    "BlackholeError": "blackhole.errors",
    "Network": "blackhole.network",
    "Tokens": "blackhole.units",
    "format_tokens": "blackhole.units",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'blackhole' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
