"""A running devnet, seen from outside: start one, ask it, end it. Everything here is synchronous."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from blackhole.devnet import control
from blackhole.devnet.chain import supported, tail
from blackhole.devnet.folder import RunFolder
from blackhole.devnet.processes import ProcessTable
from blackhole.devnet.settings import DevnetSettings, require_room
from blackhole.errors import DevnetError

SUPERVISOR = "supervisor"
SILENT_SECONDS = 240
"""Longest time a start may make no progress. How long all of it takes is the machine's business, and the chain's."""
STOP_SECONDS = 30
PERIOD_SECONDS = 120
"""Longest a period may take to end: twice what the chain's own blocks need for it."""


@dataclass(frozen=True, slots=True)
class DevnetNode:
    """One node of a devnet.

    Attributes:
        node: its id on chain.
        owner: address whose key registered and bonded it; the key is in `accounts/`, not with the agent.
        signer: address of the agent's own key.
        payee: address its pay goes to.
        endpoint: https address of its API.
        folder: its folder.
        pid: process id of its agent; None while it does not run.
    """

    node: int
    owner: str
    signer: str
    payee: str
    endpoint: str
    folder: Path
    pid: int | None


class Devnet:
    """A devnet in a run folder. `Devnet.up()` starts one, `Devnet(folder)` speaks to one that runs.

    As a context manager it ends the network and removes the run folder when the block is left.
    """

    def __init__(self, folder: RunFolder | Path | None = None) -> None:
        self.folder = (
            RunFolder.default() if folder is None else RunFolder(folder) if isinstance(folder, Path) else folder
        )

    @classmethod
    def up(
        cls,
        settings: DevnetSettings | None = None,
        folder: RunFolder | Path | None = None,
        *,
        progress: Callable[[str], None] | None = None,
    ) -> Devnet:
        """Start a network and wait until every node is ready.

        Args:
            settings: how it shall be; by default 18 nodes for profile `dev`.
            folder: its run folder; by default `$BLACKHOLE_DEVNET` or `.blackhole/devnet` here.
            progress: called with a line for each phase.

        Raises:
            DevnetError: one runs there already, the machine is too small, or it did not start; nothing is left running,
                and of a start that failed the logs.
        """
        devnet = cls(folder)
        settings = settings or DevnetSettings()
        if not supported():
            raise DevnetError("A devnet runs on Linux only.", hint="Use a Linux machine, container or WSL.")
        require_room(devnet.folder.path, nodes=settings.nodes)
        devnet._claim()
        settings.save(devnet.folder.path / "settings.json")
        try:
            devnet._launch(progress or (lambda _: None))
        except Exception:
            devnet.down(keep=True)
            raise
        except BaseException:
            devnet.down()
            raise
        return devnet

    def _claim(self) -> None:
        """Make the run folder ours: refuse one in use and one that is not a run folder, clear an old one."""
        run = self.folder
        if run.path.exists():
            if living := self.processes():
                raise DevnetError(
                    f"A devnet runs in {run.path} already ({', '.join(sorted(living)[:5])}).",
                    hint=f"Use it, end it with BLACKHOLE_DEVNET={run.path} blackhole devnet down, or name another "
                    "folder in BLACKHOLE_DEVNET.",
                )
            if any(run.path.iterdir()) and not (run.path / "settings.json").exists():
                raise DevnetError(f"{run.path} holds something else.", hint="Name another folder in BLACKHOLE_DEVNET.")
            shutil.rmtree(run.path)
        run.create()

    def _launch(self, progress: Callable[[str], None]) -> None:
        run = self.folder
        command = [sys.executable, "-m", "blackhole.devnet.supervisor", str(run.path)]
        with run.log(SUPERVISOR).open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=run.path
            )
        try:
            self._await_ready(process, progress)
        except BaseException:
            # It may not have come as far as recording itself.
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            raise

    def _await_ready(self, process: subprocess.Popen[bytes], progress: Callable[[str], None]) -> None:
        run = self.folder
        until = time.monotonic() + SILENT_SECONDS
        shown = ""
        while True:
            state = self.state()
            if (message := str(state.get("message", ""))) and message != shown:
                progress(message)
                shown = message
                until = time.monotonic() + SILENT_SECONDS
            if state.get("phase") == "ready":
                return
            if state.get("phase") == "failed":
                error = state["error"]
                raise DevnetError(error["message"], hint=error["hint"], data=error["data"])
            if process.poll() is not None:
                raise DevnetError(
                    f"The devnet ended while it started: {tail(run.log(SUPERVISOR))}", hint=f"See {run.logs}."
                )
            if time.monotonic() > until:
                raise DevnetError(
                    f"The start of the devnet has stood still for {SILENT_SECONDS} s ({shown or 'no word yet'}).",
                    hint=f"See {run.logs}.",
                )
            time.sleep(0.05)

    def _table(self) -> ProcessTable:
        return ProcessTable.load(self.folder.processes, self.folder.path)

    def state(self) -> dict[str, Any]:
        """devnet.json as it is now; empty when there is none."""
        with contextlib.suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads(self.folder.state.read_text())
            return found
        return {}

    def processes(self) -> list[str]:
        """The names of its processes that run, also of those a crash left."""
        table = self._table()
        return [record.name for record in table.records.values() if table.members(record)]

    @property
    def running(self) -> bool:
        """True while the supervisor runs."""
        record = self._table().records.get(SUPERVISOR)
        return record is not None and record.alive()

    @property
    def network(self) -> Path:
        """Path of network.json, for `--network`, `BLACKHOLE_NETWORK` and `Blackhole(network=…)`."""
        return self.folder.network

    def key_file(self, account: str) -> Path:
        """Key file of a funded account, for `BLACKHOLE_KEY_FILE`: `payer`, `reader`, `repairer`, `owner-1` …"""
        path = self.folder.accounts / f"{account}.key"
        if not path.exists():
            known = ", ".join(sorted(file.stem for file in self.folder.accounts.glob("*.key")))
            raise DevnetError(f"This devnet has no account {account}.", hint=f"It has: {known}.")
        return path

    def nodes(self) -> list[DevnetNode]:
        """The nodes, in the order of their ids."""
        table = self._table()
        found = []
        for row in self.state().get("nodes", []):
            record = table.records.get(f"node-{row['node']}")
            pid = record.pid if record is not None and record.alive() else None
            found.append(DevnetNode(**{**row, "folder": Path(row["folder"])}, pid=pid))
        return found

    def node(self, node: int) -> DevnetNode:
        """One node by id. Raises DevnetError."""
        for found in self.nodes():
            if found.node == node:
                return found
        raise DevnetError(f"This devnet has no node {node}.", hint="See blackhole devnet status.")

    def _ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Ask the supervisor. Raises DevnetError, which says so when only the supervisor is gone."""
        try:
            return control.ask(self.folder.control, operation, **arguments)
        except DevnetError as error:
            table = self._table()
            if self.running or not (left := [each.name for each in table.records.values() if table.members(each)]):
                raise
            raise DevnetError(
                f"The supervisor of {self.folder.path} has died; {len(left)} of its processes still run.",
                hint="End them with blackhole devnet down, then start anew.",
                data={"running": sorted(left)},
            ) from error

    def status(self) -> dict[str, Any]:
        """Period, clock, chain head, nodes and memory, as JSON values."""
        return self._ask("status")

    def advance(self, periods: int = 1, *, wait: bool = True) -> list[dict[str, Any]]:
        """End `periods` periods, each after its expected proofs (if `wait`) or when none can come any more.

        Returns:
            For each: `period` begun, `seconds` waited, `unproven` nodes.
        """
        answer = self._ask("advance", periods=periods, wait=wait, timeout=60 + PERIOD_SECONDS * periods)
        steps: list[dict[str, Any]] = answer["steps"]
        return steps

    def jump(self, seconds: int) -> int:
        """Move the chain's time forward, whatever is still to prove; the new timestamp (s)."""
        return int(self._ask("jump", seconds=seconds)["timestamp"])

    def hold(self, held: bool = True) -> None:
        """Hold the clock (periods end only by `advance`), or let it run by itself again."""
        self._ask("hold", held=held)

    def kill(self, node: int) -> None:
        """SIGKILL a node: agent and children, at once. The clock no longer waits for its proofs."""
        self._ask("kill", node=node)

    def stop(self, node: int) -> None:
        """Stop a node as its operator would (SIGTERM) and wait for its end."""
        self._ask("stop", node=node)

    def start(self, node: int) -> int:
        """Start a node that was killed or stopped and wait until it serves; its new pid."""
        return int(self._ask("start", node=node, timeout=90)["pid"])

    def faucet(self, address: str, *, hole_wei: int = 0, gas_wei: int | None = 0) -> dict[str, Any]:
        """Give an address HOLE (from the treasury's key) and gas money, both in wei; `gas_wei=None`: as accounts get.

        Returns:
            `address`, and what it got as `hole_wei` and `gas_wei`, decimal strings.
        """
        gas = None if gas_wei is None else str(gas_wei)
        return self._ask("faucet", address=address, hole_wei=str(hole_wei), gas_wei=gas)

    def down(self, *, keep: bool = False) -> list[str]:
        """End everything that runs for this folder, also what a crashed supervisor left, and remove the folder.

        Args:
            keep: leave the folder, for its logs.

        Returns:
            The names of the processes that were ended.
        """
        before = self.processes()
        table = self._table()
        supervisor = table.records.get(SUPERVISOR)
        if supervisor is not None and supervisor.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(supervisor.pid, signal.SIGTERM)
            until = time.monotonic() + STOP_SECONDS
            while supervisor.alive() and time.monotonic() < until:
                time.sleep(0.02)
            table = self._table()
        # The chain last: agents that stop properly still write to it.
        order = sorted(table.records, key=lambda name: name == "chain")
        table.end([name for name in order if name != "chain"], grace=5)
        table.end(["chain"], grace=5)
        if not keep and (self.folder.path / "settings.json").exists():
            shutil.rmtree(self.folder.path, ignore_errors=True)
        return before

    def __enter__(self) -> Devnet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()
