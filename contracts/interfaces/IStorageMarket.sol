// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// UUPS, verifier of service 1: deals and proofs. PERIOD and PROVE_WINDOW are constants of the implementation.
interface IStorageMarket {
    struct Agreement {                    // 3 slots; payer, payee, prepaid money are hub.locks(market, id); the pieces digest is signed and emitted, not stored
        bytes32 root;                                                                   // Merkle-sum root over the pieces
        uint32 node; uint24 position; uint48 leaves; uint32 start; uint32 end; uint32 settledTo; uint32 rateSince; uint16 nonce; uint8 status; // 256
        uint96 rate; uint96 oldRate; uint64 collateralPerLeaf;                          // wei a period
    }
    struct Ledger { uint48 leaves; uint24 count; uint32 lastProven; uint8 misses; uint32 missedTo; uint112 gap; } // per node; + 5 x uint48 sum tree (15,625 deals), position => id, bitmap
    struct Terms { address payer; uint32 node; address payee; bytes32 root; bytes32 pieces; uint48 leaves; uint96 rate; uint32 start; uint32 end; uint96 prepaid; uint96 repairShare; address repairer; uint64 salt; }
    struct Change { uint256 id; bytes32 root; bytes32 pieces; uint48 leaves; uint96 rate; uint32 end; uint96 prepaid; uint16 nonce; }
    struct Policy { address payer; bytes32 manifest; uint96 maxRate; uint96 budget; bytes32 allowedNodes; uint40 expiry; uint64 nonce; }
    function open(Terms calldata t, bytes calldata payerSig, bytes calldata nodeSig) external returns (uint256 id); // anyone with both; id = digest; now < start <= now + 2; reverts on a node with a miss-10 flag
    function openMany(Terms[] calldata t, bytes calldata payerSig, bytes[] calldata nodeSigs) external returns (uint256[] memory); // payerSig over TermsBatch(bytes32[] ids) of these t; a row that cannot open is skipped (id 0)
    function openByPolicy(Terms calldata t, Policy calldata p, uint256 lostId, bytes calldata proof, bytes calldata policySig, bytes calldata nodeSig) external returns (uint256 id); // repair, payer offline; proof: piece under the lost root, node under allowedNodes
    function change(Change calldata c, bytes calldata payerSig, bytes calldata nodeSig) external;       // both; settles first, reverts while an earlier period is undecided; effective next period
    function terminate(uint256 id) external;                                            // payer: end = now + NOTICE; node: same, and forfeits its fault share
    function close(uint256 id) external;                                                // anyone, after end and settled: frees reserve, position, refund
    function draw(uint32 period) external;                                              // anyone, in period + 1: first call fixes the block, second stores seed u176 | drawnBlock u40 | drawnAt u40
    function prove(uint32 node, uint32 period, bytes calldata answers) external;        // anyone; until PROVE_WINDOW and PROVE_BLOCKS after the draw, whichever is later; sets one bit
    function settle(uint256[] calldata ids) external;                                   // anyone; rate x popcount(bits of closed windows) through hub.release
    function reportMissed(uint32 node, uint32 period) external;                         // anyone
    function claimRepair(uint256 lostId, uint256 newId, bytes32 piece, uint48 leaves, bytes calldata lostPath, bytes calldata newPath) external; // anyone, after one proven period: pays t.repairer from the failed node's fund, once a (lostId, piece)
    function claimRemainder(uint256 lostId) external;                                   // anyone, 60 d after miss 10, to its payer by leaves
    function provenPeriods(uint32 node, uint32 from, uint32 to) external view returns (uint256);
}
