// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

interface IReputation {
    struct Score { uint96 weight; uint96 weighted; uint40 at; uint24 gap; }             // per (payee, service), one slot, exponential decay
    function rate(address source, bytes32 receipt, uint8 score) external;               // the receipt's payer; weight = settled - already rated
    function scoreOf(address payee, uint16 service) external view returns (uint96 weight, uint8 mean);
}
