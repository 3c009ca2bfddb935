"""A node is a folder: what it holds, and the lock that keeps a second agent out of it.

config.toml     settings (schema version inside)
keystore.json   the hot signer, encrypted; never the owner's key
tls/            key.pem, certificate.pem
journal/        what was promised and done, before it was acknowledged
store/          blocks, pieces, index
manifest.cbor   the NodeManifest last published
status.json     pid, ports and start time of the agent that runs
agent.lock      held while an agent runs; its content is that agent's pid and since when it runs
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from blackhole.errors import AgentRunning, InputError
from blackhole.filelock import FileLock
from blackhole.paths import private_folder, write_private


@dataclass(frozen=True, slots=True)
class Status:
    """status.json: how to find the agent that runs.

    Attributes:
        pid: of the supervisor.
        started: its start time in clock ticks since boot (/proc/PID/stat), so a reused pid is not taken for it; 0 where
            the system does not say.
        health: "host:port" of the loopback server.
        endpoint: https://host:port the API listens on.
        plugins: name → pid of the plugin's process.
    """

    pid: int
    started: int
    health: str
    endpoint: str
    plugins: dict[str, int]
    schema: int = 1


class NodeFolder:
    """Paths of one node's folder."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser().absolute()
        self.config = self.path / "config.toml"
        self.keystore = self.path / "keystore.json"
        self.tls = self.path / "tls"
        self.journal = self.path / "journal"
        self.store = self.path / "store"
        self.manifest = self.path / "manifest.cbor"
        self.status = self.path / "status.json"
        self.lock_file = self.path / "agent.lock"

    def create(self) -> None:
        """Make the folder and those in it, readable by their owner only. Existing ones are left as they are."""
        for folder in (self.path, self.tls, self.journal, self.store):
            private_folder(folder)

    def require(self) -> None:
        """Raise InputError unless this is a node's folder."""
        if not self.config.is_file():
            raise InputError(
                f"{self.path} is not a node's folder.", hint=f"Make one with: blackhole node init {self.path}"
            )

    def lock(self) -> FileLock:
        """Take the folder for this process until it releases the lock or ends, however it ends.

        Raises:
            AgentRunning: another agent holds it; `holder` is its pid.
        """
        lock = FileLock(self.lock_file)
        if not lock.acquire():
            holder = lock.holder()
            pid = None if holder is None else holder.pid
            raise AgentRunning(f"An agent already runs on {self.path} ({holder or 'its pid is unknown'}).", holder=pid)
        return lock

    def read_status(self) -> Status | None:
        """The agent that runs, or None when none does."""
        try:
            raw = json.loads(self.status.read_text())
            status = Status(**raw)
        except (OSError, ValueError, TypeError):
            return None
        return status if started_at(status.pid) == status.started and alive(status.pid) else None

    def write_status(self, status: Status) -> None:
        """Replace status.json."""
        write_private(self.status, json.dumps(asdict(status), indent=1).encode() + b"\n")


def alive(pid: int) -> bool:
    """Whether a process with this pid exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def started_at(pid: int) -> int:
    """Start time of a process in clock ticks since boot, 0 where the system does not say."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])
