"""What users import, and what it costs them."""

from __future__ import annotations

import subprocess
import sys

import blackhole
import pytest
from blackhole import errors
from blackhole.errors import BlackholeError


def test_every_exported_name_exists_and_is_sorted() -> None:
    assert sorted(blackhole.__all__) == list(blackhole.__all__)
    assert {name: getattr(blackhole, name) for name in blackhole.__all__}
    assert set(blackhole.__all__) <= set(dir(blackhole))
    assert set(blackhole._HOMES) == set(blackhole.__all__)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = blackhole.nothing


def test_importing_the_package_loads_nothing_of_it() -> None:
    loaded = modules("import blackhole")
    assert {name for name in loaded if name.startswith("blackhole")} == {"blackhole"}


def test_the_client_class_comes_without_http_curves_or_hashes() -> None:
    loaded = modules("from blackhole import Blackhole, AsyncBlackhole, Network, Tokens")
    assert not {"aiohttp", "coincurve", "Crypto", "cryptography", "eth_abi", "pydantic", "web3", "numpy"} & loaded


def test_the_sdk_never_imports_ape_or_web3() -> None:
    loaded = modules("import blackhole.client, blackhole.chain.deployment, blackhole.storage.service")
    assert not {"ape", "web3", "eth_account"} & loaded


def test_errors_are_one_tree() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]
    assert all(issubclass(kind, BlackholeError) for kind in kinds)


def modules(code: str) -> set[str]:
    command = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split())
