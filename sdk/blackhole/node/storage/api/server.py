"""The TLS server: how many connections, how long for headers, and every error as JSON with a reason."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from blackhole.errors import BlackholeError, ChainError, DiskError, InputError, StorageError
from blackhole.node.config import Api, host_port
from blackhole.node.logs import Log
from blackhole.node.storage.refusal import Refusal, malformed

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

READ_AHEAD = 2**18
"""bytes of an upload taken off the wire ahead of the disk; twice as many stop its connection."""
LINGER_SECONDS = 2.0
"""A refused upload is read and thrown away for so long, that its sender gets to read the refusal."""


def answer(body: object, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def refusal(error: Refusal) -> web.Response:
    """The answer to a request that is refused."""
    response = answer(error.to_json(), error.status)
    if error.status in {429, 503, 507}:
        response.headers["Retry-After"] = "2"
    return response


class Server:
    """Serves `routes` over TLS until it is drained and closed."""

    def __init__(self, config: Api, context: ssl.SSLContext, routes: list[web.RouteDef], log: Log) -> None:
        self.config = config
        self.log = log
        self.running = 0
        self.counts: dict[tuple[str, int], int] = {}
        self.draining = False
        self._context = context
        self._idle = asyncio.Event()
        app = web.Application(middlewares=[self._middleware], client_max_size=0)
        app.add_routes(routes)
        self._runner = web.AppRunner(app, handle_signals=False)
        self._site: asyncio.Server | None = None
        self._silent: set[object] = set()

    async def start(self) -> str:
        """Listen; returns "host:port". Raises BlackholeError when the address cannot be used."""
        await self._runner.setup()
        host, port = host_port(self.config.listen)
        server = self._runner.server
        if server is None:
            raise RuntimeError("the runner has no server")
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.Protocol:
            # Beyond the limit a connection is closed before TLS costs anything.
            if len(server.connections) >= self.config.connections:
                return _Closed()
            handler = _Handler(
                server, loop=loop, lingering_time=LINGER_SECONDS,
                keepalive_timeout=self.config.idle_seconds, max_line_size=8190, max_field_size=8190,
                read_bufsize=READ_AHEAD, auto_decompress=False,
            )  # fmt: skip
            self._silent.add(handler)
            loop.call_later(self.config.header_seconds, self._close_silent, handler)
            return handler

        try:
            self._site = await loop.create_server(
                protocol, host, port, ssl=self._context, backlog=128,
                ssl_handshake_timeout=self.config.header_seconds, ssl_shutdown_timeout=2,
            )  # fmt: skip
        except OSError as error:
            raise DiskError(
                f"Cannot listen on {self.config.listen}: {error.strerror or error}.",
                code="address_in_use", hint="Set api.listen in config.toml to a free address.",
            ) from error  # fmt: skip
        found_host, found_port = self._site.sockets[0].getsockname()[:2]
        return f"{found_host}:{found_port}"

    async def drain(self, seconds: float) -> None:
        """Take no new connection and let requests that run end, for `seconds` at most."""
        self.draining = True
        if self._site is not None:
            self._site.close()
        if self.running:
            self._idle.clear()
            try:
                await asyncio.wait_for(self._idle.wait(), seconds)
            except TimeoutError:
                self.log.warning("requests cut off by the drain", requests=self.running)

    async def close(self) -> None:
        """Close every connection."""
        if self._site is not None:
            self._site.close()
        await self._runner.cleanup()

    def _close_silent(self, handler: web.RequestHandler) -> None:
        """End a connection that has not sent one whole head of a request since it was made."""
        if handler in self._silent:
            self._silent.discard(handler)
            if handler.transport is not None:
                handler.transport.abort()

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.running += 1
        self._silent.discard(request.protocol)
        try:
            response = await self._guarded(request, handler)
        finally:
            self.running -= 1
            if not self.running:
                self._idle.set()
        key = (
            request.match_info.route.resource.canonical if request.match_info.route.resource else "?",
            response.status,
        )
        self.counts[key] = self.counts.get(key, 0) + 1
        if response.status >= 400:
            # Whatever the client still sends belongs to a refused request.
            response.force_close()
        return response

    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refusal as error:
            return refusal(error)
        except web.HTTPException as error:
            code = {404: "not_found", 405: "method_not_allowed"}.get(error.status, "http")
            response = answer(
                _body(code, error.reason, "See the node's wire API in docs/running-a-node.md."), error.status
            )
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response
        except ChainError as error:
            self.log.warning("the chain does not answer", reason=error.message, path=request.path)
            return refusal(
                Refusal(503, "chain_unavailable", "The node cannot reach the chain.", hint="Try again soon.")
            )
        except (ConnectionError, asyncio.IncompleteReadError, HttpProcessingError) as error:
            return refusal(
                Refusal(400, "cut_off", f"The request ended early: {type(error).__name__}.", hint="Send it again.")
            )
        except DiskError as error:
            self.log.error("the disk fails", code=error.code, reason=error.message, path=request.path)
            return refusal(Refusal(507, "disk", "The node's disk takes nothing.", hint="Try another node."))
        except StorageError as error:
            # Bytes of its own that are lost or damaged: its operator hears which, its client that others have them.
            self.log.error("stored bytes are damaged", code=error.code, reason=error.message, path=request.path)
            return answer(_body("damaged", "What the node keeps of this is lost or damaged.", "Ask another node."), 500)
        except InputError as error:
            return refusal(malformed(f"{error.message}."))
        except BlackholeError as error:
            self.log.error("request failed", code=error.code, reason=error.message, path=request.path)
            return answer(_body(error.code, "The node failed to do this.", "Try another node."), 500)
        except Exception:
            self.log.exception("request failed", path=request.path)
            return answer(_body("internal", "The node failed to do this.", "Try another node."), 500)


class _Handler(web.RequestHandler):
    """Refuses what is no HTTP as everything else is refused: JSON with a reason. Noise from the net is not logged."""

    __slots__ = ()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        response = refusal(Refusal(status, "malformed", "This is not a request of HTTP/1.1.", hint="Send one."))
        response.force_close()
        return response


class _Closed(asyncio.Protocol):
    """What a connection beyond the limit gets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


def _body(code: str, message: str, hint: str) -> dict[str, Any]:
    return {"code": code, "message": message, "hint": hint, "data": {}}
