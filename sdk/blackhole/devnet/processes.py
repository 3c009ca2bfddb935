"""Processes that can be found and ended again, even by another process after a crash.

A process is named by its pid *and* its start time (field 22 of /proc/PID/stat) *and* the boot it belongs to: a pid
alone may have been given to somebody else. Every process leads a session of its own, so its children are found with
it, also when it is dead and they are not; those are recognised by the session and by the run folder in their
environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

RUN_VARIABLE = "BLACKHOLE_DEVNET_RUN"
"""Set in every process of a devnet: the run folder it belongs to."""


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One process of a run folder.

    Attributes:
        name: its name in the run folder, such as `chain` or `node-3`; unique among the living.
        pid: process id, also its session's id.
        started: start time in clock ticks since boot.
        boot: the boot id under which pid and start time mean anything.
        log: file of its output.
    """

    name: str
    pid: int
    started: int
    boot: str
    log: str

    def alive(self) -> bool:
        """True when exactly this process runs; a zombie does not run."""
        return self.boot == boot_id() and started_at(self.pid) == self.started


def boot_id() -> str:
    """The id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the command name: state is [0], session [3], start time [19]."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(")") + 2 :].split()


def started_at(pid: int) -> int | None:
    """Start time of a running process in clock ticks since boot; None when there is none, or a zombie."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def session_members(session: int) -> list[int]:
    """The running processes of a session."""
    members = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))) and int(fields[3]) == session and fields[0] not in "ZX":
            members.append(int(entry))
    return members


def resident_bytes(record: ProcessRecord) -> int:
    """Memory a process and its session hold, in bytes: proportional set size where the kernel tells it, else RSS."""
    total = 0
    for pid in session_members(record.pid):
        for file, key in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
            try:
                line = next(row for row in Path(f"/proc/{pid}/{file}").read_text().splitlines() if row.startswith(key))
            except (OSError, StopIteration):
                continue
            total += int(line.split()[1]) * 1024
            break
    return total


class ProcessTable:
    """`processes.json`: what runs for a run folder. Written before a start is reported: a crash leaves no stranger.

    Its methods may be called from several threads.
    """

    def __init__(self, path: Path, run: Path) -> None:
        self.path = path
        self.run = run
        self.records: dict[str, ProcessRecord] = {}
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self._mutex = threading.RLock()

    @classmethod
    def load(cls, path: Path, run: Path) -> ProcessTable:
        """The table of a run folder, empty when there is none or it was never finished."""
        table = cls(path, run)
        with contextlib.suppress(FileNotFoundError, ValueError):
            rows = json.loads(path.read_text())["processes"]
            table.records = {row["name"]: ProcessRecord(**row) for row in rows}
        return table

    def _save(self) -> None:
        text = json.dumps({"schema": 1, "processes": [asdict(record) for record in self.records.values()]}, indent=1)
        new = self.path.with_suffix(".new")
        new.write_text(text + "\n")
        new.replace(self.path)

    def start(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> ProcessRecord:
        """Start a process in a session of its own, its output appended to `log`, and record it.

        Secrets belong into files or the environment, never into `command`: every user of the machine can read it.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        settings = dict(os.environ if environment is None else environment)
        settings[RUN_VARIABLE] = str(self.run)
        with log.open("ab") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=settings,
                cwd=folder,
                start_new_session=True,
            )
        self.children[name] = child
        return self.add(name, child.pid, log)

    def add(self, name: str, pid: int, log: Path) -> ProcessRecord:
        """Record a running process, such as the supervisor itself."""
        started = started_at(pid)
        record = ProcessRecord(name, pid, started if started is not None else -1, boot_id(), str(log))
        with self._mutex:
            self.records[name] = record
            self._save()
        return record

    def forget(self, names: Iterable[str]) -> None:
        """Drop records of ended processes."""
        with self._mutex:
            for name in list(names):
                self.records.pop(name, None)
                self.children.pop(name, None)
            self._save()

    def exit_code(self, name: str) -> int | None:
        """The exit code of a process we started; None while it runs."""
        child = self.children.get(name)
        return None if child is None else child.poll()

    def members(self, record: ProcessRecord) -> list[int]:
        """The running processes that belong to a record: itself and its session's."""
        if record.boot != boot_id():
            return []
        if record.alive():
            return session_members(record.pid) or [record.pid]
        return [pid for pid in session_members(record.pid) if self._is_ours(pid)]

    def _is_ours(self, pid: int) -> bool:
        """True when a process carries this run folder in its environment."""
        wanted = f"{RUN_VARIABLE}={self.run}".encode()
        try:
            return wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False

    def kill(self, name: str) -> None:
        """SIGKILL a process and everything in its session, at once."""
        for pid in self.members(self.records[name]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._reap()

    def end(self, names: Sequence[str], *, grace: float) -> list[str]:
        """Ask processes to stop (SIGTERM to the leader), wait `grace` seconds, then SIGKILL what is left.

        Returns:
            The names that had to be killed.
        """
        records = [self.records[name] for name in names if name in self.records]
        if not records:
            return []
        for record in records:
            if record.alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(record.pid, signal.SIGTERM)
        until = time.monotonic() + grace
        left = [record for record in records if self.members(record)]
        while left and time.monotonic() < until:
            time.sleep(0.02)
            self._reap()
            left = [record for record in left if self.members(record)]
        killed = [record.name for record in left]
        until = time.monotonic() + 10
        while left and time.monotonic() < until:
            for record in left:
                for pid in self.members(record):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
            self._reap()
            left = [record for record in left if self.members(record)]
        self.forget(record.name for record in records if record not in left)
        return killed

    def _reap(self) -> None:
        for child in list(self.children.values()):
            child.poll()
