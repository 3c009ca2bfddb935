// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IClaimSource, IDisputeManager} from "../../../contracts/interfaces/IDisputeManager.sol";
import {IReceipts} from "../../../contracts/interfaces/IReceipts.sol";
import {IStakeManager} from "../../../contracts/interfaces/IStakeManager.sol";

/// @dev The verifier of a service of its own: keeps receipts the test writes, reserves and reports as it is told.
contract ServiceVerifier is IReceipts, IClaimSource {
    struct Receipt {
        address payer;
        uint32 node;
        uint16 service;
        uint96 settled;
    }

    address public hub;
    IStakeManager private immutable _vault;
    IDisputeManager private immutable _disputes;
    mapping(bytes32 => Receipt) private _receipts;

    constructor(address hub_, IStakeManager vault_, IDisputeManager disputes_) {
        hub = hub_;
        _vault = vault_;
        _disputes = disputes_;
    }

    function setHub(address hub_) external {
        hub = hub_;
    }

    function setReceipt(bytes32 receipt, address payer, uint32 node, uint16 service, uint96 settled) external {
        _receipts[receipt] = Receipt(payer, node, service, settled);
    }

    function reserve(uint32 node, uint16 service, int128 delta, uint40 until) external {
        _vault.reserve(node, service, delta, until);
    }

    function fault(uint32 node, uint16 service, uint96 amount, address reporter, address remedy)
        external
        returns (uint96)
    {
        return _disputes.fault(node, service, amount, reporter, remedy);
    }

    function settledOf(bytes32 receipt) external view returns (address, uint32, uint16, uint96, uint96) {
        Receipt memory r = _receipts[receipt];
        return (r.payer, r.node, r.service, r.settled, r.settled);
    }
}
