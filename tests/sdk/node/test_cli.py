"""`blackhole node`: an operator's way from an empty folder to the withdrawn bond, in a shell."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from blackhole.chain.signers import LocalSigner
from blackhole.node import config
from blackhole.node.folder import NodeFolder

from ..terminal import Terminal, documented
from .market import HOLE, Market, RunningNode, free_port, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass(frozen=True)
class Owner:
    """An account known by its address only."""

    address: str


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


async def test_an_operator_s_way_is_the_documented_one(market: Market, tmp_path: Path) -> None:
    """From nothing to the withdrawn bond with the commands of docs/running-a-node.md as they stand there, typed at a
    terminal: keys, registration, bond, a deal that is proven and paid, drain, exit, withdrawal."""
    (tmp_path / "network.json").write_bytes((market.folder / "network.json").read_bytes())
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BLACKHOLE")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**kept, "HOME": str(tmp_path), "PATH": path}
    terminal = Terminal(
        environment, {r"[Pp]assphrase.*: ": "correct horse", "Again: ": "correct horse", r"\[y/N\] ": "y"}
    )

    async def typed(line: str, *codes: int) -> str:
        return await asyncio.to_thread(terminal.type, line, *codes)

    begin = [line.replace("node.example:4480", f"127.0.0.1:{free_port()}") for line in begin_lines()]
    leave = documented("docs/running-a-node.md", "Leaving")
    words = [" ".join(line.split()[1:3]) for line in [*begin, *leave] if line.startswith("blackhole")]
    assert words == [
        "account new", "node init", "node register", "node bond", "node run", "node status", "doctor",
        "node drain", "node status", "node exit", "node withdraw", "escrow withdraw",
    ]  # fmt: skip
    lines = iter(begin)
    for _ in range(2):
        name, _, value = next(lines).removeprefix("export ").partition("=")
        terminal.environment[name] = value.replace("~", str(tmp_path))
    folder = NodeFolder(terminal.environment["BLACKHOLE_NODE"])

    owner, hot = [re.findall(r"0x[0-9a-fA-F]{40}", await typed(next(lines)))[0] for _ in range(2)]
    config.change(folder.config, {"chain.poll_seconds": 0.1, "chain.settle_periods": 1, "limits.free_disk_bytes": 0})
    await market.chain.send(market.token.transfer(owner, 2000 * HOLE), market.deployer)
    for address in (owner, hot):
        await market.rpc("anvil_setBalance", address, hex(10**19))
    number = int((await typed(next(lines))).split("node ")[1].split()[0])
    assert "1000 HOLE active" in await typed(next(lines))
    agent = terminal.start(next(lines))
    typing = asyncio.create_task(asyncio.to_thread(agent.answer_until, lambda: False, 240))
    node = RunningNode(market, folder, number, Owner(owner), Owner(hot), folder.path)  # type: ignore[arg-type]
    try:

        async def well() -> bool:
            offer = await market.chain.read(market.registry.offer_of(number, 1))
            return (offer.price, offer.capacity) == (HOLE // 50, 500)

        await until(well, seconds=40, why=lambda: agent.screen)
        status = next(lines)
        screen = await typed(status)
        assert "1000 HOLE: 0 HOLE reserved, 1000 HOLE free" in screen
        assert "!" not in screen
        assert "assphrase" not in screen + await typed("blackhole account show")  # what only reads needs no key
        assert "node " + str(number) + " is well" in await typed(next(lines))

        payer = await market.payer()
        _, terms, _ = await node.deal(payer, [os.urandom(2 * 2**20)], periods=2)
        await market.final()
        assert "1 agreement left" in await typed(leave[0])
        for period in range(terms.start, terms.end):
            await market.jump(period + 1 - await market.period())
            await node.proven(period)
        await market.jump()

        async def empty() -> bool:
            return (await market.chain.read(market.market.ledger_of(number))).count_ == 0

        await until(empty, seconds=40, why=lambda: agent.screen)
        screen = await typed(leave[1])
        assert "drains: no new deals" in screen
        assert "0.000 GiB in 0 agreements" in screen
    finally:
        agent.process.terminate()
        await typing
    assert agent.process.wait(5) == 0, agent.screen
    agent.close()

    assert "1000 HOLE may be withdrawn from" in await typed(leave[2])
    leaving = await market.chain.read(market.stakes.stake_of(number, 1))
    assert "It is too early" in await typed(leave[3], 2)
    await market.rpc("evm_setNextBlockTimestamp", leaving.exit_at + 1)

    async def due() -> bool:
        return (await market.chain.block()).timestamp > leaving.exit_at

    await until(due)
    assert "withdrew 1000 HOLE" in await typed(leave[3])
    income = await market.chain.read(market.hub.balance_of(owner))
    assert income > 0
    assert "0 HOLE left in the bank" in await typed(leave[4])
    assert await market.chain.read(market.token.balance_of(owner)) == 2000 * HOLE + income


def begin_lines() -> list[str]:
    """The commands of the first five minutes."""
    return documented("docs/running-a-node.md", "First five minutes")


async def test_price_and_capacity_change_from_the_shell_while_the_agent_runs(market: Market, tmp_path: Path) -> None:
    node = await market.node(tmp_path / "node")
    shell = Shell(market, tmp_path / "home", node.owner)
    folder = str(node.folder.path)
    await node.start()
    try:
        offered = await shell.run("offer", folder, "--price", "0.25", "--egress", "5")
        assert (offered["price_wei"], offered["agent_told"]) == (str(HOLE // 4), True)

        async def quoted() -> bool:
            body = {"payer": node.owner.address, "leaves": 2**20, "periods": 2}
            status, shown = await node.request("POST", "/v1/quotes", body=body)
            return status == 200 and shown["quote"]["rate"] == str(HOLE // 4)

        await until(quoted, why=node.tail)
        drained = await shell.run("drain", folder)
        assert (drained["agreements"], drained["agent_told"]) == (0, True)

        async def unlisted() -> bool:
            return (await market.chain.read(market.registry.offer_of(node.id, 1))).capacity == 0

        await until(unlisted, why=node.tail)
        # A new price while it drains is no offer of capacity.
        assert (await shell.run("offer", folder, "--price", "0.3"))["capacity_gib"] == 0

        async def taken() -> bool:
            return len(node.records("configuration taken")) == 3

        await until(taken, why=node.tail)
        await market.final()
        assert not node.records("duty failed")
        assert (await shell.run("offer", folder, "--capacity", "2"))["capacity_gib"] == 2
    finally:
        await node.stop()


async def test_commands_say_what_is_missing(market: Market, tmp_path: Path) -> None:
    owner = await market.account()
    await market.chain.send(market.token.transfer(owner.address, 500 * HOLE), market.deployer)
    shell = Shell(market, tmp_path / "home", owner)
    folder = str(tmp_path / "node")

    def said(answer: dict[str, Any]) -> str:
        return f"{answer['error']['message']} {answer['error']['hint']}"

    assert "node init" in said(await shell.run("status", str(tmp_path / "absent"), code=2))
    assert "https://host:port" in said(await shell.run("init", folder, "--endpoint", "node.example:4480", code=2))
    await shell.run("init", folder)
    assert "holds a node" in said(await shell.run("init", folder, code=2))
    assert "endpoint" in said(await shell.run("register", folder, code=2))
    config.change(NodeFolder(folder).config, {"api.endpoint": "https://127.0.0.1:1"})
    assert "node register" in said(await shell.run("bond", "1", folder, code=2))
    number = (await shell.run("register", folder))["node"]
    assert (await shell.run("register", folder))["node"] == number
    poor = await shell.run("bond", "501", folder, code=5)
    assert poor["error"]["data"]["missing"] == str(HOLE)
    assert "too little" in said(await shell.run("bond", "0", folder, code=2))
    assert "nothing to ask back" in said(await shell.run("exit", folder, code=2))
    assert "node exit" in said(await shell.run("withdraw", folder, code=2))

    alone = await shell.run("status", folder, code=7)
    mends = [alarm["mend"] for alarm in alone["alarms"]]
    assert mends[0] == f"blackhole node run {folder}"
    assert f"blackhole node bond 100 {folder}" in mends
    assert f"blackhole node offer {folder}" in mends
    assert any(mend.endswith(alone["chain"]["signer"]) for mend in mends)  # the hot key needs gas

    await shell.run("bond", "400", folder)
    leaving = await shell.run("exit", folder)
    assert leaving["exiting_wei"] == str(400 * HOLE)
    assert "on its way out" in said(await shell.run("exit", folder, code=2))
    early = await shell.run("withdraw", folder, code=2)
    assert early["error"]["data"]["exit_at"] == leaving["exit_at"]
