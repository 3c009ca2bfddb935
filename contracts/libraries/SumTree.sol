// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title A tree of sums with five children of 48 bits a slot, one tree a node
/// @notice Level 0 holds the leaves of positions 5i .. 5i + 4 in slot i; each higher level the sums of the slots below. A tree of depth d
/// has 5^d positions; six levels are 15,625. With one position, at depth 0, the total is all there is and no slot is used.
library SumTree {
    uint256 internal constant MAX_DEPTH = 6;
    uint256 private constant WIDTH = 5;
    uint256 private constant LANE = 48;
    uint256 private constant MASK = type(uint48).max;

    error IndexBeyondTotal();

    /// @notice Adds a level when `position` needs one. `total` is the tree's before.
    function grow(
        mapping(uint256 => uint256) storage slots,
        uint32 node,
        uint256 depth,
        uint256 position,
        uint256 total
    ) internal returns (uint256) {
        if (position < WIDTH ** depth) return depth;
        // Positions are handed out one by one, so one level is always enough.
        slots[_key(node, depth, 0)] = total;
        return depth + 1;
    }

    /// @notice Adds `more` and takes `less` at a position. The caller keeps the total below 2^48 and takes no more than is there.
    function move(
        mapping(uint256 => uint256) storage slots,
        uint32 node,
        uint256 depth,
        uint256 position,
        uint256 more,
        uint256 less
    ) internal {
        unchecked {
            for (uint256 level; level < depth; ++level) {
                uint256 shift = (position % WIDTH) * LANE;
                position /= WIDTH;
                uint256 key = _key(node, level, position);
                slots[key] = slots[key] + (more << shift) - (less << shift);
            }
        }
    }

    /// @notice The position that holds leaf `index`, the leaf's offset there, and how many leaves it holds. The caller keeps
    /// `index` below `total`.
    function find(mapping(uint256 => uint256) storage slots, uint32 node, uint256 depth, uint256 total, uint256 index)
        internal
        view
        returns (uint256 position, uint256 offset, uint256 leaves)
    {
        unchecked {
            leaves = total;
            for (uint256 level = depth; level != 0;) {
                --level;
                uint256 slot = slots[_key(node, level, position)];
                position *= WIDTH;
                for (uint256 lane;; ++lane) {
                    if (lane == WIDTH) revert IndexBeyondTotal();
                    leaves = slot & MASK;
                    if (index < leaves) break;
                    index -= leaves;
                    slot >>= LANE;
                    ++position;
                }
            }
            return (position, index, leaves);
        }
    }

    function _key(uint32 node, uint256 level, uint256 index) private pure returns (uint256) {
        return uint256(node) << 40 | level << 32 | index;
    }
}
