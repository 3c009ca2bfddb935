"""`python -m blackhole.node FOLDER`: the agent without the command line's imports (what a devnet starts)."""

from __future__ import annotations

import sys

from blackhole.errors import BlackholeError
from blackhole.node.supervisor import run


def main() -> int:
    """Run the agent; a refusal is said in two lines and its exit code."""
    try:
        return run(sys.argv[1] if len(sys.argv) > 1 else ".")
    except BlackholeError as error:
        sys.stderr.write(f"error: {error.message}\n  next: {error.hint}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
