"""The erasure code: n shards from k, and any k of them give back all n.

A systematic Cauchy code over GF(2^8)/0x11d, `A[i, j] = 1 / (i xor j)` below the identity: a closed form, so every
implementation makes the same shards. The matrices are computed here (`galois`); multiplying megabytes by them is
ISA-L's work, found inside the installed `pyeclib` wheel, else as the system's libisal2. Where neither loads, the
interpreter does it with `bytes.translate`: slowly, with the same result.
"""

from __future__ import annotations

import ctypes
import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, cached_property, lru_cache
from typing import Protocol

from blackhole.errors import NotEnoughShards
from blackhole.storage import galois
from blackhole.storage.rows import RowBuffer

_SLICE = 64 << 10
"""bytes of each row worked on at a time: k rows of it stay in the cache while the parity rows are made."""


class ErasureCode:
    """A code of k of n. Rows of a `RowBuffer` are shards by their number: 0 to k − 1 data, k to n − 1 parity."""

    def __init__(self, k: int, n: int) -> None:
        self.k = k
        self.n = n
        self.matrix = galois.cauchy(k, n)
        """n rows of k coefficients."""
        self._native = _native()

    @cached_property
    def _parity_tables(self) -> Tables:
        return self._native.tables(self.matrix[self.k :])

    def encode(self, rows: RowBuffer, start: int, length: int) -> None:
        """Fill the parity rows from the data rows, bytes `start` to `start + length` of each."""
        if start < 0 or length < 0 or start + length > rows.size:
            raise ValueError("outside the rows")
        self.prepared_encode(rows, start, length)()

    def decode(self, rows: RowBuffer, have: Iterable[int], start: int, length: int) -> None:
        """Fill every data row that is not in `have`. Raises NotEnoughShards."""
        present = set(have)
        self.rebuild(rows, present, [shard for shard in range(self.k) if shard not in present], start, length)

    def rebuild(self, rows: RowBuffer, have: Iterable[int], want: Sequence[int], start: int, length: int) -> None:
        """Fill the rows `want`, data or parity, from any k of the rows `have`. Raises NotEnoughShards."""
        if not want:
            return
        sources = tuple(sorted(set(have))[: self.k])
        if len(sources) < self.k:
            raise NotEnoughShards(
                f"{len(sources)} shards can be reached, {self.k} are needed",
                data={"have": len(sources), "need": self.k},
            )
        self.combine(rows, sources, want, _recovery(self.k, self.n, sources, tuple(want)), start, length)

    def prepared_encode(self, rows: RowBuffer, start: int, length: int) -> Callable[[], None]:
        """`encode` of the same stretch of the same rows, to be called many times."""
        data, parity = range(self.k), range(self.k, self.n)
        steps = [
            self._native.prepare(self._parity_tables, rows, data, parity, at, count)
            for at, count in _slices(start, length)
        ]
        if len(steps) == 1:
            return steps[0]

        def run() -> None:
            for step in steps:
                step()

        return run

    def combine(
        self,
        rows: RowBuffer,
        sources: Sequence[int],
        targets: Sequence[int],
        coefficients: Sequence[bytes],
        start: int,
        length: int,
    ) -> None:
        """rows[targets[i]] = Σ coefficients[i][j] · rows[sources[j]], over `length` bytes from `start`."""
        if start < 0 or length < 0 or start + length > rows.size:
            raise ValueError("outside the rows")
        if not targets or not length:
            return
        tables = self._native.tables(coefficients)
        for at, count in _slices(start, length):
            self._native.prepare(tables, rows, sources, targets, at, count)()


def _slices(start: int, length: int) -> Iterator[tuple[int, int]]:
    for at in range(start, start + length, _SLICE):
        yield at, min(_SLICE, start + length - at)


@lru_cache(maxsize=256)
def _recovery(k: int, n: int, sources: tuple[int, ...], want: tuple[int, ...]) -> galois.Matrix:
    matrix = galois.cauchy(k, n)
    return galois.product([matrix[shard] for shard in want], galois.invert([matrix[shard] for shard in sources]))


class Tables:
    """Coefficients, prepared for an engine."""

    def __init__(self, coefficients: Sequence[bytes], native: ctypes.Array[ctypes.c_char] | None) -> None:
        self.coefficients = tuple(coefficients)
        self.native = native


class Engine(Protocol):
    """What multiplies rows by coefficients."""

    name: str

    def tables(self, coefficients: Sequence[bytes]) -> Tables:
        """Prepare coefficients."""
        ...

    def prepare(
        self, tables: Tables, rows: RowBuffer, sources: Sequence[int], targets: Sequence[int], start: int, length: int
    ) -> Callable[[], None]:
        """What computes rows[targets] over a stretch, each time it is called (see ErasureCode.combine)."""
        ...


class IsalEngine:
    """ISA-L through ctypes, which releases the interpreter lock."""

    def __init__(self, path: str) -> None:
        """Raises OSError when the library does not load or does not compute our code."""
        self.name = path
        self.library = ctypes.CDLL(path)
        pointer, integer = ctypes.c_void_p, ctypes.c_int
        try:
            self._tables = self.library.ec_init_tables
            self._encode = self.library.ec_encode_data
        except AttributeError as error:
            raise OSError(f"{path} is not ISA-L") from error
        self._tables.argtypes, self._tables.restype = [integer, integer, pointer, pointer], None
        self._encode.argtypes, self._encode.restype = [integer, integer, integer, pointer, pointer, pointer], None
        if _trial(self) != _trial(PlainEngine()):
            raise OSError(f"{path} computes another code")

    def tables(self, coefficients: Sequence[bytes]) -> Tables:
        """See Engine."""
        k, count = len(coefficients[0]), len(coefficients)
        native = ctypes.create_string_buffer(32 * k * count)
        self._tables(k, count, b"".join(coefficients), native)
        return Tables(coefficients, native)

    def prepare(
        self, tables: Tables, rows: RowBuffer, sources: Sequence[int], targets: Sequence[int], start: int, length: int
    ) -> Callable[[], None]:
        """See Engine."""
        inputs = (ctypes.c_void_p * len(sources))(*[rows.address(row, start) for row in sources])
        outputs = (ctypes.c_void_p * len(targets))(*[rows.address(row, start) for row in targets])
        encode, native = self._encode, tables.native

        def run(_alive: RowBuffer = rows) -> None:
            encode(length, len(inputs), len(outputs), native, inputs, outputs)

        return run


class PlainEngine:
    """The interpreter alone."""

    name = "Python"

    def tables(self, coefficients: Sequence[bytes]) -> Tables:
        """See Engine."""
        return Tables(coefficients, None)

    def prepare(
        self, tables: Tables, rows: RowBuffer, sources: Sequence[int], targets: Sequence[int], start: int, length: int
    ) -> Callable[[], None]:
        """See Engine."""

        def run() -> None:
            inputs = [bytes(rows.row(row, start, length)) for row in sources]
            for target, coefficients in zip(targets, tables.coefficients, strict=True):
                rows.row(target, start, length)[:] = galois.combine(coefficients, inputs)

        return run


def _trial(engine: Engine) -> bytes:
    """A small product, to compare engines by."""
    rows = RowBuffer(5, 64)
    for row in range(3):
        rows.row(row)[:] = bytes((7 * row + 31 * byte + 1) % 256 for byte in range(64))
    engine.prepare(engine.tables(galois.cauchy(3, 5)[3:]), rows, range(3), (3, 4), 0, 64)()
    return bytes(rows.row(3)) + bytes(rows.row(4))


@cache
def _native() -> Engine:
    for path in _libraries():
        try:
            return IsalEngine(path)
        except OSError:
            continue
    return PlainEngine()


def engine_name() -> str:
    """The path of the library that is used, or "Python"."""
    return _native().name


def _libraries() -> Iterable[str]:
    from importlib.util import find_spec

    spec = find_spec("pyeclib")
    for folder in spec.submodule_search_locations or () if spec else ():
        # Wheels keep bundled libraries beside the package (Linux) or inside it (macOS).
        for pattern in (f"{folder}.libs/libisal*", f"{folder}/.dylibs/libisal*"):
            yield from sorted(glob.glob(pattern))
    yield from ("libisal.so.2", "libisal.2.dylib") if os.name == "posix" else ()
