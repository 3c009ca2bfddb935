"""Weakened copies of the contracts, one at a time, against the forge tests that must notice.

    python tests/contracts/mutants/run.py [--list] [--timeout SECONDS] [NAME ...]

Each row of mutants.toml replaces one text of one contract by a weaker one, in a temporary copy of the tree; the named
test files then run there. A mutant is killed when one of them fails. Exits 1 when a mutant survives, and 2 when a row
is out of date: its text is not found exactly once, the copy does not compile, or its tests fail on the contracts as
they are.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FORGE = ROOT / "node_modules" / ".bin" / "forge"
SUITES = Path("tests/contracts/forge")
ENOUGH_TO_KILL = {"FOUNDRY_INVARIANT_RUNS": "8", "FOUNDRY_FUZZ_RUNS": "64"}


@dataclass(frozen=True)
class Mutant:
    """`find` must stand exactly once in `file`; `breaks` says what a thief would gain."""

    name: str
    file: str
    find: str
    replace: str
    breaks: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    passed: bool
    ran: bool
    failed_tests: tuple[str, ...]
    output: str


class Tree:
    """A copy of what forge needs, in which files may be changed. The compiler's cache stays between mutants."""

    def __init__(self, root: Path, timeout: float) -> None:
        self.root = root
        self.timeout = timeout
        shutil.copy(ROOT / "foundry.toml", root)
        shutil.copytree(ROOT / "contracts", root / "contracts")
        for linked in ("node_modules", "toolchain", "tests/vectors"):
            (root / linked).parent.mkdir(parents=True, exist_ok=True)
            (root / linked).symlink_to(ROOT / linked)
        (root / SUITES).mkdir(parents=True)

    def choose(self, tests: tuple[str, ...]) -> None:
        """Leave only these test files and what they may import, so that little is compiled."""
        for source in (ROOT / SUITES).glob("*.sol"):
            copy = self.root / SUITES / source.name
            wanted = source.name in tests or not source.name.endswith(".t.sol")
            if not wanted:
                copy.unlink(missing_ok=True)
            elif not copy.exists():
                shutil.copy(source, copy)

    def test(self) -> Outcome:
        """Run the chosen tests; a run that takes too long counts as one that did not run."""
        command = ["nice", str(FORGE), "test"]
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env={**os.environ, **ENOUGH_TO_KILL},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=self.timeout)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return Outcome(False, False, (), f"no end after {self.timeout:.0f} s")
        failed = tuple(dict.fromkeys(re.findall(r"^\[FAIL.*?\] (\w+)\(", output, re.MULTILINE)))
        return Outcome(process.returncode == 0, "Suite result:" in output, failed, output)


def load(path: Path) -> list[Mutant]:
    """The rows of mutants.toml, those with the same tests together."""
    with path.open("rb") as file:
        rows = tomllib.load(file)["mutant"]
    mutants = [Mutant(**{**row, "tests": tuple(row["tests"])}) for row in rows]
    names = [mutant.name for mutant in mutants]
    if len(set(names)) != len(names):
        raise SystemExit("two mutants of one name")
    return sorted(mutants, key=lambda mutant: (mutant.tests, mutant.file))


def apply(tree: Tree, mutant: Mutant) -> str:
    """Weaken the copy; returns the file's text before."""
    path = tree.root / mutant.file
    text = path.read_text()
    if text.count(mutant.find) != 1:
        raise LookupError(f"its text stands {text.count(mutant.find)} times in {mutant.file}")
    path.write_text(text.replace(mutant.find, mutant.replace))
    return text


def judge(tree: Tree, mutant: Mutant) -> tuple[str, str]:
    """killed, survived or stale, and why."""
    try:
        before = apply(tree, mutant)
    except LookupError as error:
        return "stale", str(error)
    try:
        outcome = tree.test()
    finally:
        (tree.root / mutant.file).write_text(before)
    if not outcome.ran:
        return "stale", outcome.output.strip()[-2000:]
    if outcome.passed:
        return "survived", mutant.breaks
    return "killed", f"{len(outcome.failed_tests)} tests, first {outcome.failed_tests[0]}"


def run(mutants: list[Mutant], timeout: float) -> int:
    counts = {"killed": 0, "survived": 0, "stale": 0}
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Tree(Path(folder), timeout)
        chosen: tuple[str, ...] = ()
        sound = False
        for mutant in mutants:
            started = time.monotonic()
            if mutant.tests != chosen:
                chosen = mutant.tests
                tree.choose(chosen)
                unchanged = tree.test()
                sound = unchanged.passed and unchanged.ran
                if not sound:
                    print(f"the contracts as they are fail {', '.join(chosen)}:\n{unchanged.output[-2000:]}")
            state, why = judge(tree, mutant) if sound else ("stale", "its tests fail without it")
            counts[state] += 1
            print(f"{state:8}  {mutant.name}  ({time.monotonic() - started:.0f} s): {why}", flush=True)
    print(", ".join(f"{count} {state}" for state, count in counts.items()))
    return 2 if counts["stale"] else 1 if counts["survived"] else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these mutants")
    parser.add_argument("--list", action="store_true", help="print the mutants and end")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for compiling and testing one (900)")
    arguments = parser.parse_args()
    mutants = load(Path(__file__).with_name("mutants.toml"))
    if unknown := set(arguments.names) - {mutant.name for mutant in mutants}:
        parser.error(f"no mutant named {', '.join(sorted(unknown))}")
    if arguments.names:
        mutants = [mutant for mutant in mutants if mutant.name in arguments.names]
    if arguments.list:
        for mutant in mutants:
            print(f"{mutant.name}: {mutant.breaks}")
        return 0
    # So that a run that is ended leaves neither a process nor its tree behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return run(mutants, arguments.timeout)


if __name__ == "__main__":
    sys.exit(main())
