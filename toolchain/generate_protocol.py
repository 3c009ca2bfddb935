"""Write the three faces of protocol.toml: Solidity, Python and docs. `--check` fails when one is stale.

Either way a constant whose bound does not hold is refused by name.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NOTE = "Generated from protocol.toml by toolchain/generate_protocol.py. Do not edit."
INTRODUCTION = """\
Constants of the contracts and formats, each with the bound that whoever changes it must keep: `make check` refuses one
that does not hold. What the DAO can change, it changes within them; group `initial` is what it starts with."""

Groups = dict[str, dict[str, dict[str, Any]]]


def solidity(groups: Groups) -> str:
    lines = ["// SPDX-License-Identifier: Apache-2.0", f"// {NOTE}", "pragma solidity ^0.8.28;", ""]
    lines += ["/// @notice Constants of the protocol; docs/parameters.md gives the reason of each."]
    lines += ["library Protocol {"]
    for constants in groups.values():
        for name, constant in constants.items():
            kind = constant.get("solidity", "uint256")
            if kind:
                lines.append(f"    /// @dev {constant['unit']}")
                lines.append(f"    {kind} internal constant {name} = {constant['value']};")
    return "\n".join([*lines, "}", ""])


def python(groups: Groups) -> str:
    lines = [f'"""Constants of the protocol.\n\n{NOTE}\n"""', "", "from typing import Final"]
    for group, constants in groups.items():
        lines += ["", f"# {group}"]
        for name, constant in constants.items():
            lines += [f"{name}: Final = {constant['value']:_}", f'"""{constant["unit"]}. {constant["reason"]}"""']
    return "\n".join([*lines, ""])


def broken(groups: Groups) -> list[str]:
    """Each constant whose bound is missing or does not hold, with the bound."""
    values = {name: constant["value"] for constants in groups.values() for name, constant in constants.items()}
    found: list[str] = []
    for constants in groups.values():
        for name, constant in constants.items():
            bound = constant.get("bound", "")
            # Arithmetic over the names of our own file, and nothing else in reach.
            if name not in bound or not eval(bound, {"__builtins__": {}}, values):  # noqa: S307
                found.append(f"{name} = {constant['value']:_} breaks its bound: {bound or 'it has none'}")
    return found


def markdown(groups: Groups) -> str:
    lines = ["# Parameters", "", f"<!-- {NOTE} -->", ""]
    lines += [INTRODUCTION, ""]
    for group, constants in groups.items():
        lines += [
            f"## {group}",
            "",
            "| name | value | unit | bound | enforced in | reason |",
            "|---|---|---|---|---|---|",
        ]
        for name, constant in constants.items():
            bound = f"`{constant['bound']}`"
            row = [
                f"`{name}`",
                f"{constant['value']:,}",
                constant["unit"],
                bound,
                constant["where"],
                constant["reason"],
            ]
            lines.append("| " + " | ".join(row) + " |")
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    groups: Groups = tomllib.loads((ROOT / "protocol.toml").read_text())
    for line in (failures := broken(groups)):
        print(f"protocol.toml: {line}", file=sys.stderr)
    if failures:
        return 1
    written = {
        "contracts/libraries/Protocol.sol": solidity(groups),
        "sdk/blackhole/protocol.py": python(groups),
        "docs/parameters.md": markdown(groups),
    }
    stale = [name for name, text in written.items() if not (ROOT / name).exists() or (ROOT / name).read_text() != text]
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"{name} is stale: run make generate", file=sys.stderr)
        return bool(stale)
    for name in stale:
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(written[name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
