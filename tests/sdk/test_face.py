"""One definition, two faces: results, cleanup, Ctrl-C, forks."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator

import pytest
from blackhole.errors import UsageError
from blackhole.face import Async, M, Service, Sync, operation, portal, stream

cleaned: list[str] = []
variable = contextvars.ContextVar("variable", default="unset")


class Handle(Service[M]):
    @operation
    async def value(self) -> bytes:
        await asyncio.sleep(0)
        return b"ok"


class Things(Service[M]):
    @operation
    async def add(self, left: int, *, right: int = 1) -> int:
        """Add."""
        await asyncio.sleep(0)
        return left + right

    @operation
    async def handle(self) -> Handle[M]:
        return Handle(self.mode)

    @operation
    async def fail(self, error: BaseException) -> None:
        await asyncio.sleep(0)
        raise error

    @operation
    async def context(self) -> str:
        return variable.get()

    @operation
    async def reenter(self) -> int:
        return Things(Sync()).add(1)

    @stream
    async def count(self, to: int) -> AsyncIterator[int]:
        try:
            for number in range(to):
                await asyncio.sleep(0)
                yield number
        finally:
            await asyncio.sleep(0)
            cleaned.append("count")


def test_sync_face_returns_results_and_carries_its_mode_on() -> None:
    things = Things(Sync())
    assert things.add(1) == 2
    assert things.add(1, right=5) == 6
    assert things.handle().value() == b"ok"
    assert list(things.count(4)) == [0, 1, 2, 3]
    assert things.add.__doc__ == "Add."
    assert Things.add.__doc__ == "Add."


async def test_async_face_runs_in_the_callers_loop() -> None:
    things = Things(Async())
    assert await things.add(1) == 2
    assert await (await things.handle()).value() == b"ok"
    assert [number async for number in things.count(3)] == [0, 1, 2]


def test_sync_face_works_inside_a_running_loop_of_the_user() -> None:
    async def main() -> int:
        return Things(Sync()).add(1)

    assert asyncio.run(main()) == 2


@pytest.mark.parametrize("error", [ValueError("x"), StopIteration(), StopAsyncIteration(), KeyboardInterrupt()])
def test_errors_reach_the_caller(error: BaseException) -> None:
    with pytest.raises((type(error), RuntimeError)):
        Things(Sync()).fail(error)
    assert Things(Sync()).add(1) == 2


def test_own_loop_is_refused_instead_of_waiting_for_ever() -> None:
    with pytest.raises(UsageError, match="own event loop"):
        Things(Sync()).reenter()


def test_leaving_a_stream_early_runs_its_cleanup() -> None:
    cleaned.clear()
    numbers = Things(Sync()).count(100)
    assert next(numbers) == 0
    numbers.close()  # type: ignore[attr-defined]
    assert cleaned == ["count"]


def test_context_variables_of_the_caller_are_seen() -> None:
    token = variable.set("mine")
    try:
        assert Things(Sync()).context() == "mine"
    finally:
        variable.reset(token)


def test_many_threads_share_one_loop() -> None:
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.extend(Things(Sync()).add(n) for n in range(50))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 400
    assert sum(thread.name == "blackhole-io" for thread in threading.enumerate()) == 1


def test_forked_child_gets_a_loop_of_its_own() -> None:
    assert Things(Sync()).add(1) == 2
    parent = portal()
    child = os.fork()
    if child == 0:
        os._exit(0 if portal() is not parent and Things(Sync()).add(40, right=2) == 42 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert Things(Sync()).add(1) == 2


def test_ctrl_c_cancels_waits_for_cleanup_and_leaves_the_face_usable() -> None:
    program = textwrap.dedent("""
        import asyncio, sys
        from blackhole.face import Service, Sync, operation
        class Slow(Service[Sync]):
            @operation
            async def wait(self) -> None:
                print("waiting", flush=True)
                try:
                    await asyncio.sleep(60)
                finally:
                    await asyncio.sleep(0.2)
                    print("cleaned", flush=True)
            @operation
            async def quick(self) -> str:
                return "usable"
        slow = Slow(Sync())
        try:
            slow.wait()
        except KeyboardInterrupt:
            print("interrupted", slow.quick(), flush=True)
    """)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert rest.splitlines() == ["cleaned", "interrupted usable"]
    assert process.returncode == 0
