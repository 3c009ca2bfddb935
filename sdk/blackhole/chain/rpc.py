"""JSON-RPC over several endpoints: requests of one loop tick leave as one batch, failures go to the next endpoint.

What an endpoint has to pass before its answer counts: it serves the right chain (asked once), and its head is not
behind the highest block this process had seen when the request left (asked with every batch; a load balancer may hide
nodes that lag).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from blackhole.chain.transport import BatchRefused, Request, Response, Transport, as_transport
from blackhole.errors import ChainError, EndpointBehind, RpcRefused, RpcUnavailable, WrongChain

BATCH_MAX: Final = 100
PATIENCE: Final = 12.0
"""Seconds of trying all endpoints before giving up."""
_BACKOFF_FIRST: Final = 0.05
_BACKOFF_MAX: Final = 4.0
_OVERLOADED: Final = frozenset({-32005, -32016, 429})
"""Error codes that mean "later" or "elsewhere", not "no"."""


class RpcError(RpcRefused):
    """What an endpoint answered instead of a result; `error` is its object."""

    code = "rpc_error"

    def __init__(self, endpoint: str, method: str, error: dict[str, Any]) -> None:
        self.number = int(error.get("code") or 0)
        self.text = str(error.get("message", ""))
        self.detail = error.get("data")
        super().__init__(f"{endpoint} refused {method}: {self.text}", data={"number": self.number, "method": method})


@dataclass
class _Endpoint:
    transport: Transport
    checked: bool = False
    batch_max: int = BATCH_MAX
    failures: int = 0
    blocked_until: float = 0.0

    def failed(self) -> None:
        self.failures += 1
        pause = min(_BACKOFF_FIRST * 2 ** (self.failures - 1), _BACKOFF_MAX)
        # Full jitter: clients that failed together do not come back together.
        self.blocked_until = time.monotonic() + pause * (0.5 + random.random() / 2)

    def succeeded(self) -> None:
        self.failures = 0
        self.blocked_until = 0.0


@dataclass
class _Pending:
    method: str
    parameters: Sequence[Any]
    future: asyncio.Future[Any]


@dataclass
class _Queue:
    pending: list[_Pending] = field(default_factory=list)
    armed: bool = False
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class Rpc:
    """`endpoints`: URLs, web3 providers or `Web3` objects, best first. `chain_id`: what every one of them must
    serve."""

    def __init__(
        self, endpoints: Iterable[object] | object, chain_id: int | None = None, *, patience: float = PATIENCE
    ) -> None:
        if isinstance(endpoints, str) or not isinstance(endpoints, Iterable):
            endpoints = [endpoints]
        self._endpoints = [_Endpoint(as_transport(each)) for each in endpoints]
        if not self._endpoints:
            raise RpcUnavailable("no endpoint is named", hint="Name one under `rpc` in network.json.")
        self.chain_id = chain_id
        self.patience = patience
        self.highest = 0
        """The highest block any endpoint has shown."""
        self._queues: dict[asyncio.AbstractEventLoop, _Queue] = {}

    @property
    def requests(self) -> int:
        """HTTP requests made so far: what coalescing saves."""
        return sum(endpoint.transport.requests for endpoint in self._endpoints)

    def saw_block(self, number: int) -> None:
        """Remember that this block exists: endpoints that do not have it yet are refused from now on."""
        self.highest = max(self.highest, number)

    def forget_blocks(self) -> None:
        """Accept a lower head again: for chains whose owner turns them back, as `anvil_revert` does."""
        self.highest = 0

    async def request(self, method: str, *parameters: Any) -> Any:
        """One request; those awaited in the same loop tick share a batch.

        Raises `RpcError` (the endpoint's own refusal), `RpcUnavailable`, `WrongChain`, `EndpointBehind`.
        """
        loop = asyncio.get_running_loop()
        queue = self._queues.get(loop)
        if queue is None:
            for closed in [each for each in self._queues if each.is_closed()]:
                del self._queues[closed]
            queue = self._queues[loop] = _Queue()
        pending = _Pending(method, parameters, loop.create_future())
        queue.pending.append(pending)
        if not queue.armed:
            queue.armed = True
            loop.call_soon(self._flush, queue)
        return await pending.future

    def _flush(self, queue: _Queue) -> None:
        batch, queue.pending, queue.armed = queue.pending, [], False
        for start in range(0, len(batch), BATCH_MAX):
            task = asyncio.get_running_loop().create_task(self._serve(batch[start : start + BATCH_MAX]))
            queue.tasks.add(task)
            task.add_done_callback(queue.tasks.discard)

    async def _serve(self, batch: list[_Pending]) -> None:
        """Answer every future of the batch, with a result or an error."""
        try:
            await self._try_endpoints(batch)
        except asyncio.CancelledError:
            for pending in batch:
                pending.future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - handed to whoever awaits
            for pending in batch:
                if not pending.future.done():
                    pending.future.set_exception(error)

    async def _try_endpoints(self, batch: list[_Pending]) -> None:
        deadline = time.monotonic() + self.patience
        last: ChainError | None = None
        while batch := [pending for pending in batch if not pending.future.done()]:
            endpoint = self._choose()
            if (wait := endpoint.blocked_until - time.monotonic()) > 0:
                if time.monotonic() + wait > deadline:
                    raise last or RpcUnavailable("no endpoint answers")
                await asyncio.sleep(wait)
            try:
                await self._check_chain(endpoint)
                await self._send_all(endpoint, batch)
                endpoint.succeeded()
            except WrongChain as error:
                last = error
                self._endpoints = [each for each in self._endpoints if each is not endpoint]
                if not self._endpoints:
                    self._endpoints = [endpoint]
                    raise
            except (RpcUnavailable, EndpointBehind) as error:
                last = error
                endpoint.failed()
                if time.monotonic() > deadline:
                    raise

    def _choose(self) -> _Endpoint:
        """The first one that is not waiting; else the one whose wait ends first."""
        now = time.monotonic()
        for endpoint in self._endpoints:
            if endpoint.blocked_until <= now:
                return endpoint
        return min(self._endpoints, key=lambda each: each.blocked_until)

    async def _check_chain(self, endpoint: _Endpoint) -> None:
        if endpoint.checked:
            return
        response = (await endpoint.transport.send([("eth_chainId", [])]))[0]
        try:
            found = int((response or {})["result"], 16)
        except (KeyError, TypeError, ValueError):
            raise RpcUnavailable(f"{endpoint.transport.name} does not say which chain it serves") from None
        if self.chain_id is None:
            self.chain_id = found
        elif found != self.chain_id:
            raise WrongChain(
                f"{endpoint.transport.name} serves chain {found}, not {self.chain_id}",
                data={"endpoint": endpoint.transport.name, "found": found, "expected": self.chain_id},
            )
        endpoint.checked = True

    async def _send_all(self, endpoint: _Endpoint, batch: list[_Pending]) -> None:
        """All requests of the batch at this endpoint, in pieces it accepts."""
        position = 0
        while position < len(batch):
            part = batch[position : position + endpoint.batch_max]
            requests: list[Request] = [(each.method, each.parameters) for each in part]
            head = next((i for i, each in enumerate(part) if each.method == "eth_blockNumber"), len(part))
            if head == len(part) and endpoint.batch_max > 1:
                requests.append(("eth_blockNumber", []))
            floor = self.highest  # as it leaves: answers of concurrent batches may overtake each other
            try:
                responses = await endpoint.transport.send(requests)
            except BatchRefused as refusal:
                if len(requests) == 1:
                    raise RpcUnavailable(str(refusal)) from refusal
                endpoint.batch_max = max(len(part) // 2, 1)
                continue
            self._check_head(endpoint, responses[head] if head < len(responses) else None, floor)
            self._deliver(endpoint, part, responses)
            position += len(part)

    def _check_head(self, endpoint: _Endpoint, response: Response | None, floor: int) -> None:
        if response is None or not isinstance(response.get("result"), str):
            return
        head = int(response["result"], 16)
        if head < floor:
            raise EndpointBehind(
                f"{endpoint.transport.name} is at block {head}, but block {floor} has been seen",
                data={"endpoint": endpoint.transport.name, "head": head, "seen": floor},
            )
        self.saw_block(head)

    def _deliver(self, endpoint: _Endpoint, part: list[_Pending], responses: list[Response | None]) -> None:
        later: str | None = None
        for pending, response in zip(part, responses, strict=False):
            if pending.future.done():
                continue
            if response is None:
                later = "left requests of a batch unanswered"
            elif (error := response.get("error")) is None:
                pending.future.set_result(response.get("result"))
            elif error.get("code") in _OVERLOADED:
                later = str(error.get("message", "overloaded"))
            else:
                pending.future.set_exception(RpcError(endpoint.transport.name, pending.method, error))
        if later is not None:
            raise RpcUnavailable(f"{endpoint.transport.name}: {later}")

    async def close(self) -> None:
        """Give the connections of the running loop back."""
        loop = asyncio.get_running_loop()
        if queue := self._queues.pop(loop, None):
            for task in list(queue.tasks):
                task.cancel()
        for endpoint in self._endpoints:
            await endpoint.transport.close()
