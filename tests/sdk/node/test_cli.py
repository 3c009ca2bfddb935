"""`blackhole node`: an operator's way from an empty folder to the withdrawn bond, in a shell."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from blackhole.chain.signers import LocalSigner
from blackhole.node.config import Config
from blackhole.node.folder import NodeFolder

from .market import HOLE, Market, RunningNode, free_port, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Shell:
    """A user's shell: his home, his key, his network."""

    def __init__(self, market: Market, home: Path, key: LocalSigner | None) -> None:
        self.environment = {
            **os.environ,
            "BLACKHOLE_HOME": str(home),
            "BLACKHOLE_NETWORK": str(market.folder),
            "BLACKHOLE_PASSPHRASE_FILE": str(home / "passphrase"),
        }
        home.mkdir()
        (home / "passphrase").write_text("correct horse\n")
        if key is not None:
            self.environment["BLACKHOLE_KEY"] = key._key.secret.hex()  # type: ignore[union-attr]

    async def run(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "blackhole.cli.app", "node", *arguments, "--json", "--yes",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=self.environment,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == code, (arguments, process.returncode, out, err)
        assert b"Traceback" not in err
        found: dict[str, Any] = json.loads(out)
        return found


async def test_an_operator_s_way(market: Market, tmp_path: Path) -> None:
    owner = await market.account()
    await market.chain.send(market.token.transfer(owner.address, 500 * HOLE), market.deployer)
    shell = Shell(market, tmp_path / "home", owner)
    folder = str(tmp_path / "node")
    port = free_port()
    listen = ["--listen", f"127.0.0.1:{port}", "--endpoint", f"https://127.0.0.1:{port}"]

    dry = await shell.run("init", folder, *listen, "--dry-run")
    assert dry["dry_run"] is True
    assert not Path(folder).exists()  # noqa: ASYNC240
    made = await shell.run("init", folder, *listen, "--price", "0.5", "--capacity", "3")
    again = await shell.run("init", folder, code=2)
    assert "holds a node" in again["error"]["message"]
    await market.rpc("anvil_setBalance", made["signer"], hex(10**19))

    early = await shell.run("bond", "1", folder, code=2)
    assert "node register" in early["error"]["hint"]
    registered = await shell.run("register", folder)
    number = registered["node"]
    assert (await shell.run("register", folder))["node"] == number
    node = await market.chain.read(market.registry.node_of(number))
    assert (node.owner, node.signer) == (owner.address, made["signer"])
    passphrase = tmp_path / "home" / "passphrase"
    passphrase.write_text("another horse\n")
    refused = await shell.run("run", folder, code=8)
    assert refused["error"]["code"] == "wrong_passphrase"
    passphrase.write_text("correct horse\n")
    poor = await shell.run("bond", "501", folder, code=5)
    assert poor["error"]["data"]["missing"] == str(HOLE)
    assert (await shell.run("bond", "99.5", folder))["active_wei"] == str(199 * HOLE // 2)
    stopped = await shell.run("status", folder, code=7)
    assert "no agent runs" in stopped["alarms"][0]
    assert any("blackhole node bond 0.5)" in alarm for alarm in stopped["alarms"])
    assert (await shell.run("bond", "300.5", folder))["active_wei"] == str(400 * HOLE)
    greedy = await shell.run("exit", folder, "--amount", "401", code=5)
    assert greedy["error"]["data"]["missing"] == str(HOLE)
    early = await shell.run("withdraw", folder, code=2)
    assert "blackhole node exit" in early["error"]["hint"]
    assert not any("too small" in alarm for alarm in (await shell.run("status", folder, code=7))["alarms"])
    opened = NodeFolder(folder)
    agent = RunningNode(market, opened, number, owner, owner, Path("/nowhere"))
    environment = {k: v for k, v in shell.environment.items() if k.startswith("BLACKHOLE") and k != "BLACKHOLE_KEY"}
    await agent.start(**environment, BLACKHOLE_KEY_FILE="")
    try:

        async def listed() -> bool:
            offer = await market.chain.read(market.registry.offer_of(number, 1))
            return (offer.price, offer.capacity) == (HOLE // 2, 3)

        await until(listed, why=agent.tail)
        seen = await shell.run("status", folder)
        assert (seen["alarms"], seen["chain"]["active_wei"]) == ([], str(400 * HOLE))
        assert seen["agent"]["plugins"]["storage"]["ok"] is True

        offered = await shell.run("offer", folder, "--price", "0.25", "--egress", "5")
        assert (offered["price_wei"], offered["agent_told"]) == (str(HOLE // 4), True)

        async def quoted() -> bool:
            body = {"payer": owner.address, "leaves": 2**20, "periods": 2}
            status, shown = await agent.request("POST", "/v1/quotes", body=body)
            return status == 200 and shown["quote"]["rate"] == str(HOLE // 4)

        await until(quoted, why=agent.tail)
        drained = await shell.run("drain", folder)
        assert (drained["agreements"], drained["agent_told"]) == (0, True)
        assert Config.load(opened.config).storage.accept is False

        async def unlisted() -> bool:
            return (await market.chain.read(market.registry.offer_of(number, 1))).capacity == 0

        await until(unlisted, why=agent.tail)
    finally:
        assert await agent.stop() == 0

    leaving = await shell.run("exit", folder)
    assert leaving["exiting_wei"] == str(400 * HOLE)
    soon = await shell.run("withdraw", folder, code=6)
    assert soon["error"]["data"]["error"] == "ExitPending"
    await market.rpc("evm_setNextBlockTimestamp", leaving["exit_at"] + 1)

    async def due() -> bool:
        return (await market.chain.block()).timestamp > leaving["exit_at"]

    await until(due)
    assert (await shell.run("withdraw", folder))["withdrawn_wei"] == str(400 * HOLE)
    assert await market.chain.read(market.token.balance_of(owner.address)) == 500 * HOLE


async def test_commands_say_what_is_missing(market: Market, tmp_path: Path) -> None:
    shell = Shell(market, tmp_path / "home", None)
    nothing = await shell.run("status", str(tmp_path / "absent"), code=2)
    assert "node init" in nothing["error"]["hint"]
    await shell.run("init", str(tmp_path / "node"))
    homeless = await shell.run("register", str(tmp_path / "node"), code=2)
    assert "endpoint" in homeless["error"]["message"]
