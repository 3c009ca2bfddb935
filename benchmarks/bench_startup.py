"""How long it takes to import the package and to print the help of the command line."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from results import Row, measured, write

ROUNDS = 21
TOOL = Path(sys.executable).parent


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - began) * 1_000


def main() -> None:
    python = [sys.executable, "-c"]
    commands = {
        "python": [*python, "pass"],
        "import blackhole": [*python, "import blackhole"],
        "from blackhole import Blackhole": [*python, "from blackhole import Blackhole"],
        "blackhole --help": [str(TOOL / "blackhole"), "--help"],
        "import web3": [*python, "import web3"],
    }
    for command in commands.values():
        seconds(command)
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times[name].append(seconds(command))
    bare = statistics.median(times["python"])

    def beyond(name: str, goal: str = "") -> Row:
        return measured(f"{name}, beyond a bare interpreter", [each - bare for each in times[name]], "ms", goal=goal)

    write(
        "startup",
        [
            beyond("import blackhole", "< 50 ms"),
            beyond("from blackhole import Blackhole"),
            beyond("import web3"),
            measured("blackhole --help, whole process", times["blackhole --help"], "ms", goal="< 150 ms"),
            measured("python -c pass, whole process", times["python"], "ms"),
        ],
    )


if __name__ == "__main__":
    main()
