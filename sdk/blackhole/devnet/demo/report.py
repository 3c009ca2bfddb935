"""What the demo found: the tables people read and the JSON programs read."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from blackhole.cli.output import size, table
from blackhole.errors import BlackholeError, InputError


class CheckFailed(BlackholeError):
    """Something the demo claims is not so. `data` holds what was found."""

    code = "demo_check"
    hint = "The claim named is false on this machine: the run folder (KEEP=1) holds the logs of every process."


@dataclass
class NodeRow:
    """One node: what it was, what happened to it, what it earned and lost (wei)."""

    id: int
    pid: int | None
    endpoint: str
    pid_restarted: int | None = None
    earned_wei: int = 0
    gas_wei: int = 0
    slashed_wei: int = 0
    killed: bool = False
    cheated: bool = False
    role: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "pid": self.pid,
            "pid_restarted": self.pid_restarted,
            "endpoint": self.endpoint,
            "earned_wei": str(self.earned_wei),
            "slashed_wei": str(self.slashed_wei),
            "killed": self.killed,
            "cheated": self.cheated,
        }


@dataclass
class StepRow:
    """One step: wall time (s), bytes moved, transactions of everybody while it ran, and their gas."""

    name: str
    seconds: float = 0.0
    bytes: int = 0
    transactions: int = 0
    gas: int = 0

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "seconds": round(self.seconds, 3)}


@dataclass
class Report:
    """Everything the demo will say at its end."""

    file_bytes: int = 0
    sha256_in: str = ""
    sha256_out: str = ""
    nodes: dict[int, NodeRow] = field(default_factory=dict)
    steps: list[StepRow] = field(default_factory=list)
    checks: list[tuple[str, bool]] = field(default_factory=list)
    quote_wei: int = 0
    spent_wei: int = 0
    error: dict[str, Any] | None = None
    chapters: int = 0
    began: float = field(default_factory=time.monotonic)
    out: TextIO = field(default_factory=lambda: sys.stdout)

    @property
    def ok(self) -> bool:
        """True when it went to its end, made claims, and every one held."""
        return self.error is None and bool(self.checks) and all(held for _, held in self.checks)

    def chapter(self, title: str) -> None:
        """Begin one of the parts of the story; its steps follow."""
        self.chapters += 1
        self.out.write(f"\n{self.chapters}. {title}\n")
        self.out.flush()

    def say(self, line: str) -> None:
        """A line of live progress, with the seconds since the beginning."""
        self.out.write(f"{time.monotonic() - self.began:6.1f}  {line}\n")
        self.out.flush()

    def check(self, name: str, held: bool, found: object = "") -> None:
        """Record a claim; one that does not hold ends the demo.

        Raises:
            CheckFailed: with `found` in its message.
        """
        self.checks.append((name, bool(held)))
        self.say(f"  {'ok' if held else 'FAILED'}  {name}" + (f": {found}" if found != "" and not held else ""))
        if not held:
            raise CheckFailed(f"{name}: {found}" if found != "" else name)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[StepRow]:
        """Time one step. Its transactions and gas are filled in by who reads the chain."""
        row = StepRow(name)
        self.steps.append(row)
        self.say(f"- {name}")
        began = time.monotonic()
        try:
            yield row
        finally:
            row.seconds = time.monotonic() - began

    def to_json(self) -> dict[str, Any]:
        """The object of JSON=: wei as decimal strings, gas apart."""
        found: dict[str, Any] = {
            "ok": self.ok,
            "file": {"bytes": self.file_bytes, "sha256_in": self.sha256_in, "sha256_out": self.sha256_out},
            "nodes": [row.to_json() for row in self.nodes.values()],
            "steps": [row.to_json() for row in self.steps],
            "quote_wei": str(self.quote_wei),
            "spent_wei": str(self.spent_wei),
            "checks": [{"name": name, "ok": held} for name, held in self.checks],
        }
        if self.error is not None:
            found["error"] = self.error
        return found

    def write(self, path: Path) -> None:
        """Write the JSON report in one step. Raises InputError where nothing can be written."""
        new = path.with_name(path.name + ".new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(json.dumps(self.to_json(), indent=1) + "\n")
            new.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink()
            why = f"The report cannot be written to {path}: {error.strerror}."
            raise InputError(why, hint="Name a file in a folder of yours: JSON=report.json.") from error

    def tables(self) -> str:
        """The tables at the end."""
        nodes = [
            (row.id, row.role or "spare", six(row.earned_wei), six(row.gas_wei), six(row.slashed_wei))
            for row in self.nodes.values()
        ]
        steps = [(row.name, f"{row.seconds:.1f}", _rate(row), row.transactions, f"{row.gas:,}") for row in self.steps]
        held = sum(1 for _, held in self.checks if held)
        parts = [
            table(["node", "what it did", "earned (HOLE)", "gas paid (coin)", "slashed (HOLE)"], nodes),
            table(["step", "seconds", "MB/s", "transactions", "gas"], steps),
            f"quoted {six(self.quote_wei)} HOLE, spent {six(self.spent_wei)} HOLE",
            f"file   {size(self.file_bytes)}\nin     {self.sha256_in}\nout    {self.sha256_out}",
            f"{held} of {len(self.checks)} checks hold, {time.monotonic() - self.began:.0f} s in all",
        ]
        return "\n\n".join(parts)


def six(wei: int) -> str:
    """18 decimals cut to six, for tables; the JSON report has every wei."""
    whole, micro = divmod(wei // 10**12, 10**6)
    return f"{whole}.{micro:06d}"


def _rate(row: StepRow) -> str:
    return f"{row.bytes / 1e6 / row.seconds:.1f}" if row.bytes and row.seconds else "-"
