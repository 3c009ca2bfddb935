// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What an amount was at any past time, at half the gas of one slot a checkpoint.
/// @notice The newest value stands in the head; what it replaces goes to a list of checkpoints, two a slot. So the first
/// value costs one new slot and every second change after it one more. Values within one second replace each other.
/// @dev A checkpoint is since (38 bits, seconds) | amount (90 bits, wei; the token's cap is below 2^90).
library BondHistory {
    struct Trace {
        uint96 amount; // 96
        uint40 since; //  40  the amount's time
        uint32 count; //  32  checkpoints in the list
        mapping(uint256 slot => uint256) past;
    }

    uint256 private constant AMOUNT_BITS = 90;
    uint256 private constant AMOUNT_MASK = (1 << AMOUNT_BITS) - 1;
    uint256 private constant HALF = 128;
    uint256 private constant HALF_MASK = (1 << HALF) - 1;

    /// @notice The amount does not fit a checkpoint.
    error AmountTooLarge(uint256 amount);

    /// @dev The value from now on.
    function set(Trace storage self, uint256 amount) internal {
        if (amount > AMOUNT_MASK) revert AmountTooLarge(amount);
        (uint96 old, uint40 since, uint32 count) = (self.amount, self.since, self.count);
        // A head that was never written needs no checkpoint: before it the value was 0.
        if (since != block.timestamp && since != 0) {
            uint256 checkpoint = uint256(since) << AMOUNT_BITS | old;
            if (count % 2 == 0) {
                self.past[count / 2] = checkpoint;
            } else {
                self.past[count / 2] |= checkpoint << HALF;
            }
            ++count;
        }
        self.amount = uint96(amount);
        self.since = uint40(block.timestamp);
        self.count = count;
    }

    /// @dev The value now.
    function latest(Trace storage self) internal view returns (uint96) {
        return self.amount;
    }

    /// @dev The value at a time: that of the newest checkpoint not after it, 0 before the first.
    function lookup(Trace storage self, uint256 time) internal view returns (uint256) {
        if (time >= self.since) return self.amount;
        uint256 low = 0;
        uint256 high = self.count;
        uint256 amount = 0;
        while (low < high) {
            uint256 middle = (low + high) / 2;
            uint256 checkpoint = self.past[middle / 2] >> middle % 2 * HALF & HALF_MASK;
            if (checkpoint >> AMOUNT_BITS <= time) {
                amount = checkpoint & AMOUNT_MASK;
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return amount;
    }
}
