"""Copies of the piece lists of a payer's agreements with other nodes: what a node held is known also when it is gone.

    store/copies/<id>/<root>  the list of agreement <id> under its content root

Only what the chain confirms is taken: the list of a live agreement, under its present root, of a payer who has a deal
here. So nobody needs to sign for it, and it is bounded by what that payer has paid for elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from blackhole.chain.values import address
from blackhole.errors import IntegrityError
from blackhole.node.storage.chainwatch import ChainWatch
from blackhole.node.storage.refusal import Refusal
from blackhole.node.storage.state import State
from blackhole.paths import private_folder, write_private
from blackhole.storage.agreement_tree import PieceList

LIST_BYTES = 2 * 2**20
"""Longest list taken: about 50,000 pieces."""
TOTAL_BYTES = 256 * 2**20
"""All copies of a node."""
LIVE = (1, 2)
"""Status Open and Terminated of IStorageMarket."""
LOST = 4
"""Status Lost: closed after its node's tenth miss. Until its end the list says what is to be rebuilt."""


class ListCopies:
    """The copies of one node."""

    def __init__(self, folder: Path, watch: ChainWatch, state: State) -> None:
        self._folder = folder
        self._watch = watch
        self._state = state
        self._taking = asyncio.Lock()
        self._looked = -1

    async def take(self, agreement: bytes, data: bytes) -> None:
        """Keep the list of an agreement in the place of an older one. Raises Refusal 403, 422, 507."""
        try:
            pieces = PieceList.decode(data)
        except IntegrityError as error:
            raise Refusal(422, "wrong_list", f"{error.message}.", hint="Send the list both signed.") from error
        await self._watch.refresh()
        identity, market = int.from_bytes(agreement, "big"), self._watch.market
        now, lock = await asyncio.gather(
            self._watch.chain.read(market.agreement_of(identity)),
            self._watch.chain.read(self._watch.hub.lock_of(address(market.address), identity)),
        )
        payer = lock.payer.lower()
        # What is signed counts: right after a put no deal of its payer is final yet, and the copies come then.
        if not any(deal.payer == payer for deal in self._state.deals.values()):
            raise Refusal(403, "not_a_payer", "The agreement's payer has no deal here.", hint="Ask another node.")
        if now.status not in LIVE or not pieces.pieces or (pieces.root, pieces.leaves) != (bytes(now.root), now.leaves):
            raise Refusal(
                422, "wrong_root", "This is not the list of a live agreement under its present root.",
                hint="Read the agreement and its list again.",
            )  # fmt: skip
        async with self._taking:
            await asyncio.to_thread(self._write, agreement, pieces.root, data)

    async def find(self, agreement: bytes, root: bytes | None = None) -> bytes | None:
        """The copy of an agreement's list, under a content root if one is named; None if there is none."""
        return await asyncio.to_thread(self._read, agreement, root)

    async def step(self) -> None:
        """Once a period: drop the copies of agreements that are over."""
        period = self._watch.final_period
        if period == self._looked:
            return
        names = await asyncio.to_thread(self._names)
        calls = [self._watch.market.agreement_of(int(name, 16)) for name in names]
        for name, now in zip(names, await self._watch.chain.read_many(calls), strict=True):
            if now.status not in (*LIVE, LOST) or now.end <= period:
                async with self._taking:
                    await asyncio.to_thread(self._drop, self._folder / name)
        self._looked = period

    # ------------------------------------------------------------------------------------------ files, in threads

    def _names(self) -> list[str]:
        return [path.name for path in self._folder.glob("*")]

    def _write(self, agreement: bytes, root: bytes, data: bytes) -> None:
        folder = self._folder / agreement.hex()
        path = folder / root.hex()
        if path.exists():
            return
        if sum(each.stat().st_size for each in self._folder.glob("*/*")) + len(data) > TOTAL_BYTES:
            raise Refusal(507, "copies_full", "The node keeps no more copies of lists.", hint="Ask another node.")
        private_folder(self._folder)
        private_folder(folder)
        write_private(path, data)
        for old in folder.glob("*"):
            if old != path:
                old.unlink(missing_ok=True)

    def _read(self, agreement: bytes, root: bytes | None) -> bytes | None:
        folder = self._folder / agreement.hex()
        paths = [folder / root.hex()] if root is not None else list(folder.glob("[0-9a-f]*"))
        for path in paths:
            with contextlib.suppress(OSError):
                return path.read_bytes()
        return None

    def _drop(self, folder: Path) -> None:
        for path in folder.glob("*"):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()
