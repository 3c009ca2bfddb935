"""config.toml: what is read, what is refused, what survives a change."""

from __future__ import annotations

from pathlib import Path

import pytest
from blackhole.errors import InputError
from blackhole.node import config
from blackhole.node.config import Config


def test_an_empty_configuration_is_all_defaults() -> None:
    assert Config.parse("schema = 1\n") == Config()


def test_a_rendered_configuration_reads_back_with_its_values() -> None:
    text = config.render({"node.id": 7, "storage.price_wei_per_gib_period": 2**64 - 1, "api.listen": "127.0.3.1:0"})
    read = Config.parse(text)
    assert (read.node.id, read.storage.price_wei_per_gib_period, read.api.listen) == (7, 2**64 - 1, "127.0.3.1:0")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "schema"),
        ("schema = 2\n", "schema 2"),
        ("schema = true\n", "schema"),
        ("schema = 1\nnodes = 1\n", "unknown section"),
        ("schema = 1\n[nodes]\n", "unknown section"),
        ("schema = 1\n[node]\nidd = 1\n", "unknown key node.idd"),
        ("schema = 1\n[node]\nid = '1x'\n", "node.id"),
        ("schema = 1\n[node]\nid = -1\n", "node.id"),
        ("schema = 1\n[node]\nid = 4294967296\n", "node.id"),
        ("schema = 1\n[storage]\naccept = 1\n", "storage.accept"),
        ("schema = 1\n[storage]\nprice_wei_per_gib_period = 18446744073709551616\n", "price"),
        ("schema = 1\n[limits]\nallow = ['0x12']\n", "limits.allow"),
        ("schema = 1\n[agent]\nhealth = '0.0.0.0:80'\n", "loopback"),
        ("schema = 1\n[agent]\nhealth = '127.0.0.1'\n", "host:port"),
        ("schema = 1\n[chain]\npoll_seconds = 0.0\n", "poll_seconds"),
        ("schema = [", "TOML"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(text: str, part: str) -> None:
    with pytest.raises(InputError) as caught:
        Config.parse(text)
    assert part in caught.value.message
    assert caught.value.hint


def test_a_change_keeps_comments_and_other_settings(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        "schema = 1\n# mine\n[storage]\n# price_wei_per_gib_period = 1\ncapacity_gib = 5 # disk b\n[limits]\n"
    )
    new = config.change(path, {"storage.price_wei_per_gib_period": 9, "limits.uploads": 3, "node.id": 4})
    assert (new.storage.price_wei_per_gib_period, new.storage.capacity_gib, new.limits.uploads, new.node.id) == (
        9,
        5,
        3,
        4,
    )
    assert "# mine" in path.read_text()
    assert "# disk b" in path.read_text()
    assert config.change(path, {"storage.price_wei_per_gib_period": 10}).storage.price_wei_per_gib_period == 10
    assert Config.load(path).node.id == 4


def test_a_refused_change_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(config.render({"node.id": 4}))
    before = path.read_bytes()
    with pytest.raises(InputError):
        config.change(path, {"storage.capacity_gib": -1})
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["config.toml"]
