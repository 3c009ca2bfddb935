// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IRandomness} from "../interfaces/IRandomness.sol";
import {Protocol} from "../libraries/Protocol.sol";

/// @title Randomness from block hashes
/// @notice Trust: the proposer of the named block sees its hash before others and may withhold the block, at the price of its reward; a
/// chain with one sequencer trusts that sequencer. A word is readable for 256 blocks.
contract BlockhashRandomness is IRandomness {
    /// @inheritdoc IRandomness
    function nextPoint() external view returns (uint40) {
        return uint40(block.number + Protocol.DRAW_DELAY);
    }

    /// @inheritdoc IRandomness
    function wordAt(uint40 point) external view returns (bool ready, bool lost, bytes32 word) {
        if (block.number <= point) return (false, false, 0);
        word = blockhash(point);
        ready = word != 0;
        lost = !ready;
    }
}
