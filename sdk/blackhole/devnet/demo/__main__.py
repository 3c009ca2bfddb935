"""`python -m blackhole.devnet.demo`, or `make demo FILE=…`: see blackhole.devnet.demo.driver for what it does."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from blackhole.devnet.demo.driver import Demo
from blackhole.devnet.demo.plan import Plan
from blackhole.errors import BlackholeError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m blackhole.devnet.demo", description=__doc__)
    parser.add_argument("--file", type=Path, help="the file to store (default: 64 MiB of random bytes)")
    parser.add_argument("--nodes", type=int, default=18, help="storage nodes (18)")
    parser.add_argument("--kill", type=int, default=3, help="nodes killed for good (3)")
    parser.add_argument("--profile", default="dev", help="erasure profile (dev)")
    parser.add_argument("--json", type=Path, help="write the report there")
    parser.add_argument("--keep", action="store_true", help="leave the network running and its folder in place")
    return parser


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _leave(*_: object) -> None:
    # Once is enough: ending the network takes some seconds and must not be left half done.
    for name in SIGNALS:
        signal.signal(name, signal.SIG_IGN)
    sys.stderr.write("demo: interrupted, ending what runs\n")
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; 0 when every claim held."""
    chosen = _parser().parse_args(arguments)
    for name in SIGNALS:
        signal.signal(name, _leave)
    plan = Plan(chosen.file, chosen.nodes, chosen.kill, chosen.profile, chosen.json, chosen.keep)
    demo = Demo(plan)
    try:
        demo.run()
    except KeyboardInterrupt:
        return 130
    except BlackholeError as error:
        sys.stderr.write(f"demo failed: {error.message}\n  next: {error.hint}\n")
        return error.exit_code
    return 0 if demo.report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
