// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// IMMUTABLE. Holds the stake. No pause. Slashing is bounded here, not in the caller. EXIT = 21 d, MAX_FREEZE = 14 d, ROUND = 6 d.
interface IStakeManager {
    struct Stake {                        // per (node, service), 2 slots
        uint96 active; uint96 reserved; uint40 reservedUntil; uint24 gap0; // reserve needs reserved + frozen <= active
        uint96 exiting; uint96 frozen; uint40 exitAt; uint24 gap1;         // one exit bucket, asking again restarts it; frozen = sum of open holds, may exceed the stake, checks saturate
    }
    struct Round { uint96 awards; uint96 stake; uint40 since; uint24 gap; } // per (node, service, round): claims opened within ROUND of the first; first pay at since + 14 d moves min(awards, active + exiting), exiting first, out into `stake`; each gets award * stake / awards
    struct Hold { uint32 node; uint16 service; uint32 round; uint96 amount; uint40 until; uint40 gap; } // per claim: the whole claim; until = round.since + 14 d; no award after it
    function stakerOf(uint32 node) external view returns (address);                     // the owner at the first bond, cleared when the node has no stake left; a pool registers the node itself or takes it by transferStaker
    function transferStaker(uint32 node, address to) external;                          // staker, two steps
    function acceptStaker(uint32 node) external;
    function bond(uint32 node, uint16 service, uint96 amount) external;                 // staker; only adds, moves no timer
    function requestExit(uint32 node, uint16 service, uint96 amount) external;          // staker; <= active - reserved - frozen
    function cancelExit(uint32 node, uint16 service) external;                          // staker
    function withdraw(uint32 node, uint16 service, address to) external;                // staker; now >= exitAt; leaves only what is frozen
    function reserve(uint32 node, uint16 service, int128 delta, uint40 until) external; // the service's verifier; until <= now + 400 d
    function unreserve(uint32 node, uint16 service) external;                           // staker, after reservedUntil + 60 d: a dead verifier holds nothing for ever
    function fault(uint32 node, uint16 service, uint96 amount, uint16 bountyBps, address reporter, address remedy) external returns (uint96 taken); // DisputeManager; <= min(reserved, active); lowers active only, reserved falls at close; burns 30 %, bounty <= 500 bps, rest to remedy
    function freeze(uint256 claim, uint32 node, uint16 service, uint96 amount) external; // DisputeManager; opens or joins a round
    function award(uint256 claim, uint96 amount, uint16 bountyBps, address victim, address reporter) external; // DisputeManager; books into the round; bounty <= 2000 bps
    function pay(uint256 claim) external returns (uint96 paid);                         // anyone, from round.since + 14 d, pro rata; burns 30 %; what is awarded stays frozen until then
    function lapse(uint256 claim) external;                                             // only a claim without award: DisputeManager any time, anyone after `until`
    function stakeOf(uint32 node, uint16 service) external view returns (Stake memory);
    function clock() external view returns (uint48);
    function getPastBond(address staker, uint256 timepoint) external view returns (uint256); // active + exiting, for VotingPower
}
