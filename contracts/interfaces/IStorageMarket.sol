// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IStorageDeals} from "./IStorageDeals.sol";

/// @title The storage market: deals, possession proofs, settlement, faults, repair. Verifier of service 1.
/// @notice Units: money in wei of HOLE; a leaf is 1 KiB; a period is `block.timestamp / PERIOD`; rates are wei a period for the
/// whole agreement. Every signature is over an EIP-712 digest of the domain "Blackhole StorageMarket", version "1". Money moves only
/// inside PaymentHub: an agreement's prepaid money is the hub's lock of the same id, its payer and payee stand there.
interface IStorageMarket is IStorageDeals {
    // ------------------------------------------------------------------------------------------------------------ proofs

    /// @notice Draws the seed of a period, in the period after it only. Anyone may call, twice.
    /// @dev The first call names a future point of randomness, the second stores its word. When the word was lost in between the second
    /// call voids the period for ever: unpaid, and no fault. Reverts in any other period, when drawn or void, while the point is in the future,
    /// or while the window of the fourth period before is open.
    function draw(uint32 period) external;

    /// @notice Proves that a node holds the sampled leaves of a period. Anyone may call.
    /// @dev Reverts unless the period is drawn and its window open, the node in service with leaves it owed in that period, the
    /// bit not set and every answer right, in order, with nothing behind the last. Resets the node's misses.
    /// @param answers the answers of docs/proof-format.md, sample after sample
    function prove(uint32 node, uint32 period, bytes calldata answers) external;

    /// @notice Pays deals for the proven periods whose window has closed. Anyone may call; a deal with nothing due is passed over.
    function settle(uint256[] calldata ids) external;

    /// @notice Counts a period that a node owed and did not prove. Anyone may call, once a node and period, after the window, in rising order.
    /// @dev The third, sixth and ninth miss in a row take the catalog's share of the node's reserve, the tenth what is left of it and ends the
    /// node's deals: a run of misses costs the reserve and no more, however much free stake stands beside it. Reverts when the period was not drawn, its window is open, it was proven, counted or is before the last proof, or the node has ended.
    /// @param id any deal of the node that was in force in that period, has leaves and is not closed
    function reportMissed(uint32 node, uint32 period, uint256 id) external;

    /// @notice Closes a deal that is over: settles, frees the reserve and the position, refunds the rest. Anyone may call.
    /// @dev Reverts before its end, while a period of it is undecided, or while the node is proving. A deal that is over keeps its
    /// leaves in the sample until it is closed, so a node closes it before the next draw or keeps the bytes.
    function close(uint256 id) external;

    // ------------------------------------------------------------------------------------------------------------ repair

    /// @notice Pays the repairer of a replacement from the fund of the node that lost the piece, by leaves. Anyone may call, once a (lost deal, piece).
    /// @dev The lost deal's node has ended, or the deal is terminated and unchanged since before its node's last fault. The new deal is of the same
    /// payer, with another node, names a repairer and has a proven period behind a closed window since it was opened or last changed.
    /// @param piece root of the piece
    /// @param leaves leaves of the piece
    /// @param lostPath steps from the piece to the lost deal's root (docs/proof-format.md)
    /// @param newPath steps from the piece to the new deal's root
    function claimRepair(
        uint256 lostId,
        uint256 newId,
        bytes32 piece,
        uint48 leaves,
        bytes calldata lostPath,
        bytes calldata newPath
    ) external;

    /// @notice Pays a lost deal's payer what repairers did not claim, 60 days after the node's tenth miss. Anyone may call, once.
    function claimRemainder(uint256 lostId) external;

    // ------------------------------------------------------------------------------------------------------------- views

    /// @notice Periods in [from, to) with the node's bit set.
    function provenPeriods(uint32 node, uint32 from, uint32 to) external view returns (uint256);

    /// @notice A deal as stored; all zero for an unknown id.
    function agreementOf(uint256 id) external view returns (Agreement memory);

    /// @notice First period a deal is no longer paid for: its end, or its node's if that came first.
    function endOf(uint256 id) external view returns (uint32);

    /// @notice A node's ledger as stored.
    function ledgerOf(uint32 node) external view returns (Ledger memory);

    /// @notice Leaves of a node: what samples are drawn from.
    function treeTotal(uint32 node) external view returns (uint48);

    /// @notice The deal at a position of a node's sum tree, 0 when free.
    function idAt(uint32 node, uint24 position) external view returns (uint256);

    /// @notice The deal and the offset in it of one of a node's leaves. Reverts when the node has fewer.
    function leafAt(uint32 node, uint48 index) external view returns (uint256 id, uint48 offset);

    /// @notice Index of the leaf that answer `i` of a node must show: keccak256(abi.encode(seed, node, i)) % treeTotal(node).
    /// @dev Reverts when the period is not drawn or the node holds nothing.
    function sampleOf(uint32 node, uint32 period, uint256 i) external view returns (uint48 index);

    /// @notice Seed of a period and the samples it asks for; zero when not drawn.
    function seedOf(uint32 period) external view returns (uint168 seed, uint8 samples);

    /// @notice When a period was drawn and when its window closes: after `closesAt` (unix seconds) and after block `closesBlock`. Zero when not drawn.
    function windowOf(uint32 period) external view returns (uint40 drawnAt, uint40 closesAt, uint40 closesBlock);

    /// @notice The draw under way: its period, and its point of randomness (0: none; type(uint40).max: void).
    function pendingDraw() external view returns (uint32 period, uint40 point);

    /// @notice Whether a node's deals may change now: false from a draw until its proof or the window's end.
    function isProving(uint32 node) external view returns (bool);

    /// @notice First period that is not yet decided: every earlier one is proven or not, for ever.
    function firstUndecided() external view returns (uint32);

    /// @notice Whether a node proved a period.
    function bitOf(uint32 node, uint32 period) external view returns (bool);

    /// @notice block.timestamp / PERIOD.
    function currentPeriod() external view returns (uint32);

    /// @notice A node's fund of a round: of one run of misses. The last is ledgerOf(node).round; rounds count from 1.
    function fundOf(uint32 node, uint16 round) external view returns (Fund memory);

    /// @notice What a lost deal was paid from its node's fund.
    function lossOf(uint256 id) external view returns (Loss memory);

    /// @notice Who is paid when deal `id` replaces a lost piece.
    function repairerOf(uint256 id) external view returns (address);

    /// @notice The replacement opened by policy for a piece of a lost deal, 0: none.
    function replacementOf(uint256 lostId, bytes32 piece) external view returns (uint256);

    /// @notice Wei charged to a policy's budget; type(uint96).max when cancelled.
    function spentOf(bytes32 policy) external view returns (uint96);

    /// @notice EIP-712 domain separator.
    function domainSeparator() external view returns (bytes32);

    /// @notice EIP-712 digest of a deal: its id.
    function termsDigest(Terms calldata t) external view returns (bytes32);

    /// @notice EIP-712 digest of TermsBatch(bytes32[] ids).
    function batchDigest(bytes32[] calldata ids) external view returns (bytes32);

    /// @notice EIP-712 digest of a change.
    function changeDigest(Change calldata c) external view returns (bytes32);

    /// @notice EIP-712 digest of a policy.
    function policyDigest(Policy calldata p) external view returns (bytes32);
}
