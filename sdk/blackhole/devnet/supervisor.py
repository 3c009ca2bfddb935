"""The one process that owns a devnet: it starts chain and nodes, drives the clock, answers the control socket.

Started by `blackhole.devnet.handle` as `python -m blackhole.devnet.supervisor RUN_FOLDER`; SIGTERM or SIGINT ends the
whole network. devnet.json says how far it is: `starting` (with a message), `ready`, `failed` (with the error) or
`stopping`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackhole.devnet import control
from blackhole.devnet.chain import NAME as CHAIN
from blackhole.devnet.chain import DevnetChain, start_chain
from blackhole.devnet.clock import Clock
from blackhole.devnet.folder import RunFolder
from blackhole.devnet.handle import SUPERVISOR
from blackhole.devnet.processes import ProcessTable, resident_bytes
from blackhole.devnet.settings import DevnetSettings
from blackhole.errors import BlackholeError, DevnetError

if TYPE_CHECKING:
    from blackhole.devnet.fleet import Fleet

STOP_GRACE = 8.0
"""Seconds a node has to stop before it is killed."""


class Supervisor:
    """The state of one running devnet."""

    def __init__(self, run: RunFolder, settings: DevnetSettings) -> None:
        self.run = run
        self.settings = settings
        self.table = ProcessTable(run.processes, run.path)
        self.chain: DevnetChain | None = None
        self.clock: Clock | None = None
        self.fleet: Fleet | None = None
        self.began = time.monotonic()

    def write(self, phase: str, **more: Any) -> None:
        """Replace devnet.json."""
        nodes = self.fleet.rows() if self.fleet is not None else []
        state = {"schema": 1, "phase": phase, "seconds": round(time.monotonic() - self.began, 2), **more}
        text = json.dumps({**state, "nodes": nodes, "run": str(self.run.path)}, indent=1)
        new = self.run.state.with_suffix(".new")
        new.write_text(text + "\n")
        new.replace(self.run.state)

    def say(self, message: str) -> None:
        """Tell who waits what happens now."""
        self.write("starting", message=message)

    async def live(self) -> None:
        """Start everything, serve until cancelled, end everything."""
        from blackhole.devnet.fleet import Fleet

        self.table.add(SUPERVISOR, os.getpid(), self.run.log(SUPERVISOR))
        try:
            self.say("chain")
            if self.settings.rpc is None:
                self.chain = await asyncio.to_thread(start_chain, self.table, self.run.chain, self.run.log(CHAIN))
            self.fleet = await Fleet.build(self.run, self.settings, self.chain, self.table, self.say)
            async with contextlib.AsyncExitStack() as stack:
                if self.chain is not None:
                    self.clock = Clock(
                        self.chain,
                        self.fleet.period,
                        self.fleet,
                        pace=self.settings.pace,
                        held=self.settings.held,
                    )
                    ticking = asyncio.create_task(self.clock.run())
                    stack.push_async_callback(_cancel, ticking)
                await stack.enter_async_context(control.serve(self.run.control, self.answer))
                self.write("ready")
                await self._watch()
        finally:
            await self._end()

    async def _watch(self) -> None:
        """Notice what ends by itself."""
        while True:
            await asyncio.sleep(0.5)
            if self.chain is not None and self.table.exit_code(CHAIN) is not None:
                raise DevnetError("The chain has ended.", hint=f"See {self.run.log(CHAIN)}.")

    async def _end(self) -> None:
        with contextlib.suppress(OSError):
            if self.run.state.exists() and json.loads(self.run.state.read_text())["phase"] == "ready":
                self.write("stopping")
        if self.fleet is not None:
            await self.fleet.close()
        others = [name for name in self.table.records if name not in {CHAIN, SUPERVISOR}]
        await asyncio.to_thread(self.table.end, others, grace=STOP_GRACE)
        await asyncio.to_thread(self.table.end, [CHAIN], grace=STOP_GRACE)

    async def answer(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """One request from the control socket."""
        operation = request["operation"]
        fleet = self.fleet
        assert fleet is not None
        if operation == "status":
            return await self._status()
        if operation in {"advance", "jump", "hold"}:
            return await self._move(operation, request)
        if operation == "kill":
            return await fleet.kill(int(request["node"]))
        if operation == "stop":
            return await fleet.stop(int(request["node"]))
        if operation == "start":
            return {"pid": await fleet.start(int(request["node"]))}
        if operation == "faucet":
            gas_wei = None if request["gas_wei"] is None else int(request["gas_wei"])
            return await fleet.faucet(request["address"], int(request["hole_wei"]), gas_wei)
        raise DevnetError(f"A devnet has no operation {operation}.")

    async def _move(self, operation: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        clock = self.clock
        if clock is None:
            raise DevnetError("The clock of a chain named with --rpc is not ours.", hint="Wait for its time to pass.")
        if operation == "hold":
            clock.held = bool(request["held"])
            return {"held": clock.held}
        if operation == "jump":
            return {"timestamp": await clock.jump(int(request["seconds"]))}
        steps = [await clock.step(wait=bool(request["wait"])) for _ in range(int(request["periods"]))]
        return {"steps": [{"period": s.period, "seconds": s.seconds, "unproven": list(s.unproven)} for s in steps]}

    async def _status(self) -> Mapping[str, Any]:
        assert self.fleet is not None
        number, timestamp = await self.fleet.head()
        memory = {record.name: resident_bytes(record) for record in self.table.records.values()}
        nodes = [
            {**row, "running": self.fleet.alive(row["node"]), "memory_bytes": memory.get(f"node-{row['node']}", 0)}
            for row in self.fleet.rows()
        ]
        return {
            "run": str(self.run.path),
            "network": str(self.run.network),
            "rpc": self.fleet.rpc,
            "block": number,
            "timestamp": timestamp,
            "period": timestamp // self.fleet.period,
            "held": self.clock.held if self.clock is not None else None,
            "nodes": nodes,
            "memory_bytes": sum(memory.values()),
        }


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _main(run: RunFolder) -> int:
    supervisor = Supervisor(run, DevnetSettings.load(run.path / "settings.json"))
    task = asyncio.create_task(supervisor.live())
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(name, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return 0
    except BlackholeError as error:
        supervisor.write("failed", error=error.to_json())
        return 1
    except Exception as error:
        hint = f"See {run.log(SUPERVISOR)}."
        supervisor.write("failed", error={"message": f"{type(error).__name__}: {error}", "hint": hint, "data": {}})
        raise
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(RunFolder(Path(sys.argv[1])))))
