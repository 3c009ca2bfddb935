// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title BLAKE3 of a block from one of its 1 KiB chunks
interface IBlake3Chunk {
    /// @notice The index, count or length given cannot be one of a block, or `proof` is not exactly chunk and siblings.
    error MalformedChunk();

    /// @notice The BLAKE3-256 digest of the block that holds this chunk. Anyone may call; no state is read.
    /// @dev It binds chunk, position and length. The count it binds as far as it shapes the way up: whoever compares the
    /// digest must know the count from elsewhere (a piece's leaf commits to it).
    /// @param index position of the chunk in its block, from 0
    /// @param count chunks of the block, 1 to 1,024
    /// @param length bytes of the chunk: 1,024, or 1 to 1,024 when it is the last
    /// @param proof the chunk's bytes, then the chaining value (32 bytes as BLAKE3 writes them) of each sibling on its way up,
    /// lowest first; an inner node's left subtree holds the largest power of two of chunks below the node's own count
    /// @return digest what the block's CID carries if chunk, position, length and siblings are right
    function rootOf(uint256 index, uint256 count, uint256 length, bytes calldata proof)
        external
        pure
        returns (bytes32 digest);
}
