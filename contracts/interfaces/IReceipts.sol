// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Settled money by receipt: the market for agreements, an adapter over hub lanes.
interface IReceipts { function settledOf(bytes32 receipt) external view returns (address payer, uint32 node, uint16 service, uint96 settled, uint96 prepaid); }
