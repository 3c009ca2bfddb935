// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// UUPS. Two doors: faults (no judge) and claims (bonded, optimistic, then one arbitrator).
interface IDisputeManager {
    struct Claim {                        // 3 slots
        address claimant; uint96 amount;
        uint32 node; uint16 service; uint8 state; uint40 deadline; uint96 bond; uint64 gap;
        bytes32 subject;                                                                // keccak(source, receipt); one claim a subject, ever
    }
    function fault(uint32 node, uint16 service, uint96 amount, address reporter, address remedy) external returns (uint96); // that service's verifier; adds the catalog's bounty
    function open(address source, bytes32 receipt, uint96 amount, bytes32 evidence) external returns (uint256 claim); // the receipt's payer; source = the service's verifier; HOLE hub only; amount <= settled; bond = hub lock
    function concede(uint256 claim) external;                                           // staker
    function contest(uint256 claim, bytes32 evidence) external;                         // anyone who posts the same bond (delegators defend their pool)
    function rule(uint256 claim, uint96 award, bytes32 reasons) external;               // arbitrator; award <= amount
    function finalise(uint256 claim) external;                                          // anyone after the deadline: silent node loses, silent arbitrator = lapse
    function rulingOf(uint256 claim) external view returns (uint8 state, uint96 award); // pulled; nobody is called back
}
