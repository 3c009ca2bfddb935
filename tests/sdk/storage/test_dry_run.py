"""--dry-run: every command says what it would do, and nothing is sent, signed away or written."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from blackhole.cli.app import GROUPS, LazyGroup, run
from blackhole.devnet.handle import Devnet
from blackhole.errors import UsageError
from blackhole.face import portal
from blackhole.units import Tokens
from storage_accounts import Account

READING = {"account list", "account show", "escrow show", "storage cid", "storage quote", "storage ls"}
READING |= {"storage status", "node status", "devnet status", "doctor"}
"""Commands that change nothing anyway: they answer as ever."""


def every_command() -> set[str]:
    """All commands there are, as they are typed."""
    found = set()
    for name in GROUPS:
        group = LazyGroup().get_command(None, name)
        found |= {f"{name} {command}" for command in group.commands} or {name}
    return found


def files(*folders: Path) -> dict[str, str]:
    """Every file below, by content; what was read from nodes may be kept."""
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "manifests" not in path.parts and path.suffix != ".lock":
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.mark.timeout(180)
def test_no_command_does_anything_under_dry_run(
    network: Devnet,
    account: Callable[..., Account],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    payer = account(hole="50", wallet="200")
    client, owner = payer.client, payer.client.connection.account
    file = tmp_path / "film.mp4"
    file.write_bytes(os.urandom(300_000))
    client.storage.put(file, profile="dev", periods=60)
    client.storage.get("film.mp4", tmp_path / "read.mp4")
    (tmp_path / "cap").write_text(client.storage.ls()[0].cap)
    order = client.storage.repair_order("film.mp4", budget=Tokens("1"))
    (tmp_path / "order.json").write_text(json.dumps(order.to_json()))
    payer.release()

    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")
    for name, value in {**payer.environment, "BLACKHOLE_PASSPHRASE_FILE": str(passphrase)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BLACKHOLE_DEVNET", str(network.folder.path))
    monkeypatch.chdir(tmp_path)
    node = str(tmp_path / "node")
    assert run(["node", "init", node, "--endpoint", "https://node.example:4480"]) == 0
    assert run(["node", "register", node]) == 0
    assert run(["--yes", "node", "bond", "100", node]) == 0
    other = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    lines = {
        "account new": ["laptop"],
        "account import": ["laptop", "--keystore", f"{node}/keystore.json"],
        "account list": [],
        "account show": [],
        "account send": [other, "1"],
        "escrow show": [],
        "escrow deposit": ["1"],
        "escrow withdraw": ["1", "--to", other],
        "escrow allow": ["1"],
        "escrow lanes": ["--thaw", "--reclaim"],
        "storage cid": ["film.mp4"],
        "storage quote": ["film.mp4"],
        "storage put": ["film.mp4"],
        "storage get": ["@cap", "-o", "back.mp4"],
        "storage ls": [],
        "storage status": ["film.mp4"],
        "storage renew": ["film.mp4"],
        "storage repair": ["film.mp4", "--silent"],
        "storage repair order": ["--order", "order.json"],
        "storage repair give": ["film.mp4", "--give", "new.json"],
        "storage remove": ["film.mp4"],
        "node init": [str(tmp_path / "second")],
        "node register": [node, "--payee", other],
        "node offer": [node, "--price", "0.5", "--capacity", "7"],
        "node bond": ["1", node],
        "node run": [node],
        "node status": [node],
        "node drain": [node],
        "node exit": [node],
        "node withdraw": [node],
        "devnet up": ["--nodes", "1"],
        "devnet status": [],
        "devnet down": [],
        "devnet faucet": [other],
        "devnet advance": ["2"],
        "devnet kill": ["1"],
        "devnet start": ["1"],
        "doctor": [],
    }
    assert {" ".join(name.split()[:2]) for name in lines} == every_command()

    def state() -> tuple[object, ...]:
        chain, hub = client.chain, client.connection.hub
        asked = portal().run
        return (
            files(tmp_path),
            asked(chain.transaction_count(owner)),
            asked(chain.read(hub.balance_of(owner))),
            client.tokens.balance(other),
            sorted(network.processes()),
        )

    before = state()
    capsys.readouterr()
    for name, arguments in lines.items():
        command = name.split()[:2]
        code = run([*command, *arguments, "--dry-run", "--json"])
        said, complained = capsys.readouterr()
        answer = json.loads(said)  # one object and nothing else
        assert state() == before, name
        if name == "node withdraw":  # it says what sending would: nothing is on its way out
            assert (code, answer["error"]["message"]) == (2, "No stake is on its way out."), answer
            continue
        assert code in ({0, 7} if name == "node status" else {0}), (name, answer, complained)
        assert complained == "", name
        assert answer.get("dry_run", False) is (name not in READING), (name, answer)


def test_what_would_have_to_pay_to_know_says_so(account: Callable[..., Account], tmp_path: Path) -> None:
    payer, reader = account(), account(hole="1", allowed="0")
    stored = payer.client.storage.put(os.urandom(9000), profile="dev", periods=20, name="small")
    reader.client.chain.read_only = True
    with pytest.raises(UsageError, match="nothing is to be sent"):
        reader.client.storage.get(stored.cap)
    with pytest.raises(UsageError, match="nothing is to be sent"):
        reader.client.escrow.deposit(1)


def test_a_cap_need_not_stand_on_the_command_line(account: Callable[..., Account], tmp_path: Path) -> None:
    payer = account()
    data = os.urandom(9000)
    stored = payer.client.storage.put(data, profile="dev", periods=20, name="small")
    payer.release()
    command = [sys.executable, "-m", "blackhole.cli.app", "storage", "get", "@-", "-o", "-"]
    done = subprocess.run(
        command, env=payer.environment, input=stored.cap.encode() + b"\n", capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, data), done.stderr
    missing = subprocess.run([*command[:5], "@nowhere"], env=payer.environment, capture_output=True, check=False)
    assert missing.returncode == 2
    assert b"There is no cap in nowhere" in missing.stderr
