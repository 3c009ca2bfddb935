"""Accounts on the storage tests' network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from blackhole.chain.signers import load_key_file
from blackhole.client import Blackhole


@dataclass
class Account:
    """A funded account with a home of its own."""

    home: Path
    key_file: Path
    network: Path
    _client: Blackhole | None = None

    @property
    def client(self) -> Blackhole:
        """A client in this process; it holds the key until `release`."""
        if self._client is None:
            self._client = Blackhole(self.network, load_key_file(self.key_file), home=self.home)
        return self._client

    def release(self) -> None:
        """Let another process send with the key."""
        if self._client is not None:
            self._client.close()
            self._client = None

    @property
    def environment(self) -> dict[str, str]:
        """For the command line as this account."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BLACKHOLE_")}
        return kept | {
            "BLACKHOLE_HOME": str(self.home),
            "BLACKHOLE_KEY_FILE": str(self.key_file),
            "BLACKHOLE_NETWORK": str(self.network),
        }
