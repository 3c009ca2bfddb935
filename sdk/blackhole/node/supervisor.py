"""The supervisor: starts each service in a process of its own, watches it, drains it, and says how it is.

It holds no key and no money, speaks to no chain, and imports little: what a plugin does wrong stays in that plugin.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections import deque
from typing import Any

import orjson

from blackhole.errors import BlackholeError, DiskError, NodeError
from blackhole.node.channel import Channel, ChannelClosed, Message
from blackhole.node.config import Config, host_port
from blackhole.node.folder import NodeFolder, Status, started_at
from blackhole.node.logs import Log, configure
from blackhole.node.loopback import Page, listen
from blackhole.node.plugin import PLUGINS

BACKOFF_FIRST = 0.5
BACKOFF_MOST = 30.0
"""Seconds before a crashed plugin is started again: doubling from the first to the most."""

START_SECONDS = 120.0
"""A plugin that is not ready by then counts as crashed: replaying a large journal takes seconds, not minutes."""


class Child:
    """One plugin's process: started, watched, restarted within its crash budget."""

    def __init__(self, name: str, folder: NodeFolder, config: Config, log: Log, passphrase: str | None) -> None:
        self.name = name
        self._passphrase = passphrase
        self.folder = folder
        self.config = config
        self.log = log.bind(plugin=name)
        self.state = "stopped"  # stopped, starting, ready, draining, waiting, quarantined
        self.info: dict[str, Any] = {}
        self.fatal: Message | None = None
        self.later: Message | None = None
        """Why it could not start yet; it is tried again, and that is no crash."""
        self.pid = 0
        self.restarts = 0
        self.changed = asyncio.Event()
        self._channel: Channel | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._ending = False
        self._crashes: deque[float] = deque()
        self._pause = 0.0

    async def run(self) -> None:
        """Keep the plugin running until `end`, its quarantine, or an error it calls fatal."""
        while not self._ending:
            code = await self._once()
            if self._ending:
                break
            if self.fatal is not None:
                self.log.error("plugin refused to start", **{k: v for k, v in self.fatal.items() if k != "notice"})
                self._set("quarantined")
                return
            if self.later is not None:
                await self._wait_for_chain(self.later)
                continue
            now = time.monotonic()
            self._crashes.append(now)
            while now - self._crashes[0] > self.config.agent.crash_window_seconds:
                self._crashes.popleft()
            self.log.error("plugin crashed", code=code, crashes=len(self._crashes))
            if len(self._crashes) >= self.config.agent.crashes:
                self.log.error("plugin quarantined", crashes=len(self._crashes))
                self._set("quarantined")
                return
            self._set("waiting")
            await asyncio.sleep(min(BACKOFF_FIRST * 2 ** (len(self._crashes) - 1), BACKOFF_MOST))
            self.restarts += 1
        self._set("stopped")

    async def _wait_for_chain(self, why: Message) -> None:
        if not self._pause:
            self.log.warning("plugin cannot start yet", code=why["code"], reason=why["message"])
        self._pause = min(2 * self._pause or BACKOFF_FIRST, BACKOFF_MOST)
        self._set("waiting")
        await asyncio.sleep(self._pause)

    async def _once(self) -> int:
        ours, theirs = socket.socketpair()
        self._set("starting")
        with theirs:
            # glibc keeps an arena a thread: two are plenty here and halve what is held at rest.
            environment = {**os.environ, "MALLOC_ARENA_MAX": "2"}
            passed = [theirs.fileno()]
            if self._passphrase is not None:
                # Through a pipe: neither the environment nor a command line shows it.
                passed.append(_pipe_with(self._passphrase))
                environment["BLACKHOLE_PASSPHRASE_FILE"] = f"/dev/fd/{passed[-1]}"
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "blackhole.node.plugin", self.name, str(self.folder.path), str(theirs.fileno()),
                pass_fds=passed, stdin=asyncio.subprocess.DEVNULL, env=environment,
            )  # fmt: skip
        for descriptor in passed[1:]:
            os.close(descriptor)
        self.pid = process.pid
        self._channel = channel = await Channel.open(ours)
        reading = asyncio.create_task(channel.serve(on_notice=self._on_notice))
        late = asyncio.get_running_loop().call_later(START_SECONDS, self._too_late, process)
        try:
            return await process.wait()
        finally:
            late.cancel()
            await asyncio.wait([reading], timeout=1)  # a last word (fatal) may still be in the pipe
            reading.cancel()
            channel.close()
            self._channel = None
            self.pid = 0

    def _too_late(self, process: asyncio.subprocess.Process) -> None:
        if self.state == "starting" and process.returncode is None:
            self.log.error("plugin did not become ready", seconds=START_SECONDS)
            process.kill()

    def _on_notice(self, notice: str, message: Message) -> None:
        if notice == "ready":
            self.later, self._pause = None, 0.0
            self.info = {key: value for key, value in message.items() if key != "notice"}
            self._set("ready")
            self.log.info("plugin ready", pid=self.pid, **self.info)
        elif notice == "fatal":
            self.fatal = message
        elif notice == "later":
            self.later = message

    def _set(self, state: str) -> None:
        self.state = state
        self.changed.set()

    async def ask(self, op: str, timeout: float = 5.0, **data: Any) -> Any:
        """Ask the plugin. Raises NodeError when it does not run or does not answer in time."""
        if self._channel is None:
            raise NodeError(f"The {self.name} plugin is {self.state}.", hint="See the agent's log.")
        try:
            return await self._channel.ask(op, timeout, **data)
        except (TimeoutError, ChannelClosed, RuntimeError) as error:
            raise NodeError(f"The {self.name} plugin did not {op}: {error}", hint="See the agent's log.") from error

    async def end(self, seconds: float) -> None:
        """Drain for at most `seconds`, stop, and kill what does not stop."""
        self._ending = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        try:
            if self.state == "ready":
                self._set("draining")
                await self.ask("drain", seconds + 2, seconds=seconds)
            await self.ask("stop", 2)
            await asyncio.wait_for(process.wait(), 5)
        except (NodeError, TimeoutError) as error:
            self.log.warning("plugin killed", reason=str(error))
            if process.returncode is None:
                process.kill()
            await process.wait()

    def kill(self) -> None:
        """End the process now."""
        self._ending = True
        if self._process is not None and self._process.returncode is None:
            self._process.kill()


class Supervisor:
    """One agent on one folder."""

    def __init__(self, folder: NodeFolder, passphrase: str | None = None) -> None:
        self.folder = folder
        self.config = Config.load(folder.config)
        self.log = configure("supervisor", self.config.agent.log_level)
        self.children = {name: Child(name, folder, self.config, self.log, passphrase) for name in PLUGINS}
        self._signals = 0
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """Run until a signal; return the process's exit code. Raises what a plugin refuses to start with."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self.reload()))
        self._tasks: set[asyncio.Task[Any]] = set()
        host, port = host_port(self.config.agent.health)
        server = await listen(host, port, {"/health": self._health, "/status": self._health, "/metrics": self._metrics})
        self.health = "{}:{}".format(*server.sockets[0].getsockname()[:2])
        runs = [self._spawn(child.run()) for child in self.children.values()]
        watch = self._spawn(self._watch())
        stop = self._spawn(self._stop.wait())
        await asyncio.wait([stop, *runs], return_when=asyncio.FIRST_COMPLETED)
        fatal = next((child.fatal for child in self.children.values() if child.fatal), None)
        if fatal is None and not self._stop.is_set():
            await stop  # quarantined: stay and say so, an operator is looking for the reason
        self.log.info("stopping", seconds=self.config.agent.drain_seconds)
        await asyncio.gather(*(child.end(self.config.agent.drain_seconds) for child in self.children.values()))
        watch.cancel()
        server.close()
        self.folder.status.unlink(missing_ok=True)
        self.log.info("stopped")
        if fatal is not None:
            raise BlackholeError.from_json(fatal)
        return 0

    async def reload(self) -> None:
        """Read config.toml again, here and in the plugins; a wrong file changes nothing."""
        try:
            config = Config.load(self.folder.config)
            for child in self.children.values():
                child.config = config
                await child.ask("reload", 60)
            self.config = config
            self.log.info("configuration read again")
        except BlackholeError as error:
            self.log.error("configuration not changed", reason=error.message, hint=error.hint)

    def _spawn(self, what: Any) -> asyncio.Task[Any]:
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _on_stop(self) -> None:
        self._signals += 1
        self._stop.set()
        if self._signals > 1:
            for child in self.children.values():
                child.kill()

    async def _watch(self) -> None:
        """Write status.json whenever a plugin's state changes."""
        while True:
            endpoint = next((c.info["endpoint"] for c in self.children.values() if c.info.get("endpoint")), "")
            pids = {name: child.pid for name, child in self.children.items() if child.state == "ready"}
            status = Status(os.getpid(), started_at(os.getpid()), self.health, endpoint, pids)
            try:
                self.folder.write_status(status)
            except DiskError as error:  # what runs goes on; /health says the same
                self.log.error("status not written", reason=error.message)
            waits = [asyncio.create_task(child.changed.wait()) for child in self.children.values()]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait, child in zip(waits, self.children.values(), strict=True):
                wait.cancel()
                child.changed.clear()

    async def _report(self, child: Child) -> dict[str, Any]:
        report: dict[str, Any] = {"state": child.state, "pid": child.pid, "restarts": child.restarts, "ok": False}
        if (why := child.fatal or child.later) is not None:
            report["error"] = {key: why.get(key) for key in ("code", "message", "hint")}
        if child.state in {"ready", "draining"}:
            try:
                report |= await child.ask("health", 3)
            except NodeError as error:
                report["error"] = {"code": error.code, "message": error.message, "hint": error.hint}
        return report

    async def _health(self) -> Page:
        plugins = {name: await self._report(child) for name, child in self.children.items()}
        ok = all(report["ok"] for report in plugins.values())
        body = {"ok": ok, "pid": os.getpid(), "folder": str(self.folder.path), "plugins": plugins}
        return (200 if ok else 503), "application/json", orjson.dumps(body) + b"\n"

    async def _metrics(self) -> Page:
        lines = ["# HELP blackhole_plugin_up Whether the plugin is ready.", "# TYPE blackhole_plugin_up gauge"]
        lines += [f'blackhole_plugin_up{{plugin="{n}"}} {int(c.state == "ready")}' for n, c in self.children.items()]
        lines += ["# HELP blackhole_plugin_restarts_total Restarts after a crash."]
        lines += ["# TYPE blackhole_plugin_restarts_total counter"]
        lines += [f'blackhole_plugin_restarts_total{{plugin="{n}"}} {c.restarts}' for n, c in self.children.items()]
        text = "\n".join(lines) + "\n"
        for child in self.children.values():
            if child.state in {"ready", "draining"}:
                try:
                    text += await child.ask("metrics", 3)
                except NodeError as error:
                    self.log.warning("no metrics", reason=error.message)
        return 200, "text/plain; version=0.0.4", text.encode()


def _pipe_with(text: str) -> int:
    """The reading end of a pipe that holds `text` and its end."""
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    os.set_inheritable(reading, True)
    return reading


def run(path: str, passphrase: str | None = None) -> int:
    """Run an agent on the folder at `path` until it is stopped; return the exit code.

    `passphrase`: of the hot key's keystore, when it was asked for on the terminal. Raises BlackholeError.
    """
    folder = NodeFolder(path)
    folder.require()
    lock = folder.lock()

    async def body() -> int:
        return await Supervisor(folder, passphrase).run()

    try:
        return asyncio.run(body())
    finally:
        lock.release()
