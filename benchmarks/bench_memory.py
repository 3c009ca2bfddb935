"""Peak memory of a put from stdin, of a get into a pipe, and of the nodes meanwhile, over ten local nodes (3/10).

    python benchmarks/bench_memory.py [--gib 4]

Each client is a process of its own and tells its peak (VmHWM) when it is done; the bytes that come back are compared
with those that went in by their hash. Needs five times the object as free disk in the temporary folder: ten thirds on
the nodes, one for the client's ciphertext, and some shards on their way.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from results import measured, write

MIB = 2**20
CLIENT = """
import sys
from blackhole.client import Blackhole
with Blackhole() as client:
    if sys.argv[1] == "put":
        print(client.storage.put("-", profile="dev", periods=5, name="large").cap)
    else:
        client.storage.get(sys.argv[2], sys.stdout.buffer)
status = open("/proc/self/status").read()
sys.stderr.write(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""


def feed(pipe: IO[bytes], gib: int) -> bytes:
    """Write so many GiB, no two MiB of them alike, and return their hash."""
    from blake3 import blake3

    filling, hashed = os.urandom(MIB), blake3()
    for number in range(gib * 1024):
        part = number.to_bytes(8, "big") + filling[8:]
        hashed.update(part)
        pipe.write(part)
    pipe.close()
    return hashed.digest()


def drain(pipe: IO[bytes]) -> bytes:
    """Read to the end and return the hash."""
    from blake3 import blake3

    hashed = blake3()
    while part := pipe.read(MIB):
        hashed.update(part)
    return hashed.digest()


def peak(pid: int) -> float:
    """MiB a running process has held at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gib", type=int, default=4)
    gib: int = parser.parse_args().gib
    from blackhole.devnet.handle import Devnet
    from blackhole.devnet.processes import session_members
    from blackhole.devnet.settings import DevnetSettings

    with tempfile.TemporaryDirectory() as name:
        free, need = shutil.disk_usage(name).free, 5 * gib * 1024 * MIB
        if free < need:
            sys.exit(f"{gib} GiB need {need >> 30} GiB of free disk in {name}, {free >> 30} are free: name a TMPDIR")
        folder = Path(name)
        with Devnet.up(DevnetSettings(nodes=10, held=True, capacity_gib=gib), folder / "devnet") as network:
            environment = os.environ | {
                "BLACKHOLE_NETWORK": str(network.network),
                "BLACKHOLE_KEY_FILE": str(network.key_file("payer")),
                "BLACKHOLE_HOME": str(folder / "home"),
            }

            def client(*arguments: str) -> subprocess.Popen[bytes]:
                command = [sys.executable, "-c", CLIENT, *arguments]
                pipe = subprocess.PIPE
                return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)

            def finish(process: subprocess.Popen[bytes]) -> tuple[bytes, float]:
                output, said = process.communicate()
                if process.returncode:
                    sys.exit(said.decode())
                return output, int(said) / 1024

            putting = client("put")
            assert putting.stdin is not None
            went_in = feed(putting.stdin, gib)
            putting.stdin = None
            cap, put = finish(putting)
            getting = client("get", cap.decode().strip())
            assert getting.stdout is not None
            came_out = drain(getting.stdout)
            _, get = finish(getting)
            assert came_out == went_in, "other bytes came back"
            agents = [node.pid for node in network.nodes() if node.pid is not None]
            nodes = [sum(peak(pid) for pid in session_members(agent)) for agent in agents]
    write(
        "memory",
        [
            measured(f"peak of a client that puts {gib} GiB from stdin, 3/10", [put], "MiB", goal="≤ 256"),
            measured(f"peak of a client that gets {gib} GiB", [get], "MiB", goal="≤ 256"),
            measured("peak of a node meanwhile, the sum of its processes; of 10 nodes", nodes, "MiB", goal="≤ 256"),
        ],
    )


if __name__ == "__main__":
    main()
