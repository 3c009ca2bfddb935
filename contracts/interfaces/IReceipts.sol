// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Settled money by receipt: a market for its agreements, an adapter over the hub's lanes.
/// @notice Only settled money makes rating weight and bounds a claim.
interface IReceipts {
    /// @notice What has been paid on a receipt so far.
    /// @param receipt an agreement's id, or a lane's receipt
    /// @return payer who paid; 0 when there is no such receipt
    /// @return node whose receipt it is; 0 where the source knows no node
    /// @return service the service paid for
    /// @return settled wei paid to the payee so far, fee included
    /// @return prepaid wei put in so far
    function settledOf(bytes32 receipt)
        external
        view
        returns (address payer, uint32 node, uint16 service, uint96 settled, uint96 prepaid);
}
