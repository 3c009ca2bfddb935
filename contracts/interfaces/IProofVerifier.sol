// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Checks what a node answers for one sampled leaf (docs/proof-format.md)
interface IProofVerifier {
    /// @notice A side byte is neither 0 (sibling on the right) nor 1 (sibling on the left), or the answer ends too early.
    error MalformedAnswer();
    /// @notice The piece is not under the agreement's root, or the agreement's leaves do not add up.
    error WrongPiece();
    /// @notice The block is not under the piece, or the piece's leaves do not add up.
    error WrongBlock();
    /// @notice The chunk's bytes, position or length are not those of the block.
    error WrongChunk();
    /// @notice The entry does not cover the sampled offset.
    error WrongPosition();

    /// @notice Checks that `answer` starts with the possession proof of leaf `offset` under an agreement's root. Anyone may call.
    /// @param root Merkle-sum root of the agreement
    /// @param leaves leaves under it
    /// @param offset sampled leaf, counted from the agreement's first
    /// @param answer bytes of docs/proof-format.md; what follows this answer is not looked at
    /// @return length bytes of `answer` that this proof took
    /// @dev Reverts with the first thing that is wrong.
    function verify(bytes32 root, uint256 leaves, uint256 offset, bytes calldata answer)
        external
        view
        returns (uint256 length);

    /// @notice The Merkle-sum root above an entry. Anyone may call.
    /// @param digest digest of the entry: a piece's root, or a block's BLAKE3 digest
    /// @param leaves leaves of the entry
    /// @param path steps of 39 bytes from the entry upward: side u8, sibling bytes32, sibling's leaves u48
    /// @return root the root
    /// @return total leaves under it
    /// @return start leaves before the entry
    function climb(bytes32 digest, uint48 leaves, bytes calldata path)
        external
        view
        returns (bytes32 root, uint256 total, uint256 start);
}
