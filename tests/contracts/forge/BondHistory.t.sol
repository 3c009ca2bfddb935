// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {BondHistory} from "../../../contracts/libraries/BondHistory.sol";
import {Test} from "./Test.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

/// @notice BondHistory answers exactly as OpenZeppelin's Checkpoints do, for any changes at any times.
contract BondHistoryTest is Test {
    using BondHistory for BondHistory.Trace;
    using Checkpoints for Checkpoints.Trace208;

    BondHistory.Trace private ours;
    Checkpoints.Trace208 private expected;

    function testFuzz_lookup_equalsCheckpoints(uint256 seed, uint8 changes, uint256 probe) public {
        vm.warp(1_800_000_000);
        uint256 start = vm.getBlockTimestamp();
        for (uint256 i = 0; i < changes % 40; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            skip(seed % 4 * (seed >> 16) % 1000);
            uint256 amount = seed >> 64 & (1 << 90) - 1;
            if (seed >> 32 & 7 == 0) amount = 0;
            ours.set(amount);
            expected.push(uint48(vm.getBlockTimestamp()), uint208(amount));
            assertEq(ours.latest(), expected.latest());
        }
        uint256 end = vm.getBlockTimestamp();
        for (uint256 i = 0; i < 40; ++i) {
            probe = uint256(keccak256(abi.encode(probe)));
            uint256 time = start - 2 + probe % (end - start + 4);
            assertEq(ours.lookup(time), expected.upperLookupRecent(uint48(time)), "a past value");
        }
        assertEq(ours.lookup(type(uint256).max), expected.latest());
    }

    function test_set_refusesWhatACheckpointCannotHold() public {
        ours.set((1 << 90) - 1);
        vm.expectRevert(abi.encodeWithSelector(BondHistory.AmountTooLarge.selector, 1 << 90));
        this.set(1 << 90);
    }

    function set(uint256 amount) external {
        ours.set(amount);
    }
}
