"""The field GF(2^8) with polynomial 0x11d and the matrices of our code over it. Field elements are bytes; a matrix is a
tuple of rows, each a `bytes`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TypeAlias

POLYNOMIAL = 0x11D

Matrix: TypeAlias = tuple[bytes, ...]


@cache
def _logarithms() -> tuple[bytes, list[int]]:
    powers = bytearray(510)
    logarithms = [0] * 256
    value = 1
    for exponent in range(255):
        powers[exponent] = powers[exponent + 255] = value
        logarithms[value] = exponent
        value <<= 1
        if value & 0x100:
            value ^= POLYNOMIAL
    return bytes(powers), logarithms


def multiply(left: int, right: int) -> int:
    """The product of two elements."""
    if not left or not right:
        return 0
    powers, logarithms = _logarithms()
    return powers[logarithms[left] + logarithms[right]]


def inverse(value: int) -> int:
    """1 / value. Raises ZeroDivisionError for 0."""
    if not value:
        raise ZeroDivisionError("0 has no inverse")
    powers, logarithms = _logarithms()
    return powers[255 - logarithms[value]]


@cache
def products(factor: int) -> bytes:
    """factor times every element: a table for `bytes.translate`, which multiplies a whole row at once."""
    return bytes(multiply(factor, value) for value in range(256))


def add(left: bytes, right: bytes) -> bytes:
    """The sum of two rows of equal length."""
    return (int.from_bytes(left, "little") ^ int.from_bytes(right, "little")).to_bytes(len(left), "little")


def combine(coefficients: bytes, rows: Sequence[bytes]) -> bytes:
    """Σ coefficients[i] · rows[i]."""
    total = 0
    for factor, row in zip(coefficients, rows, strict=True):
        if factor:
            total ^= int.from_bytes(row.translate(products(factor)), "little")
    return total.to_bytes(len(rows[0]), "little")


def cauchy(k: int, n: int) -> Matrix:
    """The systematic n × k code: rows 0 to k − 1 are the identity, row i ≥ k is 1 / (i xor j). Any k rows are
    invertible."""
    if not 1 <= k < n <= 255:
        raise ValueError("a code needs 1 ≤ k < n ≤ 255")
    identity = tuple(bytes(int(row == column) for column in range(k)) for row in range(k))
    return identity + tuple(bytes(inverse(row ^ column) for column in range(k)) for row in range(k, n))


def product(left: Sequence[bytes], right: Sequence[bytes]) -> Matrix:
    """left × right."""
    return tuple(combine(row, right) for row in left)


def invert(matrix: Sequence[bytes]) -> Matrix:
    """The inverse of a square matrix. Raises ZeroDivisionError when it has none."""
    size = len(matrix)
    work = [row + bytes(int(column == index) for column in range(size)) for index, row in enumerate(matrix)]
    for column in range(size):
        pivot = next((row for row in range(column, size) if work[row][column]), None)
        if pivot is None:
            raise ZeroDivisionError("a singular matrix")
        work[column], work[pivot] = work[pivot], work[column]
        work[column] = work[column].translate(products(inverse(work[column][column])))
        for row in range(size):
            if row != column and work[row][column]:
                work[row] = add(work[row], work[column].translate(products(work[row][column])))
    return tuple(row[size:] for row in work)
