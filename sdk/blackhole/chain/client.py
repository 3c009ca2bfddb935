"""`Chain`: executes the values the bindings make. Plain `async`; both faces of the SDK sit above it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

from blackhole.chain.reverts import revert_data, reverted
from blackhole.chain.rpc import Rpc, RpcError
from blackhole.chain.values import Address, Block, Call, Event, Log, Logged, Receipt, Tx
from blackhole.errors import ChainError, UsageError
from blackhole.paths import Home

if TYPE_CHECKING:
    from blackhole.chain.signers import Signer
    from blackhole.chain.transactions.writer import Writer

T = TypeVar("T")
E = TypeVar("E", bound=Event)
At: TypeAlias = "int | Literal['latest', 'finalized', 'pending']"
Wait: TypeAlias = "Literal['latest', 'finalized']"

_FINALITY_FALLBACK = 64


def block_tag(at: At) -> str:
    return hex(at) if isinstance(at, int) else at


class Chain:
    """One chain behind one `Rpc`. `home` holds the journals of sent transactions (default: the user's)."""

    def __init__(self, rpc: Rpc, chain_id: int | None = None, *, home: Home | None = None) -> None:
        if chain_id is not None:
            rpc.chain_id = chain_id
        self.rpc = rpc
        self.home = home or Home.locate()
        self.read_only = False
        """Set it and whatever would send is refused with `UsageError`, before it is simulated or signed."""
        self._writers: list[Writer] = []
        self._genesis: bytes | None = None

    async def chain_id(self) -> int:
        """The chain's id; asked for when it was not given."""
        if self.rpc.chain_id is None:
            self.rpc.chain_id = int(await self.rpc.request("eth_chainId"), 16)
        return self.rpc.chain_id

    async def genesis(self) -> bytes:
        """The hash of block 0: what tells two private chains with one id apart."""
        if self._genesis is None:
            block = await self.rpc.request("eth_getBlockByNumber", "0x0", False)
            self._genesis = bytes.fromhex(block["hash"][2:]) if block else bytes(32)
        return self._genesis

    async def read(self, call: Call[T], *, at: At = "latest") -> T:
        """Execute a read. Reads awaited together travel together.

        Raises `Reverted`; `ChainError` when there is no contract at the address.
        """
        try:
            result = await self.rpc.request("eth_call", {"to": call.to, "data": "0x" + call.data.hex()}, block_tag(at))
        except RpcError as error:
            if (data := revert_data(error)) is not None:
                raise reverted(data, call.name, text=error.text) from error
            raise
        if not result or result == "0x":
            await self._require_code(call.to, call.name, at)
        return call.decode(bytes.fromhex((result or "0x")[2:]))

    async def read_many(self, calls: Iterable[Call[T]], *, at: At = "latest") -> list[T]:
        """Execute reads in as few requests as possible; results in order."""
        return list(await asyncio.gather(*(self.read(call, at=at) for call in calls)))

    async def simulate(self, tx: Tx[T], sender: Address, *, at: At = "latest") -> T:
        """What the transaction would return if `sender` sent it now. Raises `Reverted` with the decoded custom
        error."""
        request = {"from": sender, "data": "0x" + tx.data.hex(), "value": hex(tx.value)}
        if tx.to is not None:
            request["to"] = tx.to
        try:
            result = await self.rpc.request("eth_call", request, block_tag(at))
        except RpcError as error:
            if (data := revert_data(error)) is not None:
                raise reverted(data, tx.name, text=error.text) from error
            raise
        raw = bytes.fromhex(result[2:])
        return tx.decode(raw) if tx.decode is not None else cast(T, None)

    async def estimate(self, tx: Tx[Any], sender: Address, *, at: At = "latest") -> int:
        """Gas the transaction would take. Raises `Reverted`."""
        request = {"from": sender, "data": "0x" + tx.data.hex(), "value": hex(tx.value)}
        if tx.to is not None:
            request["to"] = tx.to
        try:
            return int(await self.rpc.request("eth_estimateGas", request, block_tag(at)), 16)
        except RpcError as error:
            if (data := revert_data(error)) is not None:
                raise reverted(data, tx.name, text=error.text) from error
            raise

    async def send(
        self,
        tx: Tx[Any],
        signer: Signer,
        *,
        wait: Wait = "latest",
        gas: int | None = None,
        intent: str | None = None,
        timeout: float | None = None,
    ) -> Receipt:
        """Simulate, sign, journal, send, wait for the receipt. See `Writer.send_many` for `intent` and the errors."""
        return (await self.send_many([tx], signer, wait=wait, gas=gas, intents=[intent], timeout=timeout))[0]

    async def send_many(
        self,
        transactions: Sequence[Tx[Any]],
        signer: Signer,
        *,
        wait: Wait = "latest",
        gas: int | None = None,
        intents: Sequence[str | None] | None = None,
        timeout: float | None = None,
    ) -> list[Receipt]:
        """Send transactions in this order without waiting for each; a later one may rely on an earlier one."""
        writer = await self.writer(signer)
        return await writer.send_many(transactions, wait=wait, gas=gas, intents=intents, timeout=timeout)

    async def writer(self, signer: Signer) -> Writer:
        """The one writer of that key on this chain. Opening it takes up what a crash left: the same bytes go out
        again.

        Raises `KeyInUse` when another process, or another connection of this one, sends with the key; `UsageError` when
        the chain is `read_only`.
        """
        from blackhole.chain.transactions.writer import Writer

        self._leave_to_the_parent()
        self.require_writing()
        for writer in self._writers:
            if writer.address == signer.address and writer.here():
                return writer
        writer = await Writer.open(self, signer)
        if writer in self._writers:
            # Another task of this connection opened it meanwhile.
            await writer.release()
        else:
            self._writers.append(writer)
        return writer

    def require_writing(self) -> None:
        """Raise `UsageError` when the chain is `read_only`; for what spends without a transaction, as vouchers do."""
        if self.read_only:
            raise UsageError(
                "This would spend something, and nothing is to be sent.", hint="Run it again without --dry-run."
            )

    async def recover(self, signer: Signer) -> int:
        """Take up what an earlier run signed and did not see mined, wait for it, and return how many there were.

        For programs that look at the chain to decide what is still to be sent. Raises as `send` does, but for
        `Reverted`.
        """
        return await (await self.writer(signer)).arrive()

    async def block(self, at: At = "latest") -> Block:
        """The head of a block. Raises `ChainError` when the chain does not have it."""
        if at == "finalized":
            return await self._finalized()
        raw = await self.rpc.request("eth_getBlockByNumber", block_tag(at), False)
        if raw is None:
            raise ChainError(f"the chain has no block {at}")
        return _block(raw)

    async def _finalized(self) -> Block:
        try:
            raw = await self.rpc.request("eth_getBlockByNumber", "finalized", False)
        except RpcError:
            raw = None
        if raw is None:
            # A chain without the tag: take the depth nobody has seen a public chain go back.
            latest = await self.block("latest")
            return await self.block(max(latest.number - _FINALITY_FALLBACK, 0))
        return _block(raw)

    async def balance(self, account: Address, *, at: At = "latest") -> int:
        """wei of the chain's own coin."""
        return int(await self.rpc.request("eth_getBalance", account, block_tag(at)), 16)

    async def code(self, account: Address, *, at: At = "latest") -> bytes:
        """The code at an address; empty where no contract is."""
        return bytes.fromhex((await self.rpc.request("eth_getCode", account, block_tag(at)))[2:])

    async def transaction_count(self, account: Address, *, at: At = "latest") -> int:
        """The next nonce of an account."""
        return int(await self.rpc.request("eth_getTransactionCount", account, block_tag(at)), 16)

    async def logs(
        self,
        addresses: Address | Sequence[Address] | None,
        topics: Sequence[bytes | Sequence[bytes] | None],
        from_block: int,
        to_block: int,
    ) -> list[Log]:
        """Raw logs of a range of blocks, both ends included, in order; long ranges are cut as the endpoint needs
        it."""
        from blackhole.chain.events import read_logs

        return await read_logs(self.rpc, addresses, topics, from_block, to_block)

    async def events(
        self,
        addresses: Address | Sequence[Address] | None,
        kinds: Sequence[type[E]],
        from_block: int,
        to_block: At = "latest",
    ) -> list[Logged[E]]:
        """Typed events of a range of blocks, both ends included, in order."""
        from blackhole.chain.events import decode_log

        last = to_block if isinstance(to_block, int) else (await self.block(to_block)).number
        found = await self.logs(addresses, [[kind.TOPIC for kind in kinds]], from_block, last)
        typed = ((log, decode_log(log)) for log in found)
        wanted = tuple(kinds)
        return [Logged(event, log) for log, event in typed if isinstance(event, wanted)]

    async def _require_code(self, account: Address, name: str, at: At) -> None:
        if not await self.code(account, at=at):
            raise ChainError(
                f"there is no contract at {account} ({name})",
                hint="The network file is of another chain, or the chain was started anew.",
                data={"address": account},
            )

    def _leave_to_the_parent(self) -> None:
        # In a forked child: the parent's writers go on in the parent.
        self._writers = [writer for writer in self._writers if not writer.foreign()]

    async def close(self) -> None:
        """Give keys and connections back. Transactions on their way stay journalled."""
        self._leave_to_the_parent()
        writers, self._writers = self._writers, []
        for writer in writers:
            await writer.release()
        await self.rpc.close()


def _block(raw: dict[str, Any]) -> Block:
    return Block(
        int(raw["number"], 16),
        int(raw["timestamp"], 16),
        bytes.fromhex(raw["hash"][2:]),
        bytes.fromhex(raw["parentHash"][2:]),
        int(raw.get("baseFeePerGas") or "0x0", 16),
    )
