"""Pay per read: a publisher stores, a reader with an account of his own pays for exactly the bytes he takes.

    python examples/pay_per_read.py PUBLISHER_KEY_FILE READER_KEY_FILE

BLACKHOLE_NETWORK says where. The reader needs a little HOLE in the bank; the publisher hands him the cap, nothing else.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from blackhole.chain.signers import load_key_file
from blackhole.client import AsyncBlackhole
from blackhole.units import Tokens, format_tokens

MIB = 2**20


async def main(publisher_key: Path, reader_key: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncBlackhole(signer=load_key_file(publisher_key), home=Path(folder) / "publisher") as publisher:
            song = os.urandom(3 * MIB)
            stored = await publisher.storage.put(song, profile="dev", name="song")
            earned_before = await publisher.escrow.balance()

            async with AsyncBlackhole(signer=load_key_file(reader_key), home=Path(folder) / "reader") as reader:
                if await reader.escrow.balance() < Tokens("1"):
                    await reader.escrow.deposit(Tokens("1"))

                # The first 100 kB first: a row of blocks is the least that is read.
                taste = await reader.storage.get(stored.cap, start=0, length=100_000)
                assert taste.data == song[:100_000]
                print(f"a taste: {taste.spent_micro} micro-HOLE, lanes opened: {taste.lanes_opened}")

                whole = await reader.storage.get(stored.cap)
                assert whole.data == song
                print(f"the song: {whole.spent_micro} micro-HOLE, lanes opened: {whole.lanes_opened}")
                for node, count in sorted(whole.served.items()):
                    print(f"  node {node} served {count} bytes")
                for lane in await reader.escrow.lanes():
                    print(f"  lane {lane.id.lane} to {lane.id.payee}: {lane.deposit - lane.claimed} micro unclaimed")

            # Reading costs the publisher nothing: the reader's vouchers pay the nodes.
            assert await publisher.escrow.balance() == earned_before
            print(f"the publisher still has {format_tokens(earned_before)} HOLE in the bank")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
