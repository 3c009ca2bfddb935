// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IPaymentHub} from "../interfaces/IPaymentHub.sol";
import {IReceipts} from "../interfaces/IReceipts.sol";

/// @title The lanes of a hub as receipts: what a payer's vouchers have paid a payee for a service.
/// @notice Lane receipts make rating weight only, never a claim: a lane proves payment, not a promise. A receipt is
/// payee (160 bits) | service (16) | 0 (48) | lane (32), as the hub's laneReceipt gives it. Immutable, no state.
contract LaneReceipts is IReceipts {
    /// @notice The hub whose lanes these are.
    IPaymentHub public immutable hub;
    uint256 private immutable _unit;

    /// @notice The hub must not be the zero address.
    error InvalidHub();

    constructor(address hub_) {
        if (hub_ == address(0)) revert InvalidHub();
        hub = IPaymentHub(hub_);
        _unit = IPaymentHub(hub_).unit();
    }

    /// @inheritdoc IReceipts
    /// @dev `node` is 0: a lane pays an account, and several nodes may share it. Rate by `payeeOf`.
    function settledOf(bytes32 receipt)
        external
        view
        returns (address payer, uint32 node, uint16 service, uint96 settled, uint96 prepaid)
    {
        (address payee, uint16 service_, uint32 lane, bool canonical) = _parts(receipt);
        // Otherwise one lane would have 2^48 receipts, each with its own weight.
        if (!canonical) return (address(0), 0, 0, 0, 0);
        IPaymentHub.Lane memory paid = hub.laneOf(payee, service_, lane);
        if (paid.payer == address(0)) return (address(0), 0, 0, 0, 0);
        // Fits: 2^48 micro * 1e12 < 2^88.
        return (paid.payer, 0, service_, uint96(paid.claimed * _unit), uint96(paid.deposit * _unit));
    }

    /// @notice Who was paid on a receipt.
    function payeeOf(bytes32 receipt) external pure returns (address payee) {
        (payee,,,) = _parts(receipt);
    }

    function _parts(bytes32 receipt) private pure returns (address payee, uint16 service, uint32 lane, bool canonical) {
        uint256 word = uint256(receipt);
        return (address(uint160(word >> 96)), uint16(word >> 80), uint32(word), uint48(word >> 32) == 0);
    }
}
