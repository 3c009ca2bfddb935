"""How commands speak: results on stdout, everything else on stderr, one JSON object under --json.

A command ends by `emit(data, text)`. Amounts in `data` whose key ends in `_wei` are written as decimal strings, because
JSON numbers lose digits beyond 2^53. Errors become `{"error": {"code", "message", "hint", "data"}}` and an exit code.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import Any, TextIO

from blackhole.cli.context import current

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def plain(value: Any, key: str = "") -> Any:
    """`value` as JSON has it: `*_wei` integers as decimal strings, bytes as 0x hex, dataclasses as objects."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(name): plain(item, str(name)) for name, item in value.items()}
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return str(int(value)) if key.endswith("_wei") else int(value)
    if isinstance(value, Iterable):
        return [plain(item, key) for item in value]
    return str(value)


def emit(data: Mapping[str, Any], text: str | None = None) -> None:
    """Write a command's result: `data` under --json, else `text` (without text, `data` line by line).

    Raises DiskError when stdout takes it not: what the command did is done all the same.
    """
    if current().json:
        text = json.dumps(plain(data))
    elif text is None:
        rows = plain(data).items()
        text = "\n".join(f"{name}: {value if isinstance(value, str) else json.dumps(value)}" for name, value in rows)
    with _stdout():
        sys.stdout.write(text if text.endswith("\n") or not text else text + "\n")
        sys.stdout.flush()


def flush() -> None:
    """Have everything on stdout taken. Raises DiskError."""
    with _stdout():
        sys.stdout.flush()


@contextmanager
def _stdout() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        from blackhole.errors import DiskError

        failure = DiskError.of(error, "the output")
        failure.hint = "The command itself is done; only its answer was not written."
        raise failure from error


def would(text: str, **data: Any) -> None:
    """Write what a command would have done: the result of every --dry-run."""
    emit({"dry_run": True, **data}, f"would {text}")


def note(text: str) -> None:
    """One line on stderr for the person who waits; nothing under --json."""
    if not current().json:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def detail(text: str) -> None:
    """A line only -v shows."""
    if current().verbose:
        note(text)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A plain table; columns whose cells are all numbers are set right."""
    cells = [[str(cell) for cell in row] for row in rows]
    width = [max([len(name), *(len(row[i]) for row in cells)]) for i, name in enumerate(head)]
    right = [
        bool(cells) and all(row[i][:1].isdigit() or row[i] in {"", "-"} for row in cells) for i in range(len(head))
    ]

    def line(row: Sequence[str]) -> str:
        return "  ".join(c.rjust(width[i]) if right[i] else c.ljust(width[i]) for i, c in enumerate(row)).rstrip()

    return "\n".join([line(list(head)), *(line(row) for row in cells)])


def size(bytes_: float) -> str:
    """Bytes for people: 64.0 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if bytes_ < 1024:
            return f"{bytes_:.0f} {unit}" if unit == "B" else f"{bytes_:.1f} {unit}"
        bytes_ /= 1024
    return f"{bytes_:.1f} TiB"


def span(seconds: float) -> str:
    """A duration for people: 5 minutes."""
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}s"
    return f"{seconds:.0f} seconds"


def when(timestamp: int) -> str:
    """A moment of the chain's time for people, in UTC."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M UTC")


def count(number: int, one: str) -> str:
    """A number of things: 1 node, 2 nodes."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


def hole(wei: int) -> str:
    """Wei as HOLE with all its digits: 1.25 HOLE."""
    from blackhole.units import format_tokens

    return f"{format_tokens(wei)} HOLE"


class Progress:
    """A progress line on stderr: bytes, rate, time left. On a terminal it rewrites itself, else it speaks every 5 s.

    Usable as the progress callback of `storage.put` and `storage.get`.
    """

    def __init__(self, label: str, stream: TextIO | None = None) -> None:
        self.label = label
        self.stream = sys.stderr if stream is None else stream
        self.live = self.stream.isatty()
        self.silent = current().json
        self._last = time.monotonic() if not self.live else 0.0
        self._open = False

    def __call__(self, done: int, total: int | None, rate: float, eta: float | None) -> None:
        """`done` and `total` in bytes, `rate` in bytes a second, `eta` in seconds."""
        now = time.monotonic()
        if self.silent or now - self._last < (0.1 if self.live else 5.0):
            return
        self._last = now
        share = f" of {size(total)} ({100 * done // total} %)" if total else ""
        # The first bytes come after quotes and encoding: what they took says nothing of the rest.
        left = "" if eta is None or (total and 100 * done < total) else f", {eta:.0f} s left"
        self._write(f"{self.label}: {size(done)}{share}, {size(rate)}/s{left}")

    def _write(self, text: str) -> None:
        self.stream.write(f"\r\x1b[K{text}" if self.live else text + "\n")
        self.stream.flush()
        self._open = self.live

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open:
            self.stream.write("\r\x1b[K")
            self.stream.flush()


def confirm(question: str, *, limit: bool = False) -> None:
    """Ask before spending or overwriting; --yes answers. Without a terminal nobody can answer: that is an error.

    `limit`: the command has --max-price, which answers too.
    """
    from blackhole.errors import UsageError

    if current().yes:
        return
    if current().json or sys.stdin is None or not sys.stdin.isatty():
        hint = "Add --yes, or set the limit (--max-price)." if limit else "Add --yes."
        raise UsageError(f"Nobody is there to answer: {question}", hint=hint)
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise UsageError("You said no: nothing was done.", hint="Run it again when you want it.")


def fail(error: BaseException) -> int:
    """Write `error` where its reader looks and return the exit code."""
    if isinstance(error, BrokenPipeError):
        _silence_stdout()
        return 0
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
        hint = "What was signed counts and is kept: `storage put` goes on; look before you repeat another payment."
        return _write({"code": "interrupted", "message": "Interrupted.", "hint": hint, "data": {}}, INTERRUPTED, error)
    if type(error).__name__ == "NoArgsIsHelpError" and not current().json:
        sys.stderr.write(f"{error}\n")
        return 2
    format_message = getattr(error, "format_message", None)
    if format_message is not None and hasattr(error, "exit_code"):  # the parser's own errors
        at = getattr(error, "ctx", None)
        hint = f"See {at.command_path} --help." if at is not None else "See blackhole --help."
        body = {"code": "usage", "message": format_message(), "hint": hint, "data": {}}
        return _write(body, 2, error)
    from blackhole.errors import BlackholeError

    if isinstance(error, BlackholeError):
        body = {"code": error.code, "message": error.message, "hint": error.hint, "data": plain(error.data)}
        return _write(body, error.exit_code, error)
    hint = "This is a defect in blackhole: please report it with the output of the same command and -vv."
    body = {"code": "internal", "message": f"{type(error).__name__}: {error}", "hint": hint, "data": {}}
    return _write(body, 1, error)


def _write(body: Mapping[str, Any], code: int, error: BaseException) -> int:
    if not (current().json and _to_stdout(json.dumps({"error": body}) + "\n")):
        _to_stdout("")
        sys.stderr.write(f"error: {body['message']}\n")
        if body["hint"]:
            sys.stderr.write(f"  next: {body['hint']}\n")
    if current().verbose > 1:
        import traceback

        traceback.print_exception(error)
    return code


def _to_stdout(text: str) -> bool:
    """Write `text` after what waits there; False when stdout takes nothing any more."""
    try:
        sys.stdout.flush()
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        _silence_stdout()
        return False
    return True


def _silence_stdout() -> None:
    """Nobody takes stdout any more (`| head`, a full disk): keep the interpreter from complaining at exit."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
