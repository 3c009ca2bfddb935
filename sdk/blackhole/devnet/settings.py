"""What a devnet is asked to be, and whether this machine can carry it."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from blackhole.errors import DevnetError, InputError

NODE_BYTES = 150 * 2**20
"""Memory a node may hold at rest, all its processes (bytes)."""
BASE_BYTES = 512 * 2**20
"""Memory for the chain, the supervisor and one client (bytes)."""
DISK_BYTES = 256 * 2**20
"""Disk for chain, logs and journals, without any stored file (bytes)."""
NODES_MAX = 250 * 200
"""As many addresses of distinct /24 as 127.0.0.0/8 is divided into here."""


@dataclass(frozen=True, slots=True)
class DevnetSettings:
    """How a devnet is made.

    Attributes:
        nodes: storage nodes to register, bond and run.
        profile: erasure profile the network is meant for; its n is the least number of nodes a `put` needs.
        pace: a period lasts at least this long (seconds of wall time) while the clock runs by itself.
        held: start with the clock held: periods end only by `advance`.
        rpc: JSON-RPC address of a chain to use instead of an own one; its clock is not touched.
        capacity_gib: what each node offers (GiB).
        price_wei: storage price, wei a GiB and period.
        egress_micro: read price, micro-HOLE a MiB.
    """

    nodes: int = 18
    profile: str = "dev"
    pace: float = 10.0
    held: bool = False
    rpc: str | None = None
    capacity_gib: int = 2
    price_wei: int = 10**18
    egress_micro: int = 1_000

    def __post_init__(self) -> None:
        if not 0 <= self.nodes <= NODES_MAX:
            raise InputError(
                f"A devnet cannot have {self.nodes} nodes.", hint=f"Name a number from 0 to {NODES_MAX:,}."
            )

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"schema": 1, **asdict(self)}, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> DevnetSettings:
        values = json.loads(path.read_text())
        del values["schema"]
        return cls(**values)


def available_memory() -> int:
    """Memory this machine can still give, in bytes."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise DevnetError("This kernel does not tell how much memory is free.")


def existing(folder: Path) -> Path:
    """The nearest folder above (or at) `folder` that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder


def require_room(folder: Path, *, nodes: int, file_bytes: int = 0, stored_bytes: int = 0, own_bytes: int = 0) -> None:
    """Refuse before anything starts when disk or memory cannot carry it.

    Args:
        folder: the run folder, or where it will be.
        nodes: storage nodes.
        file_bytes: the file to be stored.
        stored_bytes: what all nodes together will store of it.
        own_bytes: further bytes in the run folder (copies read back, spools).

    Raises:
        DevnetError: with what is needed and what there is, in bytes, in `data`.
    """
    needed = DISK_BYTES + file_bytes + stored_bytes + own_bytes
    free = shutil.disk_usage(existing(folder)).free
    if free < needed:
        raise DevnetError(
            f"{nodes} nodes and this file need {_mib(needed)} MiB of disk in {folder}; {_mib(free)} MiB are free.",
            hint="Free some, or name a folder on another disk in BLACKHOLE_DEVNET.",
            data={"needed_bytes": needed, "free_bytes": free},
        )
    memory, have = BASE_BYTES + nodes * NODE_BYTES, available_memory()
    if have < memory:
        raise DevnetError(
            f"{nodes} nodes need {_mib(memory)} MiB of memory; {_mib(have)} MiB are available.",
            hint="Close something, or ask for fewer nodes.",
            data={"needed_bytes": memory, "free_bytes": have},
        )


def _mib(count: int) -> str:
    return f"{-(-count // 2**20):,}"
