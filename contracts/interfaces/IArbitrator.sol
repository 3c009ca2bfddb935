// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Who rules on contested claims: a panel now, anything that can call DisputeManager.rule later.
/// @notice Nobody calls an arbitrator back: it reads the claims, and calls rule before their deadline or not at all.
interface IArbitrator {
    /// @notice The DisputeManager it rules for; checked when it is appointed.
    function disputes() external view returns (address);
}
