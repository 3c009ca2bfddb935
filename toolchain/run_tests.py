"""`make test`: the test groups, each with its seconds against its budget, the sum last.

    python toolchain/run_tests.py [GROUP ...] [-- ARGUMENTS FOR PYTEST]

Contracts and SDK compute most of the time, nodes and storage mostly wait for blocks: these two halves run side by side,
and the output of a group of the first half comes when it has ended. The rest run one after the other.
A group that has no folder yet is named as such. A group that collects no test, dies or leaves no closing line fails.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
# Ape registers itself in every pytest run and starts a chain of its own for it.
PYTEST = [
    sys.executable,
    "-m",
    "pytest",
    "-q",
    "-p",
    "no:ape_test",
    "-p",
    "no:cacheprovider",
    "--tb=short",
    "-rsfE",
    "--durations=10",
]
APE = [str(BIN / "ape"), "test", "-q", "--network", "ethereum:local:foundry", "--tb=short", "-rs"]
CLOSING = re.compile(r"^=* ?((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s.*$")
FORGE_CLOSING = re.compile(r"(\d+) tests? passed, (\d+) failed, (\d+) skipped")
APE_TESTS = ("tests/contracts/test_hub.py", "tests/contracts/test_staking.py", "tests/contracts/test_market.py")
NETWORK_TESTS = ("tests/sdk/node", "tests/sdk/storage", "tests/sdk/devnet", "tests/sdk/test_demo.py")
FAILURE = re.compile(r"^(?:FAILED|ERROR) (tests/\S+?::.+?)(?: - .*)?$")
RETRIED_MAX = 6
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Group:
    name: str
    budget: int
    """Seconds on two cores."""
    command: list[str]
    paths: tuple[str, ...]
    kind: str = "pytest"
    retried: bool = False
    """Its networks run by the clock: on a machine that stands still for seconds an honest node can miss a period. What
    failed runs once more alone, and is named either way."""


GROUPS = [
    Group("forge", 180, ["forge", "test"], ("tests/contracts/forge",), kind="forge"),
    Group("ape", 120, APE, APE_TESTS),
    Group("contracts", 240, [*PYTEST, *(f"--ignore={path}" for path in APE_TESTS)], ("tests/contracts",)),
    Group(
        "sdk",
        240,
        [*PYTEST, *(f"--ignore={path}" for path in NETWORK_TESTS)],
        ("tests/sdk", "tests/toolchain"),
        retried=True,
    ),
    Group("node", 420, PYTEST, ("tests/sdk/node",), retried=True),
    Group("storage", 480, PYTEST, ("tests/sdk/storage",), retried=True),
    Group("devnet", 300, PYTEST, ("tests/sdk/devnet", "tests/sdk/test_demo.py"), retried=True),
    Group("examples", 90, PYTEST, ("tests/examples",), retried=True),
]


COMPUTING = ("forge", "ape", "contracts", "sdk")
"""Groups that need the processor more than the clock."""

BESIDE = ("node", "storage")
"""Groups that run beside those: they mostly wait for blocks."""


def subjects(group: Group) -> list[str]:
    """The paths of a group that hold tests."""
    if group.kind == "forge":
        return [path for path in group.paths if any((ROOT / path).rglob("*.t.sol"))]
    return [path for path in group.paths if (ROOT / path).is_file() or any((ROOT / path).rglob("test_*.py"))]


Say = Callable[[str], None]
"""Takes a line of output."""


def say(line: str) -> None:
    """Pass a line through at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def run_all(groups: Sequence[Group], extra: list[str], *, held_back: bool = False) -> Counter[str]:
    """Run groups one after the other; `held_back`: what each prints comes when it has ended."""
    total: Counter[str] = Counter()
    for group in groups:
        paths = subjects(group)
        if not paths:
            say(f"--- {group.name}: no tests yet")
        elif held_back:
            lines: list[str] = []
            total += run(group, paths, extra, lines.append)
            say("\n".join(lines))
        else:
            total += run(group, paths, extra, say)
    return total


def run(group: Group, paths: list[str], extra: list[str], say: Say) -> Counter[str]:
    """Run one group; its outcomes by name (`passed`, `failed`, `errors`, …)."""
    if group.command is APE:
        # Ape lists 500 files of a project and puts the copies of OpenZeppelin it made last time first: it would then
        # find none of ours.
        for copies in (ROOT / "contracts" / ".cache", ROOT / ".cache" / "ape"):
            shutil.rmtree(copies, ignore_errors=True)
        (ROOT / ".build" / "__local__.json").unlink(missing_ok=True)
    command = group.command if group.kind == "forge" else [*group.command, *extra, *paths]
    say(f"--- {group.name} (budget {group.budget} s): {' '.join(command[-4:])}")
    began = time.monotonic()
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    closed = False
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        say(line.rstrip("\n"))
        plain = ANSI.sub("", line).strip()
        if group.kind == "forge" and plain.startswith("Ran ") and (match := FORGE_CLOSING.search(plain)):
            if " test suites " in plain or ("test suite" in plain and not closed):
                outcomes = Counter(dict(zip(("passed", "failed", "skipped"), map(int, match.groups()), strict=True)))
                closed = True
        elif group.kind == "pytest" and (match := CLOSING.match(plain)):
            pairs = (part.split() for part in match.group(1).split(", "))
            outcomes = Counter({name: int(number) for number, name in pairs})
            closed = True
        elif group.retried and (match := FAILURE.match(plain)):
            failures.append(match.group(1))
    code = process.wait()
    if 0 < len(failures) <= RETRIED_MAX and outcomes["failed"] + outcomes["errors"] + outcomes["error"]:
        code, outcomes = once_more(group, failures, outcomes, say)
    seconds = time.monotonic() - began
    bad = outcomes["failed"] + outcomes["error"] + outcomes["errors"]
    if (code != 0 or not closed or not outcomes["passed"] + outcomes["skipped"]) and not bad:
        outcomes["error"] += 1
        bad = 1
        say(f"--- {group.name}: exit code {code}, {'no test ran' if closed else 'no closing line'}")
    over = "" if seconds <= group.budget else ", OVER BUDGET"
    say(f"--- {group.name}: {'failed' if bad else 'ok'}, {seconds:.0f} s of {group.budget} s{over}")
    return outcomes


def once_more(group: Group, failures: list[str], before: Counter[str], say: Say) -> tuple[int, Counter[str]]:
    """Run what failed again, alone; the exit code, and the group's outcomes with the second ones in place."""
    say(f"--- {group.name}: once more, alone: {', '.join(failures)}")
    command = [*PYTEST, *failures]
    result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    say(result.stdout)
    outcomes = Counter({name: number for name, number in before.items() if name not in ("failed", "error", "errors")})
    matches = [match for line in result.stdout.splitlines() if (match := CLOSING.match(ANSI.sub("", line).strip()))]
    if not matches:
        return result.returncode or 1, outcomes
    pairs = (part.split() for part in matches[-1].group(1).split(", "))
    return result.returncode, outcomes + Counter({name: int(number) for number, name in pairs})


def main() -> int:
    arguments = sys.argv[1:]
    extra = arguments[arguments.index("--") + 1 :] if "--" in arguments else []
    wanted = arguments[: arguments.index("--")] if "--" in arguments else arguments
    unknown = set(wanted) - {group.name for group in GROUPS}
    if unknown:
        print(f"no test group {', '.join(sorted(unknown))}; there are: {', '.join(group.name for group in GROUPS)}")
        return 2
    began = time.monotonic()
    # Tests press Ctrl-C, and a shell's background jobs are born deaf to it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chosen = [group for group in GROUPS if not wanted or group.name in wanted]
    computing = [group for group in chosen if group.name in COMPUTING]
    waiting = [group for group in chosen if group.name not in COMPUTING]
    with ThreadPoolExecutor(1) as beside:
        computed = beside.submit(run_all, computing, extra, held_back=bool(waiting))
        total = run_all([group for group in waiting if group.name in BESIDE], extra)
        total += computed.result()
    total += run_all([group for group in waiting if group.name not in BESIDE], extra)
    errors = total.pop("errors", 0) + total.pop("error", 0)
    if errors:
        total["errors"] = errors
    order = ["failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "warnings", "warning", "errors"]
    parts = [f"{total[name]} {name}" for name in order if total[name]]
    closing = f" {', '.join(parts) or 'no tests ran'} in {time.monotonic() - began:.2f}s "
    closing = closing.center(80, "=")
    print(closing, flush=True)
    (ROOT / ".cache").mkdir(exist_ok=True)
    (ROOT / ".cache" / "closing-line").write_text(closing + "\n")
    return bool(total["failed"] or errors or not total["passed"])


if __name__ == "__main__":
    sys.exit(main())
