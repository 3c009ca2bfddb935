"""What the demo refuses before it starts anything, and the number it names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from blackhole.devnet import settings
from blackhole.devnet.demo.plan import Plan
from blackhole.errors import DevnetError, InputError


def plan(**changes: object) -> Plan:
    values: dict[str, object] = {"file": None, "nodes": 18, "kill": 3, "profile": "dev", "json": None, "keep": False}
    return Plan(**{**values, **changes})  # type: ignore[arg-type]


def test_the_default_is_a_file_of_64_mib_on_18_nodes(tmp_path: Path) -> None:
    assert plan().refuse(tmp_path) == 64 * 2**20


def test_too_few_nodes_are_refused_with_the_number_needed(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        plan(nodes=15).refuse(tmp_path)
    assert caught.value.data == {"nodes_needed": 16}
    assert "NODES=16" in caught.value.hint
    assert plan(nodes=16).refuse(tmp_path)


def test_killing_more_than_the_profile_bears_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        plan(kill=5, nodes=40).refuse(tmp_path)
    assert caught.value.data == {"kill_max": 4}
    with pytest.raises(InputError, match="at least one"):
        plan(kill=0).refuse(tmp_path)


def test_an_unknown_profile_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        plan(profile="best").refuse(tmp_path)
    assert "dev" in caught.value.hint
    assert "std" in caught.value.hint


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe"])
def test_a_file_that_cannot_be_stored_is_refused(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "file"
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    with pytest.raises(InputError):
        plan(file=file).refuse(tmp_path)


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "empty"
    file.write_bytes(b"")
    assert plan(file=file).refuse(tmp_path) == 0


def test_too_little_disk_is_refused_with_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    with file.open("wb") as sparse:
        sparse.truncate(1 << 43)
    with pytest.raises(DevnetError) as caught:
        plan(file=file).refuse(tmp_path / "run" / "folder")
    needed = caught.value.data["needed_bytes"]
    assert isinstance(needed, int)
    assert needed > (1 << 43) * 10 // 3


def test_too_little_memory_is_refused_with_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "available_memory", lambda: 2**30)
    with pytest.raises(DevnetError) as caught:
        plan().refuse(tmp_path)
    assert caught.value.data == {"needed_bytes": 512 * 2**20 + 18 * 150 * 2**20, "free_bytes": 2**30}
