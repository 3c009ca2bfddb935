"""`blackhole doctor` names what is wrong and the command that mends it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from blackhole.chain.signers import create_keystore
from blackhole.devnet.handle import Devnet
from blackhole.devnet.settings import DevnetSettings
from blackhole.node.setup import init_folder

CHECKS = {
    "Python",
    "blackhole",
    "libraries",
    "anvil",
    "disk of home",
    "disk of devnet",
    "addresses 127.x.y.1",
    "port 4480",
}


def doctor(folder: Path, **variables: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Run it; exit code and findings by check."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BLACKHOLE")}
    environment |= {"BLACKHOLE_HOME": str(folder / "home"), **variables}
    command = [sys.executable, "-m", "blackhole.cli.app", "--json", "doctor"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False, cwd=folder
    )
    assert done.stdout, done.stderr
    return done.returncode, {row["check"]: row for row in json.loads(done.stdout)["findings"]}


def test_without_a_network_it_says_how_to_start_one(tmp_path: Path) -> None:
    code, found = doctor(tmp_path)
    assert code == 0
    assert set(found) >= CHECKS
    assert found["network"]["state"] == "warning"
    assert "devnet up" in found["network"]["mend"]


def test_a_taken_port_is_found(tmp_path: Path) -> None:
    with socket.socket() as taken:
        try:
            taken.bind(("0.0.0.0", 4480))
        except OSError:
            pytest.skip("port 4480 is in use on this machine already")
        taken.listen()
        _, found = doctor(tmp_path)
    assert found["port 4480"]["state"] == "warning"
    assert "4480" in found["port 4480"]["mend"]


def test_a_network_is_looked_at_in_full_and_a_dead_one_is_bad(tmp_path: Path) -> None:
    net = Devnet.up(DevnetSettings(nodes=0), tmp_path / "run")
    try:
        payer = {"BLACKHOLE_NETWORK": str(net.network), "BLACKHOLE_KEY_FILE": str(net.key_file("payer"))}
        code, found = doctor(tmp_path, **payer)
        assert code == 0, found
        for check in ("chain", "finality", "contracts", "account", "gas money", "HOLE", "in the bank"):
            assert found[check]["state"] == "ok", found[check]
            assert found[check]["mend"] == ""
        poor = {"BLACKHOLE_NETWORK": str(net.network), "BLACKHOLE_KEY": "0x" + "11" * 32}
        code, found = doctor(tmp_path, **poor)
        assert code == 0
        assert "faucet" in found["HOLE"]["mend"]
        assert "escrow deposit" in found["in the bank"]["mend"]
        # Without a key in the environment: first nothing, then the only account there is, as every command finds it.
        _, found = doctor(tmp_path, BLACKHOLE_NETWORK=str(net.network))
        assert found["account"]["mend"] == f"export BLACKHOLE_KEY_FILE={net.key_file('payer')}"
        signer = create_keystore(tmp_path / "home" / "keys" / "mine.json", "correct horse", light=True)
        _, found = doctor(tmp_path, BLACKHOLE_NETWORK=str(net.network))
        assert found["account"]["found"] == signer.address
        create_keystore(tmp_path / "home" / "keys" / "other.json", "correct horse", light=True)
        code, found = doctor(tmp_path, BLACKHOLE_NETWORK=str(net.network))
        assert (code, found["account"]["mend"]) == (3, "export BLACKHOLE_ACCOUNT=NAME")
        # A node of which nothing but its folder exists.
        init_folder(tmp_path / "node", {"api.endpoint": "https://node.example:4480", "node.network": str(net.network)})
        _, found = doctor(tmp_path, BLACKHOLE_NODE=str(tmp_path / "node"))
        assert found["node"]["mend"] == f"blackhole node register {tmp_path / 'node'}"
        assert found["disk of node"]["state"] == "ok"
        copy = tmp_path / "network.json"
        copy.write_bytes(net.network.read_bytes())
    finally:
        net.down()
    code, found = doctor(tmp_path, BLACKHOLE_NETWORK=str(copy))
    assert code == 3
    assert found["chain"]["state"] == "bad"
    assert "devnet up" in found["chain"]["mend"]


def test_a_key_that_cannot_be_read_is_bad_and_never_shown(tmp_path: Path) -> None:
    net = Devnet.up(DevnetSettings(nodes=0), tmp_path / "run")
    try:
        wrong = tmp_path / "wrong.key"
        wrong.write_text("feedface" * 7)
        code, found = doctor(tmp_path, BLACKHOLE_NETWORK=str(net.network), BLACKHOLE_KEY_FILE=str(wrong))
    finally:
        net.down()
    assert code == 3
    assert found["account"]["state"] == "bad"
    assert "feedface" not in json.dumps(found)
