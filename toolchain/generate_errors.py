"""Write docs/errors.md from the error tree of the SDK. `--check` fails when the page is stale."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "sdk"))

from blackhole import errors  # noqa: E402
from blackhole.errors import BlackholeError  # noqa: E402

PAGE = ROOT / "docs" / "errors.md"
HEAD = """# Errors

<!-- Generated from sdk/blackhole/errors.py by toolchain/generate_errors.py. Do not edit. -->

Every error of the SDK is a `BlackholeError`. It has a `code` for programs, a `message`, a `hint` (what to do next) and
`data` (figures; wei as decimal strings). With `--json` the command line prints exactly these as one object; nodes
answer with the same. None ever holds a secret.

| exit code | means |
|---|---|
| 0 | done |
| 1 | a defect of Blackhole, or of its devnet |
| 2 | wrong usage or input |
| 3 | readable, but with less redundancy than asked for |
| 4 | unreadable, or not what its hash promises |
| 5 | money: a balance, an allowance, a bond, a price limit |
| 6 | the chain or its endpoint |
| 7 | a node, or the network to it |
| 8 | a key |
| 9 | files of this machine |

What a contract refused arrives as `reverted`: `data.error` names its custom error and `data.arguments` holds what it
says; in Python `error.decoded` is its typed class, `blackhole.chain.bindings.<contract>.<Name>`.

## The tree

Indented under what it is a kind of; catching a parent catches its children.
"""


def describe(kind: type[BlackholeError], depth: int) -> list[str]:
    text = " ".join((inspect.getdoc(kind) or "").split())
    pad = "  " * depth
    lines = [f"{pad}- **{kind.__name__}** (`{kind.code}`, exit {kind.exit_code}): {text} *{kind.hint}*"]
    for child in children(kind):
        lines += describe(child, depth + 1)
    return lines


def children(kind: type[BlackholeError]) -> list[type[BlackholeError]]:
    return [each for each in kind.__subclasses__() if each.__module__ == errors.__name__]


def main() -> int:
    text = HEAD + "\n" + "\n".join(describe(BlackholeError, 0)) + "\n"
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text() != text:
            print(f"{PAGE.relative_to(ROOT)} is stale: run make generate", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
