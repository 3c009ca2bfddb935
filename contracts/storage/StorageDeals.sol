// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {MarketBase} from "./MarketBase.sol";
import {MarketPolicy} from "./MarketPolicy.sol";

/// @title The half of the storage market that opens and changes deals
/// @notice Code only: StorageMarket creates it and runs it by delegatecall, because one contract may not hold all of it. Called
/// directly it has no state, and neither bank nor vault obey it.
contract StorageDeals is MarketPolicy {
    constructor(Setup memory s) MarketBase(s) {}
}
