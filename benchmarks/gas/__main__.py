"""`make gas`: gas of every operation, via-IR, through the proxies, from receipts on a real chain.

    python benchmarks/gas            measure, print the table, write benchmarks/results/gas.json
    python benchmarks/gas --check    measure and fail where a row is more than 2 % above the committed one

Each module beside this file has `rows(chain) -> list[Row(name, gas, goal)]`; a goal of 0 means none was set.
"""

from __future__ import annotations

import datetime
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "gas.json"
TOLERANCE_PERCENT = 2


NEEDED = [
    "contracts",
    "node_modules/@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol",
    "tests/contracts/forge/ServiceVerifier.sol",
]
"""Not the tests: via-IR takes minutes for them."""


def build() -> None:
    environment = {**os.environ, "FOUNDRY_PROFILE": "release"}
    forge = ROOT / "node_modules" / ".bin" / "forge"
    result = subprocess.run(
        [str(forge), "build", *NEEDED],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode:
        raise SystemExit(result.stdout)


def measure() -> dict[str, tuple[int, int]]:
    """Gas and goal of each row, by module and name."""
    os.environ["FOUNDRY_PROFILE"] = "release"
    sys.path[:0] = [str(HERE), str(ROOT / "tests" / "contracts")]
    found = {}
    for path in sorted(HERE.glob("[a-z]*.py")):
        chain_class: Any = importlib.import_module("model.chain").Chain
        with chain_class() as chain:
            for row in importlib.import_module(path.stem).rows(chain):
                found[f"{path.stem}: {row.name}"] = (row.gas, row.goal)
    return found


def committed() -> dict[str, int]:
    return {row["row"]: row["ours"] for row in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}


def write(found: dict[str, tuple[int, int]]) -> None:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    fixed = {"peer": None, "ratio": None, "unit": "gas", "n": 1, "spread": 0, "command": "make gas", "date": today}
    rows = [{"row": name, "ours": gas, "goal": goal or None, **fixed} for name, (gas, goal) in found.items()]
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


def main() -> int:
    build()
    found, before = measure(), committed()
    check = "--check" in sys.argv[1:]
    worse = []
    for name, (gas, goal) in found.items():
        above = "above its goal" if goal and gas > goal else ""
        if not check:
            print(f"{name:58}{gas:>9,}  {f'goal {goal:,}' if goal else '':14}  {above}")
        if name in before and gas * 100 > before[name] * (100 + TOLERANCE_PERCENT):
            worse.append(f"{name}: {gas:,} gas, committed {before[name]:,}")
    missing = sorted(set(before) ^ set(found))
    if not check:
        write(found)
        return 0
    for line in worse:
        print(line)
    for name in missing:
        print(f"{name}: {'no longer measured' if name in before else 'not in gas.json'}: run make gas")
    return bool(worse or missing)


if __name__ == "__main__":
    sys.exit(main())
