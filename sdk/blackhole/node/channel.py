"""What supervisor and plugin say to each other: JSON lines over a socket pair.

The supervisor asks {"id", "op", …}; the plugin answers {"id", "result"} or {"id", "error"}, and says {"notice", …}
unasked. A closed channel means the other side is gone.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

Message = dict[str, Any]

LINE_LIMIT = 4 * 2**20
"""Longest message, bytes: metrics of a node with thousands of lanes stay far below."""


class ChannelClosed(ConnectionError):
    """The other side is gone."""


class Channel:
    """One end of the socket pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._next = 0

    @classmethod
    async def open(cls, end: socket.socket) -> Channel:
        """Take over one end of a socket pair."""
        reader, writer = await asyncio.open_connection(sock=end, limit=LINE_LIMIT)
        return cls(reader, writer)

    def notify(self, notice: str, **data: Any) -> None:
        """Tell the other side something that needs no answer."""
        self._send({"notice": notice, **data})

    async def ask(self, op: str, timeout: float, **data: Any) -> Any:
        """Ask and wait. Raises TimeoutError, ChannelClosed, or RuntimeError with what the other side said."""
        self._next += 1
        number = self._next
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._send({"id": number, "op": op, **data})
            return await asyncio.wait_for(future, timeout)
        finally:
            self._waiting.pop(number, None)

    async def serve(
        self,
        on_ask: Callable[[str, Message], Awaitable[Any]] | None = None,
        on_notice: Callable[[str, Message], None] | None = None,
    ) -> None:
        """Read until the other side closes; answers are routed to `ask`, questions run as tasks of their own."""
        tasks: set[asyncio.Task[None]] = set()
        try:
            while line := await self._reader.readline():
                message: Message = orjson.loads(line)
                if "op" in message and on_ask is not None:
                    task = asyncio.create_task(self._answer(on_ask, message))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                elif "notice" in message:
                    if on_notice is not None:
                        on_notice(message["notice"], message)
                else:
                    self._settle(message)
        except (ConnectionError, ValueError):
            pass  # a line cut in two by the death of its writer
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(ChannelClosed("the other process is gone"))

    def close(self) -> None:
        """Close this end."""
        self._writer.close()

    async def _answer(self, on_ask: Callable[[str, Message], Awaitable[Any]], message: Message) -> None:
        try:
            reply: Message = {"result": await on_ask(message["op"], message)}
        except Exception as error:  # noqa: BLE001 whatever went wrong, the asker must hear of it
            reply = {"error": f"{type(error).__name__}: {error}"}
        self._send({"id": message["id"], **reply})

    def _settle(self, message: Message) -> None:
        future = self._waiting.get(message.get("id", 0))
        if future is None or future.done():
            return
        if "error" in message:
            future.set_exception(RuntimeError(message["error"]))
        else:
            future.set_result(message.get("result"))

    def _send(self, message: Message) -> None:
        if self._writer.is_closing():
            raise ChannelClosed("the other process is gone")
        self._writer.write(orjson.dumps(message) + b"\n")
