"""What a service is to the agent: a plugin in a child process of its own.

`python -m blackhole.node.plugin NAME FOLDER FD` is that process. It ends when its supervisor does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

PLUGINS = {"storage": "blackhole.node.storage.plugin"}
"""Plugin name → module with `create(folder: Path) -> Plugin`."""


class Plugin(Protocol):
    """A service of a node. All methods run on the event loop of the plugin's process."""

    async def start(self) -> dict[str, Any]:
        """Finish what the journal says, open what is served, and return what status.json shows (endpoint).

        Raises BlackholeError when it cannot work here at all: the supervisor does not try again, but for a chain that
        does not answer.
        """
        ...

    async def drain(self, seconds: float) -> None:
        """Refuse new work, let transfers end, collect what is due; return after `seconds` at the latest."""
        ...

    async def stop(self) -> None:
        """Close everything."""
        ...

    async def reload(self) -> None:
        """Read the configuration again. Raises BlackholeError and keeps the old one when it is not allowed."""
        ...

    def health(self) -> dict[str, Any]:
        """What /health shows; `ok` says whether the service works."""
        ...

    def metrics(self) -> str:
        """Prometheus text."""
        ...


async def serve(name: str, folder: Path, descriptor: int) -> None:
    """Run plugin `name` until the supervisor says stop or goes away."""
    from blackhole.errors import BlackholeError, EndpointBehind, RpcUnavailable
    from blackhole.node.channel import Channel, Message

    loop = asyncio.get_running_loop()
    channel = await Channel.open(socket.socket(fileno=descriptor))
    stopped = asyncio.Event()
    # Ctrl-C reaches the whole process group: the supervisor alone decides what it means.
    for number in (signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, lambda: None)
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    plugin: Plugin = import_module(PLUGINS[name]).create(folder)

    async def on_ask(op: str, message: Message) -> Any:
        if op == "health":
            return plugin.health()
        if op == "metrics":
            return plugin.metrics()
        if op == "reload":
            return await plugin.reload()
        if op == "drain":
            return await plugin.drain(float(message["seconds"]))
        if op == "stop":
            stopped.set()
            return None
        raise ValueError(f"unknown operation {op!r}")

    async def listen() -> None:
        await channel.serve(on_ask)
        # The supervisor is gone without a word: what is journalled is enough to go on from, so leave at once.
        os._exit(70)

    listener = asyncio.create_task(listen())
    try:
        channel.notify("ready", **await plugin.start())
        await stopped.wait()
    except BlackholeError as error:
        # A chain that does not answer yet will: everything else takes an operator.
        notice = "later" if isinstance(error, RpcUnavailable | EndpointBehind) else "fatal"
        channel.notify(notice, kind=type(error).__name__, **error.to_json())
    finally:
        listener.cancel()
        await plugin.stop()
        channel.close()


def main() -> None:
    """Entry of the plugin's process."""
    name, folder, descriptor = sys.argv[1:4]
    body = serve(name, Path(folder), int(descriptor))
    try:
        import uvloop
    except ImportError:
        asyncio.run(body)
    else:
        uvloop.run(body)


if __name__ == "__main__":
    main()
