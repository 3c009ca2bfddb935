"""The package as others install it: everything it needs is in the wheel, and it starts without this folder."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "sdk" / "blackhole"
SKIPPED = shutil.ignore_patterns("__pycache__", "*.egg-info")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built as `pip install .` builds it, from a copy: a clone is not written to."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(PACKAGE, source / "sdk" / "blackhole", ignore=SKIPPED)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(source / "dist"), str(source)], check=True, timeout=300)
    (built,) = (source / "dist").glob("blackhole-*.whl")
    return zipfile.ZipFile(built)


def test_every_file_of_the_package_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    ours = {path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    ours = {name for name in ours if "__pycache__" not in name}
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == ours
    assert "blackhole/py.typed" in packed
    bindings = {name for name in packed if name.startswith("blackhole/chain/bindings/")}
    artifacts = {name for name in packed if name.startswith("blackhole/chain/artifacts/")}
    assert len(bindings) > len(artifacts) > 10


def test_it_names_its_extras_programs_and_plugin(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = BytesParser().parsebytes(wheel.read(name))
    assert set(metadata.get_all("Provides-Extra")) == {"cli", "node", "kubo", "web3", "dev"}
    assert metadata["Requires-Python"] == ">=3.11"
    entries = wheel.read(name.replace("METADATA", "entry_points.txt")).decode()
    assert "blackhole = blackhole.cli.app:main" in entries
    assert "blackhole = blackhole.testing" in entries


def test_it_works_where_there_is_neither_this_folder_nor_node_nor_a_compiler(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    wheel.extractall(tmp_path / "site")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PATH": str(tmp_path), "HOME": str(tmp_path)}
    program = """
import blackhole, sys
from blackhole.chain import bindings, compiled
assert blackhole.__file__.startswith(sys.argv[1]), blackhole.__file__
for name in ("PaymentHub", "StorageMarket", "Blake3Chunk"):
    assert len(compiled.load(name).bytecode) > 1000
print(", ".join(sorted(blackhole.__all__)))
"""
    run = [sys.executable, "-c", program, str(tmp_path / "site")]
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "AsyncBlackhole, Blackhole" in done.stdout
    cli = [sys.executable, "-c", "from blackhole.cli.app import main; main()"]
    done = subprocess.run([*cli, "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout
    (tmp_path / "empty").touch()
    cid = [*cli, "storage", "cid", "empty"]
    done = subprocess.run(cid, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", done.stderr


def test_what_the_lock_installs_is_what_the_package_admits() -> None:
    for each in importlib.metadata.requires("blackhole") or []:
        requirement = Requirement(each)
        extra = [{"extra": name} for name in ("", "cli", "node", "kubo", "web3", "dev")]
        if requirement.name == "blackhole" or not any(
            requirement.marker is None or requirement.marker.evaluate(environment) for environment in extra
        ):
            continue
        installed = importlib.metadata.version(requirement.name)
        assert requirement.specifier.contains(installed, prereleases=True), f"{each} is locked to {installed}"
