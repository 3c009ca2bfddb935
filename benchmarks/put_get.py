"""put and get of one file over ten local nodes (3/10) against `sha256sum` of the same file, in turn; and peak memory.

    python benchmarks/put_get.py [--mib 256] [--rounds 3]

The nodes, the chain and the client share this machine's cores. The clock is held: no proofs run meanwhile.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from results import Row, measured, write

if TYPE_CHECKING:
    from blackhole.client import Blackhole

MIB = 2**20
CHILD = """
import resource, sys
from blackhole.client import Blackhole
with Blackhole() as client:
    if sys.argv[1] == "put":
        print(client.storage.put(sys.argv[2], profile="dev", periods=5, name="memory").cap)
    else:
        client.storage.get(sys.argv[2], sys.argv[3])
sys.stderr.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""


def seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def one_round(client: Blackhole, file: Path, target: Path) -> tuple[float, float, float]:
    """Seconds of a put, of sha256sum, and of a get of the same file."""
    os.utime(file)  # another put each time, not the same one resumed
    caps: list[str] = []
    put = seconds(lambda: caps.append(client.storage.put(file, profile="dev", periods=5).cap))
    hashed = seconds(lambda: subprocess.run(["sha256sum", file], stdout=subprocess.DEVNULL, check=True))
    got = seconds(lambda: client.storage.get(caps[0], target))
    subprocess.run(["cmp", file, target], check=True)
    target.unlink()
    client.storage.remove(caps[0])
    return put, hashed, got


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    from blackhole.chain.signers import load_key_file
    from blackhole.client import Blackhole
    from blackhole.devnet.handle import Devnet
    from blackhole.devnet.settings import DevnetSettings

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "file"
        with file.open("wb") as out:
            for _ in range(chosen.mib):
                out.write(os.urandom(MIB))
        with Devnet.up(DevnetSettings(nodes=10, held=True), folder / "devnet") as network:
            key = network.key_file("payer")
            puts: list[float] = []
            gets: list[float] = []
            hashes: list[float] = []
            with Blackhole(network.network, load_key_file(key), home=folder / "home") as client:
                warm = client.storage.put(os.urandom(MIB), profile="dev", periods=5)
                client.storage.get(warm.cap)
                for _ in range(chosen.rounds):
                    put, hashed, got = one_round(client, file, folder / "back")
                    puts.append(chosen.mib / put)
                    hashes.append(chosen.mib / hashed)
                    gets.append(chosen.mib / got)
            memory = peak_memory(network.network, key, folder, file)
    write(
        "put_get",
        [
            measured(f"put {chosen.mib} MiB, 3/10, 10 local nodes", puts, "MiB/s", peer=hashes, goal="≥ 0.15"),
            measured(f"get {chosen.mib} MiB, 3/10, 10 local nodes", gets, "MiB/s", peer=hashes, goal="≥ 0.3"),
            *memory,
        ],
    )


def peak_memory(network: Path, key: Path, folder: Path, file: Path) -> list[Row]:
    """Peak resident memory of a client process, from stdin and into a file."""
    environment = os.environ | {
        "BLACKHOLE_NETWORK": str(network),
        "BLACKHOLE_KEY_FILE": str(key),
        "BLACKHOLE_HOME": str(folder / "home-memory"),
    }

    def child(*arguments: str, stdin: Path | None = None) -> tuple[str, float]:
        with open(stdin or os.devnull, "rb") as source:
            done = subprocess.run(
                [sys.executable, "-c", CHILD, *arguments],
                stdin=source, env=environment, capture_output=True, text=True, check=True,
            )  # fmt: skip
        return done.stdout.strip(), int(done.stderr) / 1024

    cap, put = child("put", "-", stdin=file)
    _, get = child("get", cap, str(folder / "memory"))
    return [
        measured("peak memory of put from stdin", [put], "MiB", goal="≤ 256"),
        measured("peak memory of get", [get], "MiB", goal="≤ 256"),
    ]


if __name__ == "__main__":
    main()
