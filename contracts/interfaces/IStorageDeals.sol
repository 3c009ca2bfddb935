// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IStorageMarketTypes} from "./IStorageMarketTypes.sol";

/// @title The part of the storage market that opens, changes and ends deals
interface IStorageDeals is IStorageMarketTypes {
    /// @notice Opens a deal. Anyone may call with both signatures.
    /// @dev Requires, in this order: an unused id; payer and node signatures; `payee` the registry's; now < start <= now + 2
    /// periods; start < end; root and leaves not zero; prepaid >= rate * (end - start) + repairShare; the service open to new deals;
    /// the node's active bond at least the minimum; the node not ended, not between a draw and its proof, not full. Locks `prepaid`
    /// under the payer's hub allowance and reserves leaves * collateralPerLeaf of the node's stake: what those two revert with passes through.
    /// @param t the deal
    /// @param payerSig the payer's, over the digest of `t`: 65 bytes, 64 bytes EIP-2098, or ERC-1271
    /// @param nodeSig the registry's signer of the node, over the same digest: 65 or 64 bytes
    /// @return id digest of `t`
    function open(Terms calldata t, bytes calldata payerSig, bytes calldata nodeSig) external returns (uint256 id);

    /// @notice Opens many deals under one signature of the payer. Anyone may call; calling again opens what was skipped.
    /// @dev All rows must name the payer of the first. A row that cannot open is skipped and emitted with its reason.
    /// @param t the deals
    /// @param payerSig the payer's, over TermsBatch(bytes32[] ids), the ids of `t` in order
    /// @param nodeSigs one a row
    /// @return ids id a row, 0 where skipped
    function openMany(Terms[] calldata t, bytes calldata payerSig, bytes[] calldata nodeSigs)
        external
        returns (uint256[] memory ids);

    /// @notice One row of `openMany`, whose payer has signed. Only the market itself may call: a row of its own call undoes all
    /// it did when the bank or the vault refuses it.
    function openRow(uint256 id, Terms calldata t, bytes calldata nodeSig) external;

    /// @notice Opens a replacement for one piece of a lost deal while the payer is away. Anyone may call with a policy of the payer.
    /// @dev Requires of the lost deal: its payer is the policy's, and its node has ended, has a reported miss, or the deal is terminated. The
    /// new deal holds exactly the lost piece, with another node out of `allowedNodes`, at <= maxRate a GiB, once a (lost deal, piece). What the lost lock
    /// holds beyond its remaining periods is refunded and locked anew; the rest is charged to the policy's budget. Reverts as `open` besides.
    /// @param t the new deal; its `payer` is the policy's
    /// @param p the payer's policy
    /// @param lostId the lost deal
    /// @param proof abi.encode(bytes32 piece, bytes lostPath, bytes32[] nodeProof): the piece's path under the lost root, steps as in
    /// docs/proof-format.md, and the node's proof under `allowedNodes`
    /// @param policySig the payer's, over the digest of `p`
    /// @param nodeSig the new node's, over the digest of `t`
    /// @return id digest of `t`
    function openByPolicy(
        Terms calldata t,
        Policy calldata p,
        uint256 lostId,
        bytes calldata proof,
        bytes calldata policySig,
        bytes calldata nodeSig
    ) external returns (uint256 id);

    /// @notice Uses up a policy. Only its payer.
    function cancelPolicy(Policy calldata p) external;

    /// @notice Replaces content, rate or end of a deal. Anyone may call with both signatures.
    /// @dev Settles first. Reverts while a period before the current one is undecided, while the node is proving, after the deal's end, when the node has ended,
    /// when the nonce is another, after `lastPeriod`, when `end` is not after the current period, when the lock with `prepaid` does not cover what is owed to the new end.
    /// Root and leaves are both zero or both not. Reserve and content change at once, the rate from the next period.
    function change(Change calldata c, bytes calldata payerSig, bytes calldata nodeSig) external;

    /// @notice Ends a deal NOTICE periods from now. The payer, or the node's owner or signer; the node forfeits its fault share to the payer.
    /// @dev Voids Changes signed before. Reverts unless the deal is open and not at its end.
    function terminate(uint256 id) external;
}
