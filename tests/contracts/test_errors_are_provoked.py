"""Every custom error the contracts declare is named by a test that provokes it: as `IPaymentHub.ZeroAmount.selector` in
forge, by its name in Python. A new error without a test fails here, and so does one that no code reverts with.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
UNIT = re.compile(r"^(?:abstract )?(?:contract|interface|library) (\w+)|^    error (\w+)\(", re.MULTILINE)


class Declared(NamedTuple):
    unit: str
    error: str


def sources() -> list[Path]:
    """Our contracts: Ape keeps copies of its dependencies in a hidden folder beside them."""
    found = sorted((ROOT / "contracts").rglob("*.sol"))
    return [source for source in found if ".cache" not in source.relative_to(ROOT).parts]


def declared() -> list[Declared]:
    """The errors of contracts/, each with the contract, interface or library that declares it."""
    found = []
    for source in sources():
        unit = ""
        for match in UNIT.finditer(source.read_text()):
            if match[1]:
                unit = match[1]
            else:
                found.append(Declared(unit, match[2]))
    return found


def texts(suffix: str) -> str:
    """All tests of that kind but this one, as one text."""
    here = Path(__file__).resolve()
    return "\n".join(p.read_text() for p in sorted((ROOT / "tests").rglob(f"*{suffix}")) if p != here)


def named(each: Declared, unique: bool, forge: str, python: str) -> bool:
    """Two contracts may have an error of one name: then only its contract's or interface's name before it counts."""
    unit, error = each
    if any(f"{owner}.{error}.selector" in forge for owner in (unit, re.sub(r"^I(?=[A-Z])", "", unit))):
        return True
    return unique and bool(re.search(rf"\b{error}\.selector", forge) or re.search(rf"[\"'.]{error}\b", python))


def test_every_error_is_named_by_a_test() -> None:
    errors = declared()
    assert len(errors) > 100
    names = Counter(each.error for each in errors)
    forge, python = texts(".sol"), texts(".py")
    missing = [f"{each.unit}.{each.error}" for each in errors if not named(each, names[each.error] == 1, forge, python)]
    assert not missing, missing


def test_every_error_is_reverted_with_somewhere() -> None:
    code = "\n".join(source.read_text() for source in sources())
    unused = [each for each in declared() if not re.search(rf"revert (?:\w+\.)?{each.error}\b", code)]
    assert not unused, unused
