"""`blackhole account`: keys are made, taken over and listed; secrets come from files and stdin and are never shown."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KEY = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


class Shell:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        secret = folder / "passphrase"
        secret.write_text("correct horse\n")
        kept = {k: v for k, v in os.environ.items() if not k.startswith("BLACKHOLE_")}
        self.environment = kept | {
            "BLACKHOLE_HOME": str(folder / "home"),
            "BLACKHOLE_PASSPHRASE_FILE": str(secret),
        }

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "blackhole.cli.app", "account", *arguments],
            input=stdin,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def json(self, *arguments: str, stdin: str = "", **environment: str) -> dict[str, object]:
        done = self.run(*arguments, "--json", stdin=stdin, **environment)
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_new_key_is_a_keystore_only_its_owner_reads(shell: Shell) -> None:
    made = shell.json("new", "laptop")
    path = Path(str(made["keystore"]))
    assert path.stat().st_mode & 0o077 == 0
    assert json.loads(path.read_text())["version"] == 3
    listed = shell.json("list")["accounts"]
    assert isinstance(listed, list)
    assert [(row["name"], row["address"].lower()) for row in listed] == [("laptop", str(made["address"]).lower())]


def test_a_key_is_taken_over_from_stdin_and_never_shown(shell: Shell) -> None:
    done = shell.run("import", "old", stdin=KEY + "\n")
    assert done.returncode == 0
    assert ADDRESS in done.stdout
    assert KEY not in done.stdout + done.stderr
    stored = Path(shell.environment["BLACKHOLE_HOME"], "keys", "old.json").read_text()
    assert KEY not in stored


def test_a_keystore_is_taken_over(shell: Shell) -> None:
    first = shell.json("import", "one", stdin=KEY)
    assert shell.json("import", "two", "--keystore", str(first["keystore"]))["address"] == ADDRESS


def test_a_wrong_passphrase_is_code_8(shell: Shell, tmp_path: Path) -> None:
    first = shell.json("import", "one", stdin=KEY)
    wrong = tmp_path / "wrong"
    wrong.write_text("battery staple")
    done = shell.run("import", "two", "--keystore", str(first["keystore"]), BLACKHOLE_PASSPHRASE_FILE=str(wrong))
    assert done.returncode == 8
    assert "next: " in done.stderr


@pytest.mark.parametrize("text", ["", "0x12", "zz" * 32, KEY + "00", "00" * 32])
def test_what_is_no_key_is_refused_without_showing_it(shell: Shell, text: str) -> None:
    done = shell.run("import", "bad", stdin=text)
    assert done.returncode == 8
    assert not text or text not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_key_is_never_replaced(shell: Shell) -> None:
    shell.json("import", "one", stdin=KEY)
    done = shell.run("new", "one")
    assert done.returncode == 2
    assert json.loads(Path(shell.environment["BLACKHOLE_HOME"], "keys", "one.json").read_text())[
        "address"
    ] == ADDRESS.lower().removeprefix("0x")


@pytest.mark.parametrize("name", ["../evil", "", "a b", "x/y"])
def test_names_stay_inside_the_folder(shell: Shell, name: str) -> None:
    assert shell.run("new", name).returncode == 2


def test_an_empty_home_says_what_to_do(shell: Shell) -> None:
    assert "blackhole account new" in shell.run("list").stdout
