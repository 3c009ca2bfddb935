"""put and get of one file over ten local nodes (3/10) against `sha256sum` of the same file, in turn.

    python benchmarks/bench_put_get.py [--mib 256] [--rounds 5]

The nodes, the chain and the client share this machine's cores. The clock is held: no proofs run meanwhile.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from results import measured, write

if TYPE_CHECKING:
    from blackhole.client import Blackhole

MIB = 2**20


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
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    from blackhole.chain.signers import load_key_file
    from blackhole.client import Blackhole
    from blackhole.devnet.handle import Devnet
    from blackhole.devnet.settings import DevnetSettings

    puts: list[float] = []
    gets: list[float] = []
    hashes: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "file"
        with file.open("wb") as out:
            for _ in range(chosen.mib):
                out.write(os.urandom(MIB))
        # Each round stores the file anew, and what is given up stays with the nodes for a while.
        capacity = 1 + chosen.rounds * chosen.mib // 1024
        with (
            Devnet.up(DevnetSettings(nodes=10, held=True, capacity_gib=capacity), folder / "devnet") as network,
            Blackhole(network.network, load_key_file(network.key_file("payer")), home=folder / "home") as client,
        ):
            warm = client.storage.put(os.urandom(MIB), profile="dev", periods=5)
            client.storage.get(warm.cap)
            for _ in range(chosen.rounds):
                put, hashed, got = one_round(client, file, folder / "back")
                puts.append(chosen.mib / put)
                hashes.append(chosen.mib / hashed)
                gets.append(chosen.mib / got)
    write(
        "put_get",
        [
            measured(
                f"put {chosen.mib} MiB, 3/10, 10 local nodes; peer sha256sum",
                puts,
                "MiB/s",
                peer=hashes,
                goal="≥ 0.15",
            ),
            measured(
                f"get {chosen.mib} MiB, 3/10, 10 local nodes; peer sha256sum", gets, "MiB/s", peer=hashes, goal="≥ 0.3"
            ),
        ],
    )


if __name__ == "__main__":
    main()
