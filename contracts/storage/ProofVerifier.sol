// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IBlake3Chunk} from "../interfaces/IBlake3Chunk.sol";
import {IProofVerifier} from "../interfaces/IProofVerifier.sol";

/// @title From a sampled leaf up to the agreement's root: chunk, block, piece, agreement. No state; see docs/proof-format.md.
contract ProofVerifier is IProofVerifier {
    /// @notice Hashes the chunk and its way up to the block.
    IBlake3Chunk public immutable blake3;

    /// @dev What climbing from an entry gives.
    struct Climb {
        bytes32 digest;
        uint256 leaves;
        bytes32 root;
        uint256 total;
        uint256 start;
        uint256 next; // calldata position after the entry
    }

    constructor(IBlake3Chunk blake3_) {
        blake3 = blake3_;
    }

    /// @inheritdoc IProofVerifier
    function verify(bytes32 root, uint256 leaves, uint256 offset, bytes calldata answer)
        external
        view
        returns (uint256 length)
    {
        uint256 begin;
        assembly ("memory-safe") {
            begin := answer.offset
        }
        Climb memory piece = _entry(begin);
        if (piece.root != root || piece.total != leaves) revert WrongPiece();
        offset = _within(piece, offset);
        Climb memory block_ = _entry(piece.next);
        if (block_.root != piece.digest || block_.total != piece.leaves) revert WrongBlock();
        offset = _within(block_, offset);
        uint256 next = block_.next;
        uint256 size;
        uint256 proofLength;
        assembly ("memory-safe") {
            // u16 length | chunk | u8 siblings | siblings * 32
            size := shr(240, calldataload(next))
            next := add(next, 2)
            proofLength := byte(0, calldataload(add(next, size)))
        }
        length = next - begin + size + 1 + 32 * proofLength;
        if (length > answer.length) revert MalformedAnswer();
        if (_chunkRoot(offset, block_.leaves, size, next, proofLength) != block_.digest) revert WrongChunk();
    }

    /// @inheritdoc IProofVerifier
    function climb(bytes32 digest, uint48 leaves, bytes calldata path)
        external
        view
        returns (bytes32 root, uint256 total, uint256 start)
    {
        if (path.length % 39 != 0) revert MalformedAnswer();
        uint256 cursor;
        assembly ("memory-safe") {
            cursor := path.offset
        }
        return _climb(digest, leaves, cursor, path.length / 39);
    }

    /// @dev digest | leaves u48 | steps u8 | steps * (side u8 | sibling | leaves u48)
    function _entry(uint256 cursor) private view returns (Climb memory c) {
        bytes32 digest;
        uint256 leaves;
        uint256 steps;
        assembly ("memory-safe") {
            digest := calldataload(cursor)
            leaves := shr(208, calldataload(add(cursor, 32)))
            steps := byte(0, calldataload(add(cursor, 38)))
        }
        c.digest = digest;
        c.leaves = leaves;
        c.next = cursor + 39 + 39 * steps;
        (c.root, c.total, c.start) = _climb(digest, leaves, cursor + 39, steps);
    }

    /// @dev Hashes leaf and inner nodes upward. Sums are exact while the total fits 48 bits, which the caller's comparison ensures.
    function _climb(bytes32 digest, uint256 leaves, uint256 cursor, uint256 steps)
        private
        view
        returns (bytes32 root, uint256 total, uint256 start)
    {
        bool malformed;
        assembly ("memory-safe") {
            // The longest input is 77 bytes; writes of whole words reach 103.
            let m := mload(0x40)
            mstore8(m, 2)
            mstore(add(m, 1), digest)
            mstore(add(m, 33), shl(208, leaves))
            if iszero(staticcall(gas(), 2, m, 39, 0, 32)) { revert(0, 0) }
            root := mload(0)
            total := leaves
            for { let end := add(cursor, mul(39, steps)) } lt(cursor, end) { cursor := add(cursor, 39) } {
                let side := byte(0, calldataload(cursor))
                let sibling := calldataload(add(cursor, 1))
                let sum := calldataload(add(cursor, 33))
                mstore8(m, 3)
                switch side
                case 0 {
                    mstore(add(m, 1), root)
                    mstore(add(m, 33), shl(208, total))
                    mstore(add(m, 39), sibling)
                    mstore(add(m, 71), sum)
                    sum := shr(208, sum)
                }
                case 1 {
                    mstore(add(m, 1), sibling)
                    mstore(add(m, 33), sum)
                    mstore(add(m, 39), root)
                    mstore(add(m, 71), shl(208, total))
                    sum := shr(208, sum)
                    start := add(start, sum)
                }
                default {
                    malformed := 1
                    break
                }
                total := add(total, sum)
                if iszero(staticcall(gas(), 2, m, 77, 0, 32)) { revert(0, 0) }
                root := mload(0)
            }
        }
        if (malformed) revert MalformedAnswer();
        if (total > type(uint48).max) revert MalformedAnswer();
    }

    /// @dev The offset inside an entry that must cover it.
    function _within(Climb memory c, uint256 offset) private pure returns (uint256) {
        if (offset < c.start || offset - c.start >= c.leaves) revert WrongPosition();
        return offset - c.start;
    }

    /// @dev Calls rootOf(index, count, size, proof) with chunk and siblings brought together, written out by hand: the compiler
    /// would copy the kilobyte twice.
    function _chunkRoot(uint256 index, uint256 count, uint256 size, uint256 cursor, uint256 siblings)
        private
        view
        returns (bytes32 digest)
    {
        address target = address(blake3);
        bytes4 selector = IBlake3Chunk.rootOf.selector;
        bool done;
        assembly ("memory-safe") {
            let m := mload(0x40)
            let proof := add(size, mul(32, siblings))
            mstore(m, selector)
            mstore(add(m, 4), index)
            mstore(add(m, 36), count)
            mstore(add(m, 68), size)
            mstore(add(m, 100), 128)
            mstore(add(m, 132), proof)
            calldatacopy(add(m, 164), cursor, size)
            calldatacopy(add(add(m, 164), size), add(add(cursor, size), 1), mul(32, siblings))
            done := staticcall(gas(), target, m, add(164, and(add(proof, 31), not(31))), 0, 32)
            done := and(done, gt(returndatasize(), 31))
            digest := mload(0)
        }
        if (!done) revert IBlake3Chunk.MalformedChunk();
    }
}
