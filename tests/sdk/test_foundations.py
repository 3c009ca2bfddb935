"""Errors, units, hashes and paths."""

from __future__ import annotations

import copy
import errno
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from blackhole import errors, hashing
from blackhole.errors import (
    BlackholeError,
    DiskError,
    DiskFull,
    InputError,
    InsufficientFunds,
    KeyInUse,
    NetworkNotFound,
    NodeRefused,
    Revert,
    Reverted,
)
from blackhole.filelock import FileLock
from blackhole.hashing import keccak256
from blackhole.network import Network
from blackhole.paths import Home, write_private
from blackhole.units import Tokens, format_tokens, wei_to_micro, wei_to_micro_up
from eth_utils import keccak
from hypothesis import given
from hypothesis import strategies as st


def tree(kind: type[BlackholeError] = BlackholeError) -> list[type[BlackholeError]]:
    return [kind, *(each for sub in kind.__subclasses__() for each in tree(sub))]


OWN = [kind for kind in tree() if kind.__module__ == errors.__name__]


def test_every_error_has_a_code_of_its_own_a_hint_and_a_known_exit_code() -> None:
    codes = [kind.code for kind in OWN]
    assert len(set(codes)) == len(codes)
    for kind in OWN:
        assert kind.code == kind.code.lower()
        assert " " not in kind.code
        assert kind.hint.endswith(".")
        assert kind.__doc__
        assert 1 <= kind.exit_code <= 9


class LaneClosed(Revert):
    __slots__ = __match_args__ = ("lane", "amount", "key")
    SIGNATURE = "LaneClosed(uint32,uint96,bytes1)"

    def __init__(self, lane: int, amount: int, key: bytes) -> None:
        self.lane, self.amount, self.key = lane, amount, key


@pytest.mark.parametrize("kind", OWN)
def test_an_error_of_another_process_keeps_its_kind(kind: type[BlackholeError]) -> None:
    sent = kind.__new__(kind)
    BlackholeError.__init__(sent, "what", hint="do this.", data={"wei": "5"})
    back = BlackholeError.from_json(json.loads(json.dumps(sent.to_json())))
    assert type(back) is kind
    assert (back.to_json(), back.exit_code) == (sent.to_json(), kind.exit_code)


def test_a_code_of_its_own_is_kept_though_no_kind_has_it() -> None:
    sent = DiskError("m", hint="h.", code="address_in_use")
    back = BlackholeError.from_json({**sent.to_json(), "kind": "DiskError"})
    assert (type(back), back.exit_code, back.to_json()) == (DiskError, 9, sent.to_json())
    assert BlackholeError.from_json(sent.to_json()).exit_code == 1


def test_errors_survive_process_borders_and_become_json() -> None:
    reverted = Reverted("no", decoded=LaneClosed(1, 2**90, b"\x01"), raw=b"\x01\x02", transaction="0x12")
    for error in (
        InsufficientFunds("balance", have=10**18, need=3 * 10**18),
        KeyInUse("in use", holder=7),
        NodeRefused("pay first", status=402, code="payment_required", data={"missing_micro": 5}),
        reverted,
    ):
        back = pickle.loads(pickle.dumps(error))
        assert type(back) is type(error)
        assert back.to_json() == error.to_json()
        assert back.__dict__ == error.__dict__
        assert orjson.loads(orjson.dumps(error.to_json())) == error.to_json()
    assert reverted.data["error"] == "LaneClosed"
    assert reverted.data["arguments"] == {"lane": 1, "amount": str(2**90), "key": "0x01"}


@pytest.mark.parametrize(
    ("number", "kind", "part"),
    [
        (errno.ENOSPC, DiskFull, "Free some space"),
        (errno.EDQUOT, DiskFull, "Free some space"),
        (errno.EFBIG, DiskFull, "ulimit -f"),
        (errno.EACCES, DiskError, "permissions"),
        (errno.EIO, DiskError, "permissions"),
    ],
)
def test_what_the_system_says_of_a_file_has_its_error(number: int, kind: type[DiskError], part: str) -> None:
    error = DiskError.of(OSError(number, os.strerror(number)), Path("/var/x"))
    assert type(error) is kind
    assert part in error.hint
    assert "/var/x" in error.message
    assert (error.data, error.exit_code) == ({"path": "/var/x"}, 9)


def test_no_file_of_ours_is_half_written_when_it_may_not_grow(
    tmp_path: Path, file_limit: Callable[[int | None], None]
) -> None:
    path = tmp_path / "file"
    write_private(path, b"old")
    file_limit(1000)
    with pytest.raises(DiskFull):
        write_private(path, b"x" * 5000)
    file_limit(0)
    lock = FileLock(tmp_path / "lock")
    assert lock.acquire()  # it holds; it only cannot say by whom
    assert not FileLock(tmp_path / "lock").acquire()
    lock.release()
    file_limit(None)
    assert path.read_bytes() == b"old"
    assert {each.name for each in tmp_path.iterdir()} == {"file", "lock"}


NETWORK = {"schema": 1, "name": "x", "rpc": ["http://a"], "chain_id": 5, "addresses": {}, "period": 60, "unit": "1"}


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"schema": 2}, "schema 2"),
        ({"schema": "1"}, "schema 1"),
        ({"rpc": "http://a"}, "rpc"),
        ({"rpc": [1]}, "rpc"),
        ({"chain_id": True}, "chain_id"),
        ({"chain_id": None}, "chain_id"),
        ({"unit": "one"}, "unit"),
        ({"unit": "-1"}, "unit"),
        ({"unit": "0"}, "unit"),
        ({"addresses": {"PaymentHub": 1}}, "addresses"),
    ],
)
def test_a_network_file_that_cannot_be_meant_names_its_field(change: dict[str, object], part: str) -> None:
    assert Network.from_json(json.dumps(NETWORK).encode()).unit == 1
    with pytest.raises(NetworkNotFound, match=part):
        Network.from_json(json.dumps(NETWORK | change).encode())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"5"])
def test_what_is_no_network_file_is_said(content: bytes) -> None:
    with pytest.raises(NetworkNotFound, match=r"network\.json"):
        Network.from_json(content)


def test_missing_money_is_named_exactly() -> None:
    error = InsufficientFunds("balance in the hub", have=10**18, need=3 * 10**18 + 1)
    assert "missing 2.000000000000000001 HOLE" in str(error)
    assert error.data["missing"] == str(2 * 10**18 + 1)


@given(st.integers(0, 10**30))
def test_tokens_and_their_text_are_the_same_amount(wei: int) -> None:
    assert Tokens(format_tokens(wei)) == wei
    assert wei_to_micro(wei) * 10**12 <= wei <= wei_to_micro_up(wei) * 10**12
    assert wei_to_micro_up(wei) - wei_to_micro(wei) == (wei % 10**12 > 0)


@pytest.mark.parametrize(("text", "wei"), [("2.5", 25 * 10**17), ("0", 0), (" 7 ", 7 * 10**18), ("0.10", 10**17)])
def test_tokens_reads_decimals(text: str, wei: int) -> None:
    assert Tokens(text) == wei


@pytest.mark.parametrize(
    "bad",
    ["", "-1", "1e18", "1,5", ".5", "5.", "0x10", "1_000", "٣", "0.0000000000000000001", -1, 1.5, True, None, b"1"],
)
def test_tokens_refuses_what_is_no_amount(bad: object) -> None:
    with pytest.raises(InputError):
        Tokens(bad)  # type: ignore[call-overload]
    with pytest.raises(InputError, match="wei already"):
        Tokens(Tokens(1))


def test_tokens_can_be_copied_and_counted_with() -> None:
    amount = Tokens("1.5")
    assert copy.deepcopy(amount) == pickle.loads(pickle.dumps(amount)) == amount
    assert type(amount + 1) is int
    assert repr(amount) == "Tokens('1.5')"
    assert str(Tokens(3)) == "3"


@given(st.binary(max_size=600))
def test_keccak_is_ethereums(data: bytes) -> None:
    assert keccak256(data) == keccak(data) == hashing._plain_hasher(data)


def test_keccak_keeps_one_state_a_thread() -> None:
    wrong: list[int] = []

    def work(seed: int) -> None:
        data = bytes([seed]) * 4000
        expected = keccak(data)
        wrong.extend(i for i in range(300) if keccak256(data) != expected)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_home_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLACKHOLE_HOME", str(tmp_path / "home"))
    home = Home.locate()
    for folder in (home.keys, home.journals, home.objects, home.root):
        assert folder.stat().st_mode & 0o777 == 0o700
    write_private(home.keys / "a.json", b"secret")
    assert (home.keys / "a.json").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in home.keys.iterdir()] == ["a.json"]
    assert Home.locate(tmp_path).root == tmp_path


def test_import_brings_nothing_heavy() -> None:
    code = "import sys, blackhole, blackhole.errors, blackhole.units, blackhole.journal; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    heavy = {"aiohttp", "asyncio", "pydantic", "eth_abi", "coincurve", "cryptography", "Crypto", "numpy", "web3", "ape"}
    assert heavy.isdisjoint(loaded.stdout.split())
