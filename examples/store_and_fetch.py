"""Store a file and fetch it back: python examples/store_and_fetch.py FILE

BLACKHOLE_NETWORK and BLACKHOLE_KEY_FILE say where and who (`blackhole devnet up --detach` prints both).
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from blackhole.client import Blackhole
from blackhole.units import format_tokens


def main(path: Path) -> None:
    with Blackhole() as blackhole:
        storage = blackhole.storage
        quote = storage.quote(path, profile="dev")
        chosen = [row.node for row in quote.nodes if row.shard is not None]
        print(f"{quote.size} bytes on nodes {chosen} for {format_tokens(quote.total)} HOLE")

        stored = storage.put(path, profile="dev", max_price=quote.total)
        print(f"stored until period {stored.end}; cap {stored.cap}")

        with tempfile.TemporaryDirectory() as folder:
            fetched = storage.get(stored.cap, Path(folder) / "back")
            back = hashlib.sha256((Path(folder) / "back").read_bytes()).hexdigest()
        assert back == hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"read {fetched.size} bytes for {fetched.spent_micro} micro-HOLE; sha256 {back}")

        status = storage.status(stored.cap)
        print(f"{status.state}: {status.healthy} of {status.shards} shards, {status.needed} suffice")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
