"""The list of own objects: readable by the account's key only, whole after a crash, short after many changes."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from blackhole.errors import SigningKeyError
from blackhole.storage.objects import ObjectEntry, ObjectList, Seal, local_key
from coincurve import PrivateKey

ACCOUNT = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


def sign(key: bytes) -> object:
    private = PrivateKey(key)
    return lambda digest: private.sign_recoverable(digest, hasher=None)


def entry(number: int, **fields: object) -> ObjectEntry:
    base = ObjectEntry(
        manifest=f"m{number}",
        cap=f"bh1secretcap{number}",
        name=f"file{number}",
        size=number,
        profile="dev",
        chain_id=31337,
        market="0x01",
        created=1,
        end=30,
        agreements=("0xaa", "0xbb"),
        order={"budget_wei": "5"},
    )
    return replace(base, **fields)  # type: ignore[arg-type]


@pytest.fixture
def listed(tmp_path: Path) -> ObjectList:
    return ObjectList(tmp_path, ACCOUNT, Seal(local_key(ACCOUNT, sign(b"k" * 32))))  # type: ignore[arg-type]


def test_what_is_saved_is_found(listed: ObjectList) -> None:
    assert listed.entries() == []
    listed.save(entry(1))
    listed.save(entry(2))
    assert listed.entries() == [entry(1), entry(2)]
    assert listed.find("bh1secretcap2") == listed.find("m2") == listed.find("file2") == entry(2)
    assert listed.find("nothing") is None


def test_saving_again_replaces_and_removing_forgets(listed: ObjectList) -> None:
    listed.save(entry(1))
    listed.save(entry(2))
    listed.update("m1", end=90)
    listed.update("unknown", end=90)
    assert listed.entries() == [entry(1, end=90), entry(2)]
    listed.remove("m1")
    assert listed.entries() == [entry(2)]


def test_of_two_with_one_name_the_newest_is_found(listed: ObjectList) -> None:
    listed.save(entry(1, name="same"))
    listed.save(entry(2, name="same"))
    assert listed.find("same") == entry(2, name="same")


def test_nothing_of_it_is_readable_on_the_disk(listed: ObjectList) -> None:
    listed.save(entry(1))
    raw = listed.path.read_bytes()
    assert all(word not in raw for word in (b"secretcap", b"file1", b"dev", b"budget"))
    assert listed.path.stat().st_mode & 0o077 == 0


def test_another_key_does_not_open_it(listed: ObjectList, tmp_path: Path) -> None:
    listed.save(entry(1))
    other = ObjectList(tmp_path, ACCOUNT, Seal(local_key(ACCOUNT, sign(b"x" * 32))))  # type: ignore[arg-type]
    with pytest.raises(SigningKeyError):
        other.entries()


def test_the_key_is_the_same_each_time_and_for_each_spelling() -> None:
    first = local_key(ACCOUNT, sign(b"k" * 32))  # type: ignore[arg-type]
    assert first == local_key(ACCOUNT.lower(), sign(b"k" * 32))  # type: ignore[arg-type]
    assert len(first) == 32


def test_many_changes_leave_a_short_file(listed: ObjectList) -> None:
    for turn in range(400):
        listed.save(entry(turn % 3, end=turn))
    assert len(listed.entries()) == 3
    one = len(listed.path.read_bytes()) / 400
    assert listed.path.stat().st_size < 100 * one * 400
    assert listed.path.stat().st_size < 60_000


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
import test_objects as t
l = t.ObjectList(Path(sys.argv[1]), t.ACCOUNT, t.Seal(t.local_key(t.ACCOUNT, t.sign(b"k" * 32))))
for n in range(int(sys.argv[3]), int(sys.argv[3]) + 10): l.save(t.entry(n))
"""


def test_two_processes_write_the_list_together(listed: ObjectList, tmp_path: Path) -> None:
    here = str(Path(__file__).parent)
    writers = [subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path), here, str(start)]) for start in (0, 100)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    assert len(listed.entries()) == 20


@pytest.mark.parametrize("moment", ["before", "torn", "after"])
def test_a_kill_while_saving_keeps_what_was_saved(listed: ObjectList, tmp_path: Path, moment: str) -> None:
    listed.save(entry(999))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(Path(__file__).parent), "0"],
        env=os.environ | {"BLACKHOLE_CRASH_AT": f"objects:saved:1:{moment}"},
        timeout=60,
        check=False,
    )
    assert done.returncode == -9
    assert listed.entries() == ([entry(999), entry(0)] if moment == "after" else [entry(999)])
    listed.save(entry(5))
    assert listed.entries()[-1] == entry(5)
