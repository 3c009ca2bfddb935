"""An unsupported machine is told so at once, and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def platform(python: str, *first: Path) -> subprocess.CompletedProcess[str]:
    """`toolchain/platform.sh` for a Python, with folders before the PATH."""
    environment = {**os.environ, "PATH": os.pathsep.join([*map(str, first), os.environ["PATH"]])}
    command = ["bash", str(ROOT / "toolchain" / "platform.sh"), python]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def program(path: Path, text: str) -> Path:
    path.write_text("#!/usr/bin/env bash\n" + text)
    path.chmod(0o755)
    return path


def python_of(folder: Path, version: str, missing: str = "nothing") -> str:
    """A Python that says it is of another version, and may lack a module."""
    numbers = ", ".join(version.split("."))
    pretend = (
        f"import sys; sys.version_info = ({numbers}, 'final', 0); sys.modules['{missing}'] = None; exec(sys.argv[1])"
    )
    text = f'[ "$1" = --version ] && {{ echo "Python {version}"; exit; }}\nexec {sys.executable} -c "{pretend}" "$2"\n'
    return str(program(folder / "python", text))


def test_this_machine_passes() -> None:
    done = platform(sys.executable)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("version", ["3.11.7", "3.12.1", "3.13.0"])
def test_supported_versions_of_python_pass(tmp_path: Path, version: str) -> None:
    assert platform(python_of(tmp_path, version)).returncode == 0


@pytest.mark.parametrize("version", ["3.10.13", "3.14.0"])
def test_another_version_of_python_is_refused_by_name(tmp_path: Path, version: str) -> None:
    done = platform(python_of(tmp_path, version))
    assert done.returncode == 1
    assert f"this is Python {version}: make PYTHON=" in done.stderr


def test_a_python_without_venv_and_no_python_say_what_to_install(tmp_path: Path) -> None:
    done = platform(python_of(tmp_path, "3.11.7", missing="ensurepip"))
    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr
    done = platform(str(tmp_path / "none"))
    assert done.returncode == 1
    assert "install Python 3.11" in done.stderr


def test_another_architecture_needs_foundry_on_the_path(tmp_path: Path) -> None:
    program(tmp_path / "uname", '[ "$1" = -s ] && echo Darwin || echo arm64\n')
    tools = tmp_path / "tools"
    tools.mkdir()
    environment = {**os.environ, "PATH": os.pathsep.join([str(tmp_path), "/usr/bin", "/bin"])}
    command = ["bash", str(ROOT / "toolchain" / "platform.sh"), sys.executable]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "Darwin on arm64: install foundry" in done.stderr
    for name in ("anvil", "forge", "cast"):
        program(tools / name, "exit 0\n")
    assert platform(sys.executable, tmp_path, tools).returncode == 0
