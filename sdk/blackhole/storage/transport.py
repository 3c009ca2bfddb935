"""HTTP/1.1 over TLS 1.3 to nodes, each pinned to the key its registered manifest names.

No certificate authority is asked: the registry holds sha256(manifest), the manifest holds sha256 of the node's
SubjectPublicKeyInfo, and a connection whose key differs is closed before a byte of a request leaves.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from blackhole.errors import BlackholeError, NodeError, NodeRefused, NodeUnreachable, WrongCertificate

CONNECT_SECONDS = 10.0
"""A node that does not complete TCP and TLS in this time is unreachable."""
SILENCE_SECONDS = 20.0
"""A node that neither sends nor takes a byte for this long is unreachable."""
ANSWER_MAX = 8 * 2**20
"""bytes. No answer of a node is read beyond this, whatever its headers say."""


class _Mismatch(aiohttp.ClientConnectionError):
    """The key shown is not the key pinned."""


class Pin(aiohttp.Fingerprint):
    """Checks the SubjectPublicKeyInfo, not the certificate: a node may renew its certificate, not its key."""

    def __init__(self, spki: bytes | None) -> None:
        super().__init__(spki or bytes(32))
        self._spki = spki
        self.seen: bytes = b""

    def check(self, transport: asyncio.Transport) -> None:
        connection = transport.get_extra_info("ssl_object")
        if connection is None or connection.version() != "TLSv1.3":
            raise _Mismatch("the connection is not TLS 1.3")
        self.seen = _spki(connection.getpeercert(binary_form=True))
        if self._spki is not None and self.seen != self._spki:
            raise _Mismatch("the TLS key is not the one its manifest names")


def _spki(certificate: bytes) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = x509.load_der_x509_certificate(certificate).public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


class Transport:
    """The connections of one event loop to all nodes. Close it with `aclose`."""

    def __init__(self, *, connect_seconds: float = CONNECT_SECONDS, silence_seconds: float = SILENCE_SECONDS) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=connect_seconds, connect=None, sock_read=silence_seconds
        )
        self.silence_seconds = silence_seconds

    def session(self) -> aiohttp.ClientSession:
        """The session, made on first use inside the running loop."""
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=0, keepalive_timeout=30),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=2**20,
                trust_env=False,
            )
        return self._session

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def manifest(self, endpoint: str, digest: bytes) -> tuple[bytes, bytes]:
        """(manifest bytes, SPKI hash shown) of the node at `endpoint` whose registry entry is `digest`.

        Raises:
            WrongCertificate: the manifest does not hash to `digest` (the caller compares the key inside).
            NodeUnreachable, NodeRefused.
        """
        pin = Pin(None)
        raw = await NodeClient(self, endpoint, pin).get("/v1/manifest")
        if hashlib.sha256(raw).digest() != digest:
            raise WrongCertificate(f"{endpoint} serves another manifest than the registry names.")
        return raw, pin.seen

    def node(self, endpoint: str, spki: bytes) -> NodeClient:
        """A client of the node at `endpoint`, pinned to the key with this SHA-256."""
        return NodeClient(self, endpoint, Pin(spki))


class NodeClient:
    """Requests to one node. Keep one a node: connections are pooled by it.

    Every method raises NodeUnreachable, NodeRefused (with the node's own reason) or WrongCertificate.
    """

    def __init__(self, transport: Transport, endpoint: str, pin: Pin) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme != "https" or not parts.hostname:
            raise NodeError(f"{endpoint!r} is not an https:// endpoint.", hint="Its operator has to register another.")
        self.endpoint = f"https://{parts.netloc}"
        self._transport = transport
        self._pin = pin

    async def get(self, path: str, headers: Mapping[str, str] | None = None, *, limit: int = ANSWER_MAX) -> bytes:
        """The body of GET `path`, at most `limit` bytes."""
        async with self._request("GET", path, headers=headers) as response:
            return await _read(response, limit, self.endpoint)

    async def get_json(self, path: str) -> Any:
        """The JSON value of GET `path`."""
        return _json(await self.get(path), self.endpoint)

    async def post_json(self, path: str, body: object) -> Any:
        """POST `body` as JSON and return the JSON answer."""
        headers = {"Content-Type": "application/json"}
        async with self._request("POST", path, headers=headers, data=orjson.dumps(body)) as response:
            return _json(await _read(response, ANSWER_MAX, self.endpoint), self.endpoint)

    async def put(self, path: str, size: int, body: AsyncIterator[memoryview], headers: Mapping[str, str]) -> Any:
        """PUT a body of exactly `size` bytes and return (status, JSON answer)."""
        headers = {**headers, "Content-Length": str(size), "Content-Type": "application/octet-stream"}
        async with self._request("PUT", path, headers=headers, data=body) as response:
            return _json(await _read(response, ANSWER_MAX, self.endpoint), self.endpoint)

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, data: Any = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        session = self._transport.session()
        try:
            async with session.request(
                method, self.endpoint + path, headers=headers, data=data, ssl=self._pin, allow_redirects=False
            ) as response:
                if response.status >= 300:
                    raise await _refusal(response, self.endpoint)
                yield response
        except _Mismatch as error:
            raise WrongCertificate(f"{self.endpoint}: {error}.", data={"endpoint": self.endpoint}) from error
        except (aiohttp.ClientError, TimeoutError, ssl.SSLError, OSError) as error:
            # aiohttp's own sentence names the pin object; the system's says what happened.
            cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
            what = getattr(cause, "strerror", None) or str(cause) or type(error).__name__
            raise NodeUnreachable(
                f"{self.endpoint} does not answer: {what}.", data={"endpoint": self.endpoint}
            ) from error


async def _read(response: aiohttp.ClientResponse, limit: int, endpoint: str) -> bytes:
    if (response.content_length or 0) > limit:
        raise NodeError(f"{endpoint} answers with {response.content_length} bytes, more than {limit}.")
    if response.content_length is not None:
        return await response.read()
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > limit:
            raise NodeError(f"{endpoint} answers with more than {limit} bytes.")
        parts.append(part)
    return b"".join(parts)


def _json(raw: bytes, endpoint: str) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise NodeError(f"{endpoint} answers with something that is not JSON.") from error


async def _refusal(response: aiohttp.ClientResponse, endpoint: str) -> BlackholeError:
    """The error of a 3xx, 4xx or 5xx answer. What a node says is shown, never trusted: text only, bounded."""
    try:
        body = orjson.loads(await response.content.read(2**16))
    except (orjson.JSONDecodeError, aiohttp.ClientError):
        body = None
    said: dict[str, Any] = body if isinstance(body, dict) else {}
    data = said.get("data")
    return NodeRefused(
        f"{endpoint}: {str(said.get('message', response.reason))[:500]}",
        status=response.status,
        code=str(said["code"])[:64] if "code" in said else None,
        hint=str(said["hint"])[:500] if said.get("hint") else None,
        data={**(data if isinstance(data, dict) else {}), "endpoint": endpoint},
    )
