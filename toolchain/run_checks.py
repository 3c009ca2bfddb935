"""`make check`: every static check, all of them even when one fails, with the seconds each took.

A check whose subject does not exist yet is named as such; a check that runs and fails always fails the command.
"""

from __future__ import annotations

import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NODE_BIN = ROOT / "node_modules" / ".bin"
LINES_SHOWN = 60


@dataclass(frozen=True)
class Check:
    name: str
    command: list[str]
    missing: str = ""
    """Why there is nothing to check yet; empty when there is."""


def checks() -> list[Check]:
    python = sys.executable
    bin_folder = Path(python).parent
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    found = [
        Check("ruff", [str(bin_folder / "ruff"), "check", "--quiet", "."]),
        Check("format of Python", [str(bin_folder / "ruff"), "format", "--check", "--quiet", "."]),
        Check("format of Solidity", ["forge", "fmt", "--check"]),
        Check("mypy --strict", [str(bin_folder / "mypy"), "--no-error-summary"]),
        Check("pyright", [str(NODE_BIN / "pyright"), "--warnings"]),
        Check(
            "layers",
            [str(bin_folder / "lint-imports"), "--no-logo", "--cache-dir", str(ROOT / ".cache" / "import_linter")],
            "" if "importlinter" in tools else "no layers are declared in pyproject.toml",
        ),
    ]
    for generator in generators():
        subject = generator.stem.removeprefix("generate_").replace("_", " ")
        found.append(Check(f"generated: {subject}", [python, str(generator), "--check"]))
    found.append(Check("gas within 2 % of what is committed", [python, str(ROOT / "benchmarks" / "gas"), "--check"]))
    return [*found, Check("links in docs", [python, str(ROOT / "toolchain" / "check_links.py")])]


def generators() -> list[Path]:
    """The generators in the order they feed each other: constants first, then by name."""
    return sorted((ROOT / "toolchain").glob("generate_*.py"), key=lambda path: (path.stem != "generate_protocol", path))


def main() -> int:
    failed: list[str] = []
    if sys.argv[1:] == ["--generate"]:
        for generator in generators():
            subprocess.run([sys.executable, str(generator)], cwd=ROOT, check=True)
        return 0
    for check in checks():
        if check.missing:
            print(f"  -  {check.name}: {check.missing}", flush=True)
            continue
        began = time.monotonic()
        result = subprocess.run(check.command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        seconds = time.monotonic() - began
        if result.returncode == 0:
            print(f" ok  {check.name} ({seconds:.1f} s)", flush=True)
        else:
            failed.append(check.name)
            print(f"FAIL {check.name} ({seconds:.1f} s): {' '.join(check.command)}", flush=True)
            lines = result.stdout.rstrip().splitlines()
            print("\n".join(lines[:LINES_SHOWN]), flush=True)
            if len(lines) > LINES_SHOWN:
                print(f"     … {len(lines) - LINES_SHOWN} more lines; run the command above to see them", flush=True)
    if failed:
        print(f"check: {len(failed)} failed: {', '.join(failed)}")
    else:
        print("check: all passed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
