"""Write docs/benchmarks.md from benchmarks/results/*.json. `--check` fails when the page is stale."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
COLUMNS = ["row", "ours", "peer", "ratio", "goal", "unit", "n", "spread"]
HEAD = """# Benchmarks

<!-- Generated from benchmarks/results by toolchain/generate_benchmarks.py. Do not edit. -->

Every figure was printed by the command beside it on the date beside it, on two cores. Where there is a peer, both ran
in turn in the same run: compare the ratios, not the absolute figures. A row outside its goal stays here.
"""


def cell(value: object) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value).replace("|", "\\|")


def table(name: str, rows: list[dict[str, Any]]) -> list[str]:
    lines = [f"## {name}", "", "| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(cell(row.get(column)) for column in COLUMNS) + " |" for row in rows]
    runs = sorted({(str(row["command"]), str(row["date"])) for row in rows})
    return [*lines, "", *(f"`{command}`, {date}" for command, date in runs), ""]


def page() -> str:
    lines = [HEAD]
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.json")):
        lines += table(path.stem, json.loads(path.read_text()))
    return "\n".join(lines)


def main() -> int:
    text = page()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text() != text:
            print(f"{PAGE.relative_to(ROOT)} is stale: run make generate", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
