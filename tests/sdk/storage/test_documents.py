"""README and quickstart, command by command as they stand there, typed at a terminal against a running network."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from blackhole.devnet.handle import Devnet
from sdk.terminal import ROOT, Terminal, documented
from storage_accounts import Account

pytestmark = pytest.mark.timeout(300)
SETUP = {"blackhole devnet up --nodes 12 --detach", "blackhole devnet down"}
"""What the fixture does instead."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the reader works: a folder with a film."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "holiday.mp4").write_bytes(os.urandom(400_001))
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def terminal(network: Devnet, account: Callable[..., Account]) -> Terminal:
    """The shell of an account with 400 HOLE."""
    payer = account(hole="200", wallet="200")
    payer.release()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = payer.environment | {"BLACKHOLE_DEVNET": str(network.folder.path), "PATH": path}
    return Terminal(environment, {r"\[y/N\] ": "y"})


def test_the_readme_by_hand(network: Devnet, terminal: Terminal, folder: Path) -> None:
    killed = False
    try:
        for line in documented("README.md", "By hand"):
            if line in SETUP:
                continue
            killed = killed or "devnet kill" in line
            screen = terminal.type(line, *((0, 3) if "status" in line else (0,)))
            if "repair" in line:
                assert re.search(r"restored 1 shard for|nothing is lost", screen), screen
        assert (folder / "back.mp4").read_bytes() == (folder / "holiday.mp4").read_bytes()
        assert terminal.type("blackhole storage status holiday.mp4").startswith("full")
    finally:
        if killed:
            network.start(3)


def test_the_developers_quickstart(terminal: Terminal, folder: Path) -> None:
    page = "docs/quickstart-developer.md"
    shown = ""
    for heading in ("A network to play with", "From the shell", "Keeping objects"):
        for line in documented(page, heading):
            if line not in SETUP:
                shown += terminal.type(line)
    assert (folder / "back.mp4").read_bytes() == (folder / "holiday.mp4").read_bytes()
    assert re.search(r"bh1[a-z2-7]{60,}", shown)
    assert "full: 10 of 10 shards" in shown
    assert "renewed 10 agreements" in shown
    assert "gave up 10 agreements" in shown

    (folder / "back.mp4").unlink()
    program = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    (folder / "program.py").write_text(program[0])
    assert "bh1" in terminal.type(f"{sys.executable} program.py")
    assert (folder / "back.mp4").read_bytes() == (folder / "holiday.mp4").read_bytes()
