// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

/// @title The delay between a decision and its effect. Never replaced: token, hub and upgrades name it for ever.
/// @notice It administers itself: proposers and executors change by operations that waited like any other. The delay
/// can grow, and shrink again to what it was built with, not below.
contract Timelock is TimelockController {
    /// @notice The delay in seconds that no operation can undercut.
    uint256 public immutable floor;

    /// @notice A delay below the floor.
    error DelayBelowFloor(uint256 delay, uint256 floor);

    /// @param delay seconds an operation waits, and the floor for later changes
    /// @param proposers who may schedule and cancel; the governor joins by a scheduled call
    /// @param executors who may execute; the zero address means anyone
    constructor(uint256 delay, address[] memory proposers, address[] memory executors)
        TimelockController(delay, proposers, executors, address(0))
    {
        floor = delay;
    }

    /// @notice Sets the delay for operations scheduled from now on.
    /// @dev The timelock itself, by an operation. Reverts DelayBelowFloor, TimelockUnauthorizedCaller.
    function updateDelay(uint256 newDelay) public override {
        if (newDelay < floor) revert DelayBelowFloor(newDelay, floor);
        super.updateDelay(newDelay);
    }
}
