"""Compiled contracts as they ship in the package: creation code and ABI types."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from blackhole.errors import InputError

__all__ = ["Artifact", "load"]

_FOLDER = Path(__file__).resolve().parent / "artifacts"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract."""

    name: str
    bytecode: bytes
    """Creation code without constructor arguments."""
    constructor: tuple[str, ...]
    """Canonical ABI types of the constructor's arguments."""
    functions: dict[str, tuple[str, ...]]
    """Function name to the canonical ABI types of its arguments; of overloads the first."""


@cache
def load(name: str) -> Artifact:
    """The contract of that name. Raises `InputError` when the package has none."""
    import orjson

    path = _FOLDER / f"{name}.json"
    if not path.is_file():
        raise InputError(f"no compiled contract {name}", hint="In a clone of the project: make generate.")
    compiled = orjson.loads(path.read_bytes())
    constructor: tuple[str, ...] = ()
    functions: dict[str, tuple[str, ...]] = {}
    for entry in compiled["abi"]:
        types = tuple(_canonical(argument) for argument in entry.get("inputs", ()))
        if entry["type"] == "constructor":
            constructor = types
        elif entry["type"] == "function":
            functions.setdefault(entry["name"], types)
    return Artifact(name, bytes.fromhex(compiled["bytecode"].removeprefix("0x")), constructor, functions)


def _canonical(argument: dict[str, Any]) -> str:
    kind: str = argument["type"]
    if not kind.startswith("tuple"):
        return kind
    return "(" + ",".join(_canonical(part) for part in argument["components"]) + ")" + kind[len("tuple") :]
