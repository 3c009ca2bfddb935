"""A devnet comes up, is asked, and leaves nothing behind, however it ends. Chain and contracts only: that is quick."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from blackhole.devnet.handle import Devnet
from blackhole.devnet.settings import DevnetSettings
from blackhole.errors import DevnetError
from leftovers import left, wait

CLI = [sys.executable, "-m", "blackhole.cli.app"]


def cli(run: Path, *arguments: str, code: int = 0) -> dict[str, object]:
    environment = {**os.environ, "BLACKHOLE_DEVNET": str(run)}
    environment.pop("BLACKHOLE_NETWORK", None)
    done = subprocess.run(
        [*CLI, "--json", *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with Devnet.up(DevnetSettings(nodes=0, held=True), tmp_path_factory.mktemp("net") / "run") as devnet:
        yield devnet


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "run"
    yield folder
    Devnet(folder).down()


def test_it_says_how_it_is(net: Devnet) -> None:
    status = net.status()
    assert status["held"] is True
    assert status["nodes"] == []
    assert status["memory_bytes"] > 0
    assert Path(status["network"]).is_file()


def test_the_clock_is_advanced_and_jumped(net: Devnet) -> None:
    before = net.status()["period"]
    steps = net.advance(2)
    assert [step["period"] for step in steps] == [before + 1, before + 2]
    timestamp = net.jump(21 * 86_400)
    assert net.status()["timestamp"] >= timestamp
    with pytest.raises(DevnetError, match="only moves forward"):
        net.jump(-5)


def test_a_second_up_in_the_same_folder_is_refused(net: Devnet) -> None:
    with pytest.raises(DevnetError) as caught:
        Devnet.up(DevnetSettings(nodes=0), net.folder)
    assert "blackhole devnet down" in caught.value.hint
    assert net.running


def test_keys_and_folder_are_their_owners_alone(net: Devnet) -> None:
    assert net.folder.path.stat().st_mode & 0o077 == 0
    for file in net.folder.accounts.iterdir():
        assert file.stat().st_mode & 0o077 == 0
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left(net.folder.path)]
    key = net.key_file("payer").read_bytes().strip()
    assert commands
    assert not any(key in command for command in commands)


def test_another_folder_finds_it_by_the_selected_network(net: Devnet, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "BLACKHOLE_DEVNET"}
    for selected in (net.network, net.folder.path):
        environment["BLACKHOLE_NETWORK"] = str(selected)
        done = subprocess.run(
            [*CLI, "--json", "devnet", "status"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        assert json.loads(done.stdout)["network"] == str(net.network)


def test_an_unknown_node_is_an_error_with_a_next_step(net: Devnet) -> None:
    with pytest.raises(DevnetError, match="no node 7") as caught:
        net.kill(7)
    assert "status" in caught.value.hint


def test_the_command_line_brings_it_up_pays_and_takes_it_down(run: Path) -> None:
    up = cli(run, "devnet", "up", "--nodes", "0", "--detach")
    assert up["nodes"] == []
    address = "0x00000000000000000000000000000000000000AA"
    assert cli(run, "devnet", "faucet", address, "--hole", "2.5")["hole_wei"] == "2500000000000000000"
    steps = cli(run, "devnet", "advance", "2")["steps"]
    assert isinstance(steps, list)
    assert len(steps) == 2
    assert left(run)
    down = cli(run, "devnet", "down")
    assert down["ended"] == ["supervisor", "chain"]
    assert left(run) == []
    assert not run.exists()
    assert cli(run, "devnet", "down")["ended"] == []
    error = cli(run, "devnet", "status", code=6)["error"]
    assert isinstance(error, dict)
    assert error["code"] == "devnet"
    assert "devnet up" in error["hint"]


def test_down_ends_what_a_killed_supervisor_left(run: Path) -> None:
    net = Devnet.up(DevnetSettings(nodes=0), run)
    record = json.loads(net.folder.processes.read_text())["processes"][0]
    assert record["name"] == "supervisor"
    os.kill(record["pid"], signal.SIGKILL)
    wait(lambda: not net.running)
    assert left(run)
    with pytest.raises(DevnetError, match="already"):
        Devnet.up(DevnetSettings(nodes=0), run)
    with pytest.raises(DevnetError, match=r"supervisor of .* has died") as caught:
        net.status()
    assert "blackhole devnet down" in caught.value.hint
    assert net.down() == ["chain"]
    assert left(run) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ending_the_command_in_the_foreground_ends_everything(run: Path, number: signal.Signals) -> None:
    environment = {**os.environ, "BLACKHOLE_DEVNET": str(run)}
    command = subprocess.Popen(
        [*CLI, "devnet", "up", "--nodes", "0"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert command.stdout is not None
    wait(lambda: b"down" in command.stdout.readline())  # type: ignore[union-attr]
    command.send_signal(number)
    command.communicate(timeout=120)
    assert left(run) == []
    assert not run.exists()


def test_interrupting_the_start_leaves_nothing(run: Path) -> None:
    environment = {**os.environ, "BLACKHOLE_DEVNET": str(run)}
    command = subprocess.Popen([*CLI, "devnet", "up", "--nodes", "0"], env=environment, stderr=subprocess.PIPE)
    wait(lambda: len(left(run)) >= 2)
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=120)
    assert left(run) == []
    assert not run.exists()


def test_a_chain_that_ends_is_said_and_everything_else_ends(run: Path) -> None:
    net = Devnet.up(DevnetSettings(nodes=0), run)
    records = json.loads(net.folder.processes.read_text())["processes"]
    os.kill(next(record["pid"] for record in records if record["name"] == "chain"), signal.SIGKILL)
    wait(lambda: not net.running)
    assert net.state()["phase"] == "failed"
    assert "chain has ended" in net.state()["error"]["message"]
    assert left(run) == []


def test_a_folder_with_something_else_in_it_is_never_cleared(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "me.jpg").write_bytes(b"x")
    with pytest.raises(DevnetError, match="something else"):
        Devnet.up(DevnetSettings(nodes=0), folder)
    Devnet(folder).down()
    assert (folder / "me.jpg").exists()


def test_a_start_that_fails_says_why_and_leaves_its_logs(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = run.parent / "bin" / "anvil"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho cannot; exit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:/usr/bin:/bin")
    with pytest.raises(DevnetError, match="ended with code 3: cannot"):
        Devnet.up(DevnetSettings(nodes=0), run)
    assert left(run) == []
    assert (run / "logs" / "chain.log").exists()
