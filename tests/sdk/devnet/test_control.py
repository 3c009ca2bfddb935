"""Asking a supervisor over its socket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from blackhole.devnet import control
from blackhole.errors import DevnetError


async def handler(request: Mapping[str, Any]) -> Mapping[str, Any]:
    if request["operation"] == "refuse":
        raise DevnetError("Not now.", hint="Later.", data={"missing": 3})
    if request["operation"] == "sleep":
        await asyncio.sleep(5)
    return {"heard": request["word"]}


async def test_an_answer_comes_back(tmp_path: Path) -> None:
    async with control.serve(tmp_path / "control.sock", handler):
        answer = await asyncio.to_thread(control.ask, tmp_path / "control.sock", "say", word="yes")
    assert answer == {"heard": "yes"}


async def test_an_error_keeps_its_hint_and_figures(tmp_path: Path) -> None:
    async with control.serve(tmp_path / "control.sock", handler):
        with pytest.raises(DevnetError) as caught:
            await asyncio.to_thread(control.ask, tmp_path / "control.sock", "refuse")
    assert (caught.value.message, caught.value.hint, caught.value.data) == ("Not now.", "Later.", {"missing": 3})


async def test_a_wrong_request_is_answered_not_dropped(tmp_path: Path) -> None:
    async with control.serve(tmp_path / "control.sock", handler):
        with pytest.raises(DevnetError, match="word"):
            await asyncio.to_thread(control.ask, tmp_path / "control.sock", "say")


async def test_a_silent_supervisor_is_a_timeout(tmp_path: Path) -> None:
    async with control.serve(tmp_path / "control.sock", handler):
        with pytest.raises(DevnetError, match="did not answer `sleep`"):
            await asyncio.to_thread(control.ask, tmp_path / "control.sock", "sleep", timeout=0.1, word="x")


def test_no_supervisor_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(DevnetError) as caught:
        control.ask(tmp_path / "control.sock", "say")
    assert "blackhole devnet up" in caught.value.hint


async def test_a_deep_run_folder_is_no_problem(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 20) / ("longer" * 20)
    deep.mkdir(parents=True)
    async with control.serve(deep / "control.sock", handler):
        answer = await asyncio.to_thread(control.ask, deep / "control.sock", "say", word="deep")
    assert answer == {"heard": "deep"}
