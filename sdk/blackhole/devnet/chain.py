"""The devnet's own chain: anvil with a clock that is only ever moved forward.

Blocks come by themselves, one every `BLOCK_MILLISECONDS` of wall time, each one second of chain time after the last
(docs/adr/devnet-clock.md). Nothing here sends a transaction.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import time
import urllib.request
from pathlib import Path

from blackhole.devnet.processes import ProcessTable
from blackhole.errors import DevnetError
from blackhole.protocol import BLOCK_MILLISECONDS

NAME = "chain"
CHAIN_ID = 31_337
GAS_LIMIT = 60_000_000
"""Gas a block holds: that of today's public chains."""


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def find_anvil() -> str:
    """Path of anvil: on PATH, else the one `make setup` installed beside this package's checkout."""
    found = shutil.which("anvil")
    local = Path(__file__).resolve().parents[3] / "node_modules" / ".bin" / "anvil"
    if found is None and local.exists():
        found = str(local)
    if found is None:
        hint = "In a clone of the project: make setup. Elsewhere install foundry, or name a chain of yours with --rpc."
        raise DevnetError("anvil, the chain of a devnet, is not installed.", hint=hint)
    return found


class DevnetChain:
    """JSON-RPC calls only a test chain has: the clock and free money. Synchronous: each takes a millisecond."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, *parameters: object, timeout: float = 30) -> object:
        """One JSON-RPC call. Raises DevnetError with the chain's own message."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                answer = json.load(response)
        except OSError as error:
            raise DevnetError(f"The chain at {self.url} does not answer: {error}", hint="blackhole doctor") from error
        if "error" in answer:
            raise DevnetError(f"{method}: {answer['error'].get('message', answer['error'])}")
        return answer["result"]

    def head(self) -> tuple[int, int]:
        """Number and timestamp (s) of the latest block."""
        block = self.call("eth_getBlockByNumber", "latest", False)
        assert isinstance(block, dict)
        return int(block["number"], 16), int(block["timestamp"], 16)

    def jump(self, timestamp: int) -> None:
        """Give the next block this timestamp (s). Raises DevnetError when it lies in the past."""
        self.call("evm_setNextBlockTimestamp", timestamp)

    def set_balance(self, address: str, wei: int) -> None:
        """Set an account's gas money, in wei of the chain's coin."""
        self.call("anvil_setBalance", address, hex(wei))

    def balance(self, address: str) -> int:
        """An account's gas money, in wei."""
        return int(str(self.call("eth_getBalance", address, "latest")), 16)


def start_chain(table: ProcessTable, folder: Path, log: Path, *, timeout: float = 60) -> DevnetChain:
    """Start anvil on a free port of this machine and wait until it answers.

    Raises:
        DevnetError: anvil is missing, ended, or did not answer within `timeout` seconds; with the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [find_anvil(), "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(CHAIN_ID), "--quiet"]
    command += ["--block-time", str(BLOCK_MILLISECONDS / 1000), "--slots-in-an-epoch", "1"]
    command += ["--gas-limit", str(GAS_LIMIT), "--enable-tx-gas-limit", "--accounts", "1", "--balance", "0"]
    command += ["--cache-path", str(folder)]
    # anvil keeps files in its user's home otherwise.
    environment = {**os.environ, "HOME": str(folder)}
    table.start(NAME, command, log, environment=environment, folder=folder)
    chain = DevnetChain(f"http://127.0.0.1:{port}")
    until = time.monotonic() + timeout
    while True:
        try:
            chain.call("eth_chainId", timeout=1)
            break
        except DevnetError as error:
            code = table.exit_code(NAME)
            if code is not None or time.monotonic() > until:
                why = f"ended with code {code}" if code is not None else f"did not answer within {timeout:.0f} s"
                raise DevnetError(f"The chain {why}: {tail(log)}", hint=f"See {log}.") from error
            time.sleep(0.01)
    chain.call("anvil_setBlockTimestampInterval", 1)
    return chain


def tail(log: Path, lines: int = 5) -> str:
    """The last lines of a log, for a message."""
    try:
        return " | ".join(log.read_text(errors="replace").strip().splitlines()[-lines:]) or "its log is empty"
    except OSError:
        return "it left no log"


def supported() -> bool:
    """True where a devnet can run: it finds its processes through /proc."""
    return sys.platform == "linux"
