// SPDX-License-Identifier: Apache-2.0
// Generated from protocol.toml by toolchain/generate_protocol.py. Do not edit.
pragma solidity ^0.8.28;

/// @notice Constants of the protocol; docs/parameters.md gives the reason of each.
library Protocol {
    /// @dev wei
    uint256 internal constant CAP = 1000000000000000000000000000;
    /// @dev bps
    uint256 internal constant MINT_BPS = 200;
    /// @dev s
    uint256 internal constant MINT_WINDOW = 31536000;
    /// @dev bps
    uint256 internal constant BPS = 10000;
    /// @dev wei
    uint256 internal constant MICRO = 1000000000000;
    /// @dev s
    uint256 internal constant THAW = 86400;
    /// @dev s
    uint256 internal constant THAW_LAPSE = 604800;
    /// @dev s
    uint256 internal constant LOCK_GRACE = 1209600;
    /// @dev bps
    uint256 internal constant FEE_BPS_MAX = 500;
    /// @dev s
    uint256 internal constant FEE_NOTICE = 2592000;
    /// @dev s
    uint256 internal constant FEE_EPOCH = 604800;
    /// @dev bytes
    uint256 internal constant VOUCHER_ROW = 74;
    /// @dev s
    uint256 internal constant EXIT = 1814400;
    /// @dev s
    uint256 internal constant ROUND = 518400;
    /// @dev s
    uint256 internal constant MAX_FREEZE = 1209600;
    /// @dev bps
    uint256 internal constant BURN_BPS = 3000;
    /// @dev bps
    uint256 internal constant FAULT_BOUNTY_BPS_MAX = 500;
    /// @dev bps
    uint256 internal constant CLAIM_BOUNTY_BPS_MAX = 2000;
    /// @dev s
    uint256 internal constant RESERVE_MAX = 34560000;
    /// @dev s
    uint256 internal constant UNRESERVE_DELAY = 5184000;
    /// @dev s
    uint256 internal constant CONTEST = 259200;
    /// @dev s
    uint256 internal constant RULING = 432000;
    /// @dev wei
    uint256 internal constant CLAIM_BOND_MIN = 10000000000000000000;
    /// @dev bps
    uint256 internal constant CLAIM_BOND_BPS = 1000;
    /// @dev members
    uint256 internal constant PANEL_MAX = 32;
    /// @dev bps
    uint256 internal constant FAULT_BPS_MAX = 1000;
    /// @dev leaves
    uint256 internal constant SAMPLES_MAX = 8;
    /// @dev s
    uint256 internal constant CLOSE_MAX = 604800;
    /// @dev s
    uint256 internal constant CLOSE_INTERVAL = 5184000;
    /// @dev wei
    uint256 internal constant MIN_BOND_MAX = 1000000000000000000000000;
    /// @dev bytes
    uint256 internal constant ENDPOINT_MAX = 256;
    /// @dev s
    uint256 internal constant UPGRADE_DELAY = 2419200;
    /// @dev s
    uint256 internal constant UPGRADE_WINDOW = 1209600;
    /// @dev id
    uint16 internal constant STORAGE = 1;
    /// @dev s
    uint256 internal constant PERIOD = 86400;
    /// @dev s
    uint256 internal constant PROVE_WINDOW = 21600;
    /// @dev blocks
    uint256 internal constant PROVE_BLOCKS = 3600;
    /// @dev blocks
    uint256 internal constant DRAW_DELAY = 2;
    /// @dev periods
    uint256 internal constant START_LEAD = 2;
    /// @dev periods
    uint256 internal constant NOTICE = 7;
    /// @dev misses
    uint256 internal constant MISS_STEP = 3;
    /// @dev misses
    uint256 internal constant MISS_END = 10;
    /// @dev s
    uint256 internal constant REMAINDER_DELAY = 5184000;
    /// @dev bytes
    uint256 internal constant LEAF = 1024;
}
