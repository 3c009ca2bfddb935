"""How others speak to a devnet's supervisor: one JSON line each way over a socket in the run folder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from blackhole.errors import BlackholeError, DevnetError

Handler = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
LINE_LIMIT = 1 << 20


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for a socket that fits the 108 bytes a socket address has, however deep the run folder lies."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


@contextlib.asynccontextmanager
async def serve(path: Path, handler: Handler) -> AsyncIterator[None]:
    """Answer requests on `path` while the block runs."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(await reader.readline())
            try:
                reply: Mapping[str, Any] = {"ok": await handler(request)}
            except BlackholeError as error:
                reply = {"error": {"message": error.message, "hint": error.hint, "data": error.data}}
            except (KeyError, TypeError, ValueError) as error:
                reply = {"error": {"message": f"{type(error).__name__}: {error}", "hint": "", "data": {}}}
            writer.write(json.dumps(reply).encode() + b"\n")
            await writer.drain()
        except (ConnectionError, ValueError):
            pass
        finally:
            writer.close()

    path.unlink(missing_ok=True)  # noqa: ASYNC240 one system call on a local file
    with _short(path) as name:
        # The folder is its owner's alone (0700), so is the socket.
        server = await asyncio.start_unix_server(answer, name, limit=LINE_LIMIT)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)  # noqa: ASYNC240


def ask(path: Path, operation: str, *, timeout: float = 60, **arguments: Any) -> dict[str, Any]:
    """Ask the supervisor of a run folder; its answer.

    Raises:
        DevnetError: nobody answers, or the supervisor says why it did not do it.
    """
    line = json.dumps({"operation": operation, **arguments}).encode() + b"\n"
    received = b""
    try:
        with socket.socket(socket.AF_UNIX) as link, _short(path) as name:
            link.settimeout(timeout)
            link.connect(name)
            link.sendall(line)
            while not received.endswith(b"\n"):
                part = link.recv(1 << 16)
                if not part:
                    break
                received += part
    except TimeoutError as error:
        raise DevnetError(f"The devnet did not answer `{operation}` within {timeout:.0f} s.") from error
    except OSError as error:
        hint = "Start one with blackhole devnet up, or name its run folder in BLACKHOLE_DEVNET."
        raise DevnetError(f"No devnet runs in {path.parent}.", hint=hint) from error
    if not received:
        raise DevnetError(f"The devnet ended while it did `{operation}`.", hint="See logs/ in its run folder.")
    reply: dict[str, Any] = json.loads(received)
    if "error" in reply:
        refusal = reply["error"]
        raise DevnetError(refusal["message"], hint=refusal["hint"] or None, data=refusal["data"])
    answer: dict[str, Any] = reply["ok"]
    return answer
