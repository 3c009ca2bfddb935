"""What put reads: regular files, streams, bytes; everything else and everything that changes is refused by name."""

import io
import os
import sys
from pathlib import Path

import pytest
from blackhole.errors import InputError
from blackhole.storage.sources import Source, open_source


def drain(source: Source, step: int = 1000) -> bytes:
    buffer = memoryview(bytearray(step))
    out = b""
    while count := source.read_into(buffer):
        out += bytes(buffer[:count])
        if count < step:
            break
    return out


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 12345])
def test_files_streams_and_bytes_give_their_bytes(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    path = tmp_path / "file"
    path.write_bytes(data)
    for given in (path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data)):
        source = open_source(given)
        assert drain(source) == data
        source.finish()
        source.close()


def test_names_and_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"abc")
    assert (open_source(path).name, open_source(path).size) == ("film.mp4", 3)
    assert open_source(path, "other").name == "other"
    assert open_source(b"abc").size == 3
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"xyz")))
    stdin = open_source("-")
    assert (stdin.name, stdin.size, stdin.identity) == ("stdin", None, None)
    assert drain(stdin) == b"xyz"


def test_the_identity_tells_versions_of_a_file_apart(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    first = open_source(path).identity
    assert first == open_source(path).identity
    os.utime(path, ns=(1, 1))
    assert first != open_source(path).identity
    assert open_source(b"a").identity != open_source(b"b").identity


def refused(path: Path) -> InputError:
    with pytest.raises(InputError) as raised:
        open_source(path)
    assert str(path) in raised.value.message
    assert raised.value.hint
    return raised.value


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path / "nothing").code == "file_missing"


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    path.chmod(0)
    if os.geteuid() == 0:
        pytest.skip("root reads every file")
    assert refused(path).code == "file_unreadable"


def test_special_files_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "a folder" in refused(tmp_path).message
    assert "a named pipe" in refused(tmp_path / "pipe").message
    assert "a device" in refused(Path("/dev/zero")).message


@pytest.mark.parametrize("change", ["grow", "shrink", "touch"])
def test_a_file_that_changes_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 5000)
    source = open_source(path)
    drain(source)
    if change == "grow":
        with path.open("ab") as file:
            file.write(b"y")
    elif change == "shrink":
        os.truncate(path, 10)
    else:
        os.utime(path, ns=(1, 1))
    with pytest.raises(InputError) as raised:
        source.finish()
    assert raised.value.code == "file_changed"


def test_a_file_that_grew_before_its_end_was_reached_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 5000)
    source = open_source(path)
    source.read_into(memoryview(bytearray(100)))
    with path.open("ab") as file:
        file.write(b"y" * 100)
    drain(source)
    with pytest.raises(InputError):
        source.finish()
