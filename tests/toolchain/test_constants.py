"""protocol.toml is checked, not only copied."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_protocol", ROOT / "toolchain" / "generate_protocol.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_constant_has_its_reason_and_keeps_its_bound(generator: ModuleType) -> None:
    groups = tomllib.loads((ROOT / "protocol.toml").read_text())
    assert generator.broken(groups) == []
    for constants in groups.values():
        for name, constant in constants.items():
            assert {"value", "bound", "unit", "where", "reason"} <= constant.keys(), name


def test_a_value_that_breaks_a_bound_is_refused_by_name(generator: ModuleType) -> None:
    groups = tomllib.loads((ROOT / "protocol.toml").read_text())
    groups["vault"]["EXIT"]["value"] -= 2 * 86_400
    del groups["hub"]["THAW"]["bound"]
    failures = generator.broken(groups)
    assert "EXIT = 1_641_600 breaks its bound: EXIT > ROUND + MAX_FREEZE" in failures
    assert "THAW = 86_400 breaks its bound: it has none" in failures
    assert any(line.startswith("UPGRADE_DELAY") for line in failures)
