"""One definition, two faces: operations are `async def`; the synchronous face is derived from them, with full types.

    class Escrow(Service[M]):
        @operation
        async def balance(self, account: str) -> int: ...

    Escrow(Sync(), …).balance(a)         -> int
    await Escrow(Async(), …).balance(a)  -> int

Synchronous calls run on one daemon thread a process that owns an event loop. It is made on first use and again after
a fork. Inside core code call plain async functions, never an operation of `self`: the mode of `self` is the caller's,
not yours.
"""

from __future__ import annotations

import contextvars
import functools
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from blackhole.errors import UsageError

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
P = ParamSpec("P")


class Sync:
    """Mode of a face whose operations block and return their result."""


class Async:
    """Mode of a face whose operations return awaitables."""


M = TypeVar("M", Sync, Async)


class Service(Generic[M]):
    """Base of everything that has operations. Handles an operation returns carry the mode on: `Job(self.mode)`."""

    def __init__(self, mode: M) -> None:
        self.mode: M = mode


S = TypeVar("S", bound=Service[Any])


class Portal:
    """The event loop of the synchronous face, on a daemon thread of its own."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._mutex = threading.Lock()

    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop; started when there is none."""
        import asyncio

        with self._mutex:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="blackhole-io", daemon=True)
                self._thread.start()
            return self._loop

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run to the end and return the result. Ctrl-C cancels the task, waits for its cleanup, then raises.

        Raises `UsageError` from the loop's own thread, where waiting would never end.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise UsageError(
                "the synchronous face was called from Blackhole's own event loop",
                hint="Use AsyncBlackhole inside callbacks and coroutines.",
            )
        loop = self.loop()
        context = contextvars.copy_context()
        run = _Run(coroutine)

        def start() -> None:
            run.task = loop.create_task(run.main(), context=context)

        try:
            loop.call_soon_threadsafe(start)
            run.done.wait()
        except KeyboardInterrupt:
            loop.call_soon_threadsafe(run.cancel)
            run.done.wait()  # the cleanup; a second Ctrl-C gives up on it
            raise
        return run.result()


class _Run(Generic[T]):
    """One coroutine on its way through the loop; its outcome travels as a value, whatever its type."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._values: list[T] = []
        self._error: BaseException | None = None
        self.task: asyncio.Task[None] | None = None
        self.done = threading.Event()

    async def main(self) -> None:
        try:
            self._values.append(await self._coroutine)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._error = error
        finally:
            self.done.set()

    def cancel(self) -> None:
        if self.task is None:
            self._coroutine.close()
            self.done.set()
        elif not self.task.done():
            self.task.cancel()

    def result(self) -> T:
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # breaks the cycle traceback -> frame -> self
        return self._values[0]


_portal = Portal()


def portal() -> Portal:
    """The portal of this process."""
    return _portal


def _forget_portal() -> None:
    # The parent's thread does not exist in a forked child; its loop must not be touched there.
    global _portal
    _portal = Portal()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_portal)


class operation(Generic[S, P, T]):  # noqa: N801 - a decorator
    """Make an `async def` method an operation of both faces."""

    def __init__(self, function: Callable[Concatenate[S, P], Coroutine[Any, Any, T]]) -> None:
        self.function = function
        functools.update_wrapper(cast("Callable[..., Any]", self), function)

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> operation[S, P, T]: ...
    @overload
    def __get__(self, instance: Service[Sync], owner: type[Any] | None = None) -> Callable[P, T]: ...
    @overload
    def __get__(
        self, instance: Service[Async], owner: type[Any] | None = None
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        if instance is None:
            return self

        @functools.wraps(self.function)
        def bound(*args: P.args, **kwargs: P.kwargs) -> Any:
            coroutine = self.function(instance, *args, **kwargs)
            return portal().run(coroutine) if isinstance(instance.mode, Sync) else coroutine

        return bound


class stream(Generic[S, P, T]):  # noqa: N801 - a decorator
    """Make an async generator method an iterator of both faces. Leaving a loop early runs its cleanup."""

    def __init__(self, function: Callable[Concatenate[S, P], AsyncIterator[T]]) -> None:
        self.function = function
        functools.update_wrapper(cast("Callable[..., Any]", self), function)

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> stream[S, P, T]: ...
    @overload
    def __get__(self, instance: Service[Sync], owner: type[Any] | None = None) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, instance: Service[Async], owner: type[Any] | None = None) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        if instance is None:
            return self

        @functools.wraps(self.function)
        def bound(*args: P.args, **kwargs: P.kwargs) -> Any:
            items = self.function(instance, *args, **kwargs)
            return _iterate(items) if isinstance(instance.mode, Sync) else items

        return bound


def _iterate(items: AsyncIterator[T]) -> Iterator[T]:
    async def following() -> list[T]:
        try:
            return [await items.__anext__()]
        except StopAsyncIteration:
            return []

    try:
        while item := portal().run(following()):
            yield item[0]
    finally:
        if isinstance(items, AsyncGenerator):
            portal().run(_close(items))


async def _close(items: AsyncGenerator[Any, Any]) -> None:
    await items.aclose()
