// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title One bit a node and period, 256 periods a slot
library PeriodBits {
    function get(mapping(uint256 => uint256) storage words, uint32 node, uint32 period) internal view returns (bool) {
        return words[_key(node, period)] >> (period & 255) & 1 != 0;
    }

    function set(mapping(uint256 => uint256) storage words, uint32 node, uint32 period) internal {
        words[_key(node, period)] |= 1 << (period & 255);
    }

    /// @notice Bits set in [from, to).
    function count(mapping(uint256 => uint256) storage words, uint32 node, uint256 from, uint256 to)
        internal
        view
        returns (uint256 total)
    {
        unchecked {
            while (from < to) {
                uint256 next = (from | 255) + 1;
                if (next > to) next = to;
                uint256 bits = words[_key(node, uint32(from))] >> (from & 255);
                // A part of a word: drop what lies at or beyond `next`.
                if (next - from < 256) bits &= (1 << (next - from)) - 1;
                total += popcount(bits);
                from = next;
            }
        }
    }

    /// @notice Bits set in a word, 0 to 256.
    function popcount(uint256 x) internal pure returns (uint256) {
        unchecked {
            x -= x >> 1 & 0x5555555555555555555555555555555555555555555555555555555555555555;
            x = (x & 0x3333333333333333333333333333333333333333333333333333333333333333)
                + (x >> 2 & 0x3333333333333333333333333333333333333333333333333333333333333333);
            x = x + (x >> 4) & 0x0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f;
            // Sixteen-bit lanes, because 256 does not fit a byte.
            x = (x & 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff)
                + (x >> 8 & 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff);
            return x * 0x0001000100010001000100010001000100010001000100010001000100010001 >> 240;
        }
    }

    function _key(uint32 node, uint32 period) private pure returns (uint256) {
        return uint256(node) << 32 | period >> 8;
    }
}
