"""Where benchmarks write what they measured: rows of benchmarks/results/<name>.json, shown in docs/benchmarks.md."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Row:
    """One line of a table: medians of `n` rounds; `ratio` is ours / peer for speeds; `spread` the quartile distance
    over the median."""

    row: str
    ours: float
    unit: str
    n: int
    spread: float
    peer: float | None = None
    ratio: float | None = None
    goal: str = ""


def measured(row: str, ours: Sequence[float], unit: str, *, peer: Sequence[float] = (), goal: str = "") -> Row:
    """A row of medians. Rounds of both sides were taken in turn, so the ratio is the median of each round's."""
    middle = statistics.median(ours)
    quartiles = statistics.quantiles(ours, n=4) if len(ours) > 1 else [middle] * 3
    spread = round((quartiles[2] - quartiles[0]) / middle, 3)
    if not peer:
        return Row(row, _rounded(middle), unit, len(ours), spread, goal=goal)
    ratio = statistics.median(mine / other for mine, other in zip(ours, peer, strict=True))
    return Row(row, _rounded(middle), unit, len(ours), spread, _rounded(statistics.median(peer)), round(ratio, 2), goal)


def write(name: str, rows: Sequence[Row]) -> None:
    """Write benchmarks/results/<name>.json and print it."""
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    date = datetime.now(UTC).date().isoformat()
    table = [{**asdict(row), "command": command, "date": date} for row in rows]
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    for row in rows:
        versus = "" if row.ratio is None else f"  peer {row.peer}  ratio {row.ratio}  goal {row.goal}"
        print(f"{row.row}: {row.ours} {row.unit}{versus}  (n {row.n}, spread {row.spread})")


def _rounded(value: float) -> float:
    return round(value, 1) if value < 100 else round(value)
