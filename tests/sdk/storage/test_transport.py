"""Connections to nodes: TLS 1.3 with the pinned key only, bounded answers, every failure an error with a reason."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path

import pytest
from aiohttp import web
from blackhole.errors import NodeError, NodeRefused, NodeUnreachable, WrongCertificate
from blackhole.storage.transport import ANSWER_MAX, Transport
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[..., Awaitable[tuple[str, bytes]]]


def make_key(folder: Path) -> tuple[ssl.SSLContext, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "node")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1))
        .not_valid_after(datetime(2070, 1, 1))
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{certificate.serial_number}.pem"
    file.write_bytes(
        certificate.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return context, hashlib.sha256(spki).digest()


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    runners: list[web.AppRunner] = []

    async def start(handler: Handler, *, maximum: ssl.TLSVersion | None = None) -> tuple[str, bytes]:
        context, spki = make_key(tmp_path)
        if maximum is not None:
            context.maximum_version = maximum
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        return f"https://127.0.0.1:{runner.addresses[0][1]}", spki

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    made = Transport(connect_seconds=2, silence_seconds=1)
    yield made
    await made.aclose()


async def echo(request: web.Request) -> web.StreamResponse:
    return web.Response(body=await request.read() or b"hello")


async def test_the_pinned_key_is_accepted_and_connections_are_reused(serve: Serve, transport: Transport) -> None:
    peers: set[object] = set()

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return await echo(request)

    node = transport.node(*await serve(handler))
    for _ in range(3):
        assert await node.get("/v1/x") == b"hello"
    assert len(peers) == 1


async def test_another_key_is_refused_before_the_request_is_sent(serve: Serve, transport: Transport) -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.path)
        return await echo(request)

    endpoint, spki = await serve(handler)
    with pytest.raises(WrongCertificate):
        await transport.node(endpoint, hashlib.sha256(spki).digest()).get("/v1/secret")
    assert seen == []
    # A connection pooled for one pin must not serve another.
    assert await transport.node(endpoint, spki).get("/v1/x") == b"hello"
    with pytest.raises(WrongCertificate):
        await transport.node(endpoint, hashlib.sha256(spki).digest()).get("/v1/secret")
    assert seen == ["/v1/x"]


async def test_older_tls_is_refused(serve: Serve, transport: Transport) -> None:
    node = transport.node(*await serve(echo, maximum=ssl.TLSVersion.TLSv1_2))
    with pytest.raises(WrongCertificate):
        await node.get("/v1/x")


async def test_a_manifest_must_hash_to_what_the_registry_names(serve: Serve, transport: Transport) -> None:
    endpoint, spki = await serve(echo)
    raw, shown = await transport.manifest(endpoint, hashlib.sha256(b"hello").digest())
    assert (raw, shown) == (b"hello", spki)
    with pytest.raises(WrongCertificate):
        await transport.manifest(endpoint, bytes(32))


async def test_a_refusal_carries_the_nodes_reason(serve: Serve, transport: Transport) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        body = {"code": "payment_required", "message": "Pay first.", "hint": "Pay.", "data": {"missing_micro": 7}}
        return web.json_response(body, status=402)

    with pytest.raises(NodeRefused) as raised:
        await transport.node(*await serve(handler)).get("/v1/x")
    assert (raised.value.status, raised.value.code, raised.value.data["missing_micro"]) == (402, "payment_required", 7)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"code": 5, "data": []}', b"x" * 100_000])
async def test_a_malformed_refusal_is_still_a_refusal(serve: Serve, transport: Transport, body: bytes) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=500, body=body)

    with pytest.raises(NodeRefused) as raised:
        await transport.node(*await serve(handler)).get("/v1/x")
    assert raised.value.status == 500
    assert len(raised.value.message) < 1000


async def test_redirects_are_not_followed(serve: Serve, transport: Transport) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("https://127.0.0.1:1/elsewhere")

    with pytest.raises(NodeRefused):
        await transport.node(*await serve(handler)).get("/v1/x")


async def test_silence_is_unreachable(serve: Serve, transport: Transport) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    with pytest.raises(NodeUnreachable):
        await transport.node(*await serve(handler)).get("/v1/x")


async def test_nobody_listening_is_unreachable(transport: Transport) -> None:
    with pytest.raises(NodeUnreachable) as caught:
        await transport.node("https://127.0.0.1:1", bytes(32)).get("/v1/x")
    assert "object at 0x" not in caught.value.message


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_answer_is_bounded(serve: Serve, transport: Transport, chunked: bool) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if not chunked:
            response.content_length = ANSWER_MAX + 1
        await response.prepare(request)
        for _ in range(ANSWER_MAX // 2**20 + 1):
            await response.write(bytes(2**20))
        return response

    with pytest.raises(NodeError):
        await transport.node(*await serve(handler)).get("/v1/x")


async def test_a_truncated_answer_is_an_error(serve: Serve, transport: Transport) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 1000
        await response.prepare(request)
        await response.write(b"x" * 10)
        assert request.transport is not None
        request.transport.close()
        return response

    with pytest.raises(NodeUnreachable):
        await transport.node(*await serve(handler)).get("/v1/x")


async def test_an_endpoint_without_tls_is_refused(transport: Transport) -> None:
    for endpoint in ("http://127.0.0.1:1", "ftp://x", "nonsense"):
        with pytest.raises(NodeError):
            transport.node(endpoint, bytes(32))


async def test_a_body_is_sent_as_it_is(serve: Serve, transport: Transport) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        return web.json_response({"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()})

    async def blocks() -> AsyncIterator[memoryview]:
        for i in range(3):
            yield memoryview(bytes([i]) * 2**20)

    node = transport.node(*await serve(handler))
    expected = hashlib.sha256(b"".join(bytes([i]) * 2**20 for i in range(3))).hexdigest()
    assert await node.put("/v1/x", 3 * 2**20, blocks(), {}) == {"bytes": 3 * 2**20, "sha256": expected}
