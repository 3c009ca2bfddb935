// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title A source of public randomness, one a chain
/// @notice Randomness comes in two steps: a point in the future is named first, its word is read later. Nobody can name another
/// point once the first is fixed. How far the word is beyond influence is stated by each implementation.
interface IRandomness {
    /// @notice The next point whose word nobody can know yet. Anyone may call.
    /// @return point what the caller keeps and passes to `wordAt`; a block number for block hashes
    function nextPoint() external view returns (uint40 point);

    /// @notice The word of a point. Anyone may call.
    /// @param point as returned by `nextPoint`
    /// @return ready the word is known and still readable
    /// @return lost the word can never be read again; `ready` is then false for ever
    /// @return word 32 random bytes when `ready`, else zero
    function wordAt(uint40 point) external view returns (bool ready, bool lost, bytes32 word);
}
