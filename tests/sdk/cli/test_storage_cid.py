"""`blackhole storage cid`: the CID `ipfs add` prints, for files and for stdin."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def blackhole(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "blackhole.cli.app", "storage", "cid", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
        (b"hello world", "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"),
    ],
)
def test_known_files_have_their_known_cids(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert blackhole(str(path)).stdout.decode() == expected + "\n"
    assert json.loads(blackhole("--json", "-", stdin=content).stdout) == {"cid": expected, "name": "stdin"}


def test_a_missing_file_is_code_2_and_json(tmp_path: Path) -> None:
    done = blackhole(str(tmp_path / "nothing"), "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "file_missing"
