"""mypy --strict and pyright infer the same, exact types for both faces."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CASES = Path(__file__).resolve().parent / "typing_cases.py"
CHECKERS = {
    "mypy": [str(Path(sys.executable).parent / "mypy"), "--no-error-summary", "--hide-error-context"],
    "pyright": [str(ROOT / "node_modules" / ".bin" / "pyright"), "--pythonpath", sys.executable],
}


def expectations() -> tuple[dict[int, str], set[int]]:
    types: dict[int, str] = {}
    errors: set[int] = set()
    for number, line in enumerate(CASES.read_text().splitlines(), 1):
        if match := re.match(r"\s*reveal_type\(.*\)  # (.+)$", line):
            types[number] = match.group(1)
        elif line.endswith("  # error"):
            errors.add(number)
    return types, errors


@pytest.mark.parametrize("name", CHECKERS)
def test_types_are_exact(name: str) -> None:
    command = [*CHECKERS[name], str(CASES)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    types, errors = expectations()
    revealed: dict[int, str] = {}
    refused: set[int] = set()
    for line in result.stdout.splitlines():
        match = re.search(r"typing_cases\.py:(\d+)", line)
        if match is None:
            continue
        number = int(match.group(1))
        quoted = re.search(r'is "([^"]+)"$', line)
        if number in types and quoted and ("Revealed" in line or "information" in line):
            # mypy spells a NamedTuple as a tuple with a fallback.
            named = re.sub(r"tuple\[[^\[\]]*, fallback=([\w.]+)\]", r"\1", quoted.group(1))
            revealed[number] = re.sub(r"\b(?:\w+\.)+(?=\w)", "", named)
        elif "error" in line:
            refused.add(number)
    assert revealed == types, result.stdout
    assert refused == errors, result.stdout
