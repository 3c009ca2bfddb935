"""Write contracts/storage/Blake3Chunk.sol: BLAKE3 of a block from one of its chunks, unrolled in Yul.

`--check` fails when it is stale. A row of the 4 x 4 state lives in one 256-bit word, one 32-bit word in each 64-bit
lane, lane 0 uppermost. Additions then need no masks (carries stay in the upper half of a lane until the next mask),
and a rotation of every 32-bit word by n together with a rotation of the lanes by l is one multiplication: modulo
2^256 - 1, multiplying by 2^j rotates by j bits. Multiplying by 2^(64 l - n) * (2^32 + 1) writes both halves of the
32-bit rotation at once; a mask drops what falls between.

Message words lie isolated in memory, 32 bytes apart with zeros between, so loading from an address shifted by 8 bytes
a lane puts a word into any lane.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "contracts/storage/Blake3Chunk.sol"

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT_FLAG = 1, 2, 4, 8

MODULUS = 2**256 - 1
LOW = int("00000000ffffffff" * 4, 16)
WORDS = 0x200
"""Memory position of the sixteen isolated message words; 0x80 bytes before it are scratch."""
SCRATCH = 0x180


def row(words: tuple[int, ...]) -> int:
    """Four 32-bit words as a row."""
    return sum(word << (192 - 64 * lane) for lane, word in enumerate(words))


def number(value: int) -> str:
    return f"0x{value:064x}" if value >= 1 << 32 else f"0x{value:x}"


def rotate_words(x: str, y: str, bits: int, lanes: int) -> str:
    """Yul: every 32-bit word of x ^ y rotated right by `bits`, then the lanes rotated left by `lanes`."""
    if lanes == 0:
        # Without lanes a shift of the doubled word is cheaper than the modulus.
        return f"and(shr({bits}, mul(and(xor({x}, {y}), LOW), 0x100000001)), LOW)"
    factor = (2**32 + 1) * pow(2, (64 * lanes - bits) % 256, MODULUS) % MODULUS
    return f"and(mulmod(and(xor({x}, {y}), LOW), {number(factor)}, MODULUS), LOW)"


def rotate_lanes(x: str, lanes: int) -> str:
    return f"mulmod({x}, {number(pow(2, 64 * lanes % 256, MODULUS))}, MODULUS)"


def sum_of(x: str, y: str, words: list[int]) -> str:
    """Yul: x + y + one message word a lane."""
    text = f"add({x}, {y})"
    for lane, word in enumerate(words):
        text = f"add(mload({number(WORDS + 32 * word + 24 - 8 * lane)}), {text})"
    return text


def half_round(first: list[int], second: list[int], turn: int) -> list[str]:
    """Four quarter rounds at once, then the turn between columns and diagonals: +1 there, -1 back.

    Between the two additions of each row the rows are new variables, because writing to an old one costs a swap.
    Row a stays; b turns by one lane, c by two, d by three (so back by one), and the other way on the way back. Each is
    turned where it is written last.
    """
    return [
        "{",
        f"    let e := {sum_of('a', 'b', first)}",
        f"    let h := {rotate_words('d', 'e', 16, 0)}",
        "    let g := add(c, h)",
        f"    let f := {rotate_words('b', 'g', 12, 0)}",
        f"    a := {sum_of('e', 'f', second)}",
        f"    h := {rotate_words('h', 'a', 8, 0)}",
        "    g := add(g, h)",
        f"    b := {rotate_words('f', 'g', 7, turn)}",
        f"    c := {rotate_lanes('g', 2)}",
        f"    d := {rotate_lanes('h', -turn)}",
        "}",
    ]


def rounds() -> list[str]:
    lines: list[str] = []
    order = list(range(16))
    for _ in range(7):
        m = order
        lines += half_round([m[0], m[2], m[4], m[6]], [m[1], m[3], m[5], m[7]], 1)
        lines += half_round([m[8], m[10], m[12], m[14]], [m[9], m[11], m[13], m[15]], -1)
        order = [order[i] for i in PERMUTATION]
    return lines


def isolate(words: range, source: int, step: int) -> str:
    """Yul: 32-bit words that lie `step` bytes apart from memory `source` on, put where message words belong."""
    return "\n".join(
        f"mcopy({number(WORDS + 32 * word + 28)}, {number(source + step * i)}, 4)" for i, word in enumerate(words)
    )


def swap(x: str, by: int) -> str:
    """Yul: the bytes of each 32-bit word of x reversed, because BLAKE3 is little-endian."""
    odd, low = number(int("00ff" * 16, 16)), number(int("0000ffff" * 8, 16))
    pairs = f"{x} := or(and(shr(8, {x}), {odd}), shl(8, and({x}, {odd})))"
    words = f"{x} := or(and(shr(16, {x}), {low}), shl(16, and({x}, {low})))"
    return pairs + "\n" + " " * by + words


def indent(text: str, by: int) -> str:
    return text.replace("\n", "\n" + " " * by)


def contract() -> str:
    cv = SCRATCH  # a chaining value as two rows, 0x40 bytes
    sibling = SCRATCH + 0x40
    whole = isolate(range(16), SCRATCH, 4)
    own_left = isolate(range(8), cv + 4, 8) + "\n" + isolate(range(8, 16), sibling, 4)
    own_right = isolate(range(8, 16), cv + 4, 8) + "\n" + isolate(range(8), sibling, 4)
    digest = "\n".join(f"mcopy({number(4 * i)}, {number(cv + 4 + 8 * i)}, 4)" for i in range(8))
    high, low = number(row(IV[:4])), number(row(IV[4:]))
    return f"""// SPDX-License-Identifier: Apache-2.0
// Generated by toolchain/generate_blake3.py, where its arithmetic is explained. Do not edit.
pragma solidity ^0.8.28;

import {{IBlake3Chunk}} from "../interfaces/IBlake3Chunk.sol";

/// @title BLAKE3 of a block from one of its 1 KiB chunks and the siblings above it. About 5,000 gas a compression.
/// @dev Built by the legacy pipeline: the optimizer's Yul sequence of via-IR runs out of memory on the unrolled rounds.
contract Blake3Chunk is IBlake3Chunk {{
    // forgefmt: disable-start
    /// @inheritdoc IBlake3Chunk
    function rootOf(uint256 index, uint256 count, uint256 length, bytes calldata proof)
        external
        pure
        returns (bytes32 digest)
    {{
        bool malformed;
        assembly {{
            // One 32-bit word in each 64-bit lane.
            function compress(h0, h1, tail) -> o0, o1 {{
                let LOW := {number(LOW)}
                let MODULUS := not(0)
                let a := h0
                let b := h1
                let c := {high}
                let d := tail
                {indent(chr(10).join(rounds()), 16)}
                o0 := and(xor(a, c), LOW)
                o1 := and(xor(b, d), LOW)
            }}
            // The turns from the block down to the chunk, the last one lowest: 1 is right.
            let turns := 0
            let levels := 0
            let last := eq(add(index, 1), count)
            malformed := or(iszero(lt(index, count)), gt(count, 1024))
            malformed := or(malformed, or(iszero(length), gt(length, 1024)))
            malformed := or(malformed, and(iszero(last), lt(length, 1024)))
            if iszero(malformed) {{
                let place := index
                let size := count
                for {{ let left := 512 }} gt(size, 1) {{ left := shr(1, left) }} {{
                    // The left side takes the largest power of two below the size.
                    if lt(left, size) {{
                        turns := shl(1, turns)
                        levels := add(levels, 1)
                        switch lt(place, left)
                        case 1 {{ size := left }}
                        default {{
                            turns := or(turns, 1)
                            place := sub(place, left)
                            size := sub(size, left)
                        }}
                    }}
                }}
                malformed := iszero(eq(proof.length, add(length, shl(5, levels))))
            }}
            if iszero(malformed) {{
                let cursor := proof.offset
                let end := add(cursor, length)
                let h0 := {high}
                let h1 := {low}
                let counter := shl(192, index)
                let flags := {CHUNK_START}
                for {{ }} lt(cursor, end) {{ }} {{
                    let size := 64
                    let first := calldataload(cursor)
                    let second := calldataload(add(cursor, 32))
                    if lt(sub(end, cursor), 64) {{
                        // The last block is padded with zeros.
                        size := sub(end, cursor)
                        mstore({number(SCRATCH)}, 0)
                        mstore({number(SCRATCH + 32)}, 0)
                        calldatacopy({number(SCRATCH)}, cursor, size)
                        first := mload({number(SCRATCH)})
                        second := mload({number(SCRATCH + 32)})
                    }}
                    cursor := add(cursor, size)
                    {swap("first", 20)}
                    {swap("second", 20)}
                    mstore({number(SCRATCH)}, first)
                    mstore({number(SCRATCH + 32)}, second)
                    {indent(whole, 20)}
                    if eq(cursor, end) {{
                        flags := or(flags, {CHUNK_END})
                        if iszero(levels) {{ flags := or(flags, {ROOT_FLAG}) }}
                    }}
                    h0, h1 := compress(h0, h1, or(counter, or(shl(64, size), flags)))
                    flags := 0
                }}
                for {{ }} levels {{ levels := sub(levels, 1) }} {{
                    mstore({number(cv)}, h0)
                    mstore({number(cv + 32)}, h1)
                    let beside := calldataload(cursor)
                    {swap("beside", 20)}
                    mstore({number(sibling)}, beside)
                    cursor := add(cursor, 32)
                    switch and(turns, 1)
                    case 0 {{
                        {indent(own_left, 24)}
                    }}
                    default {{
                        {indent(own_right, 24)}
                    }}
                    turns := shr(1, turns)
                    flags := {PARENT}
                    if eq(levels, 1) {{ flags := {PARENT | ROOT_FLAG} }}
                    h0, h1 := compress({high}, {low}, or({number(64 << 64)}, flags))
                }}
                mstore({number(cv)}, h0)
                mstore({number(cv + 32)}, h1)
                {indent(digest, 16)}
                digest := mload(0)
                {swap("digest", 16)}
            }}
        }}
        if (malformed) revert MalformedChunk();
    }}
    // forgefmt: disable-end
}}
"""


def main() -> int:
    text = contract()
    if "--check" in sys.argv[1:]:
        if not TARGET.exists() or TARGET.read_text() != text:
            print(f"{TARGET.relative_to(ROOT)} is stale: run make generate", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
