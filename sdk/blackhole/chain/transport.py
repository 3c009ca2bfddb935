"""How requests reach one endpoint: HTTP with JSON-RPC batches, or a web3 provider. Policy (retries, choice) is
`rpc.py`'s."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import orjson

from blackhole.errors import ChainError, InputError, RpcUnavailable

if TYPE_CHECKING:
    import aiohttp

Request: TypeAlias = "tuple[str, Sequence[Any]]"
"""(method, parameters)"""
Response: TypeAlias = "dict[str, Any]"
"""A JSON-RPC response object: it holds `result` or `error`."""


class BatchRefused(ChainError):
    """The endpoint did not take the requests together; fewer may pass."""

    code = "batch_refused"


class Transport(Protocol):
    """One endpoint."""

    name: str
    """For messages; never holds credentials."""
    requests: int
    """HTTP requests (or provider calls) made so far."""

    async def send(self, requests: Sequence[Request]) -> list[Response | None]:
        """Responses in the order of the requests, None for one that was left out.

        Raises `RpcUnavailable` when the endpoint cannot be reached, `BatchRefused` when it wants fewer at once.
        """
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...


def without_credentials(url: str) -> str:
    """An endpoint's address fit for messages: no user, password, query; a path (often an API key) is cut short."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.port:
        host += f":{parts.port}"
    return urlunsplit((parts.scheme, host, "/…" if len(parts.path) > 1 else "", "", ""))


class HttpTransport:
    """JSON-RPC over HTTP. One session an event loop: the synchronous face and the user's own loop may share the
    object."""

    def __init__(self, url: str, *, timeout: float = 20.0) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise InputError(f"not an HTTP endpoint: {without_credentials(url)}")
        self._url = url
        self._timeout = timeout
        self._sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}
        host = urlsplit(url).hostname or ""
        self._loopback = host in ("localhost", "::1") or host.startswith("127.")
        self.name = without_credentials(url)
        self.requests = 0

    async def send(self, requests: Sequence[Request]) -> list[Response | None]:
        import aiohttp

        body = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
            for number, (method, parameters) in enumerate(requests)
        ]
        payload = orjson.dumps(body[0] if len(body) == 1 else body)
        self.requests += 1
        try:
            async with self._session().post(self._url, data=payload) as answer:
                content = await answer.read()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
            reason = "timed out" if isinstance(error, TimeoutError) else getattr(cause, "strerror", None)
            reason = reason or type(error).__name__
            raise RpcUnavailable(f"{self.name}: {reason}") from error
        try:
            loaded = orjson.loads(content)
        except orjson.JSONDecodeError:
            loaded = None
        if len(requests) == 1 and isinstance(loaded, list) and len(loaded) == 1:
            loaded = loaded[0]
        if status in (429, 502, 503, 504) or (status >= 400 and len(requests) == 1 and not isinstance(loaded, dict)):
            raise RpcUnavailable(f"{self.name}: HTTP status {status}", data={"status": status})
        if len(requests) == 1:
            if not isinstance(loaded, dict) or not {"result", "error"} & loaded.keys():
                raise RpcUnavailable(f"{self.name}: the answer is not JSON-RPC")
            return [loaded]
        if not isinstance(loaded, list):
            raise BatchRefused(f"{self.name}: refused a batch of {len(requests)} (HTTP status {status})")
        responses: list[Response | None] = [None] * len(requests)
        for response in loaded:
            number = response.get("id") if isinstance(response, dict) else None
            if isinstance(number, int) and 0 <= number < len(responses):
                responses[number] = response
        return responses

    def _session(self) -> aiohttp.ClientSession:
        import aiohttp

        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None or session.closed:
            for other in [each for each in self._sessions if each.is_closed()]:
                self._sessions.pop(other).detach()
            session = self._sessions[loop] = aiohttp.ClientSession(
                headers={"content-type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                connector=aiohttp.TCPConnector(limit=8),
                trust_env=not self._loopback,  # a proxy does not reach this machine's own ports
            )
        return session

    async def close(self) -> None:
        if session := self._sessions.pop(asyncio.get_running_loop(), None):
            await session.close()


class ProviderTransport:
    """A web3 provider, synchronous or not. Requests go one by one: providers batch in ways of their own.

    It stays its giver's: a persistent connection is neither opened nor closed here.
    """

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._persistent = bool(getattr(provider, "has_persistent_connection", False))
        self.name = f"web3 {type(provider).__name__}"
        self.requests = 0

    async def send(self, requests: Sequence[Request]) -> list[Response | None]:
        return list(await asyncio.gather(*(self._one(method, parameters) for method, parameters in requests)))

    async def _one(self, method: str, parameters: Sequence[Any]) -> Response:
        self.requests += 1
        call = self._provider.make_request
        try:
            if inspect.iscoroutinefunction(call):
                answer = await call(method, list(parameters))
            else:
                answer = await asyncio.to_thread(call, method, list(parameters))
        except Exception as error:
            unopened = self._persistent and type(error).__name__ == "ProviderConnectionError"
            hint = "Connect the provider first: `await provider.connect()`." if unopened else None
            raise RpcUnavailable(f"{self.name}: {type(error).__name__}", hint=hint) from error
        return dict(answer)

    async def close(self) -> None:
        disconnect = getattr(self._provider, "disconnect", None)
        # For a provider over HTTP this only lets idle sessions go; its next request opens one.
        if inspect.iscoroutinefunction(disconnect) and not self._persistent:
            await disconnect()


def as_transport(endpoint: object) -> Transport:
    """A URL, a `Transport`, a web3 provider, or a `Web3`/`AsyncWeb3` object. Raises `InputError`."""
    if isinstance(endpoint, str):
        return HttpTransport(endpoint)
    if hasattr(endpoint, "send") and hasattr(endpoint, "requests"):
        return endpoint  # type: ignore[return-value]
    if hasattr(endpoint, "make_request"):
        return ProviderTransport(endpoint)
    provider = getattr(endpoint, "provider", None)
    if hasattr(provider, "make_request"):
        return ProviderTransport(provider)
    raise InputError(f"{type(endpoint).__name__} is no endpoint: give a URL, a web3 provider or a Web3 object")
