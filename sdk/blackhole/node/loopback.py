"""A very small HTTP server for /health, /status and /metrics on a loopback address.

The supervisor serves three short texts to a program on the same machine; a web framework would double its memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Page = tuple[int, str, bytes]
"""Status, content type, body."""

_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}
_SECONDS = 5.0


async def listen(host: str, port: int, pages: dict[str, Callable[[], Awaitable[Page]]]) -> asyncio.Server:
    """Serve `pages` (path → function) over GET. Port 0 takes a free one. Raises OSError."""

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            status, kind, body = await asyncio.wait_for(_respond(reader, pages), _SECONDS)
            head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            writer.write(head.encode() + b"Cache-Control: no-store\r\nConnection: close\r\n\r\n" + body)
            await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # whoever asked is gone, too slow, or sent no HTTP: nothing to tell them
        finally:
            writer.close()

    return await asyncio.start_server(on_connection, host, port, limit=8192)


async def _respond(reader: asyncio.StreamReader, pages: dict[str, Callable[[], Awaitable[Page]]]) -> Page:
    line = (await reader.readuntil(b"\r\n")).decode("latin-1").split()
    while (await reader.readuntil(b"\r\n")) != b"\r\n":
        pass
    if len(line) != 3:
        return 400, "text/plain", b"not HTTP\n"
    if line[0] != "GET":
        return 405, "text/plain", b"GET only\n"
    page = pages.get(line[1].partition("?")[0])
    return await page() if page is not None else (404, "text/plain", b"no such page\n")
