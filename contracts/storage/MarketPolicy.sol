// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IPaymentHub} from "../interfaces/IPaymentHub.sol";
import {IStorageDeals} from "../interfaces/IStorageDeals.sol";
import {Protocol} from "../libraries/Protocol.sol";
import {StorageTypedData} from "../libraries/StorageTypedData.sol";
import {MarketDeals} from "./MarketDeals.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

/// @title Replacements opened while the payer is away, under a policy he signed
abstract contract MarketPolicy is MarketDeals {
    using StorageTypedData for *;

    uint256 private constant LEAVES_PER_GIB = (1 << 30) / Protocol.LEAF;

    /// @inheritdoc IStorageDeals
    function openByPolicy(
        Terms calldata t,
        Policy calldata p,
        uint256 lostId,
        bytes calldata proof,
        bytes calldata policySig,
        bytes calldata nodeSig
    ) external returns (uint256 id) {
        if (block.timestamp > p.expiry) revert PolicyExpired(p.expiry);
        if (t.payer != p.payer) revert PayerMismatch(p.payer);
        _requirePayer(p.payer, p.digest(), policySig);
        id = uint256(t.digest());
        bytes32 piece = _requireReplacement(t, p, lostId, proof);
        _replace(lostId, piece, id);
        uint96 charged = _charge(t, p, lostId);
        emit PolicyUsed(p.digest(), lostId, id, piece, charged);
        _open(id, t, nodeSig);
    }

    /// @inheritdoc IStorageDeals
    function cancelPolicy(Policy calldata p) external {
        if (msg.sender != p.payer) revert PayerMismatch(p.payer);
        bytes32 policy = p.digest();
        _market().spent[policy] = type(uint96).max;
        emit PolicyCancelled(policy);
    }

    /// @dev The new deal is exactly a lost piece, on a node and at a price the policy allows.
    function _requireReplacement(Terms calldata t, Policy calldata p, uint256 lostId, bytes calldata proof)
        private
        view
        returns (bytes32 piece)
    {
        bytes memory path;
        bytes32[] memory nodeProof;
        (piece, path, nodeProof) = abi.decode(proof, (bytes32, bytes, bytes32[]));
        if (p.allowedNodes != 0) {
            bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(uint256(t.node)))));
            if (!MerkleProof.verify(nodeProof, p.allowedNodes, leaf)) revert NodeNotAllowed(t.node);
        }
        // Rounded up, as a quote is.
        uint256 most = (uint256(p.maxRate) * t.leaves + LEAVES_PER_GIB - 1) / LEAVES_PER_GIB;
        if (t.rate > most) revert PolicyExceeded(most, t.rate);
        Agreement storage lost = _market().agreements[lostId];
        if (!_isFailing(lost)) revert NotLost(lostId);
        if (t.node == lost.node) revert NodeNotAllowed(t.node);
        _requireUnder(lost, piece, t.leaves, path);
        (bytes32 root,,) = verifier.climb(piece, t.leaves, "");
        if (root != t.root) revert PieceMismatch();
    }

    /// @dev Whether a deal shows its failure on chain: ended, noticed, or a reported miss of its node.
    function _isFailing(Agreement storage a) private view returns (bool) {
        Status status = a.status;
        if (status == Status.Terminated || status == Status.Lost) return true;
        return status == Status.Open && _market().ledgers[a.node].misses != 0;
    }

    /// @dev One replacement by policy a lost piece.
    function _replace(uint256 lostId, bytes32 piece, uint256 id) private {
        mapping(bytes32 => uint256) storage replacements = _market().replacements;
        bytes32 key = keccak256(abi.encode(lostId, piece));
        if (replacements[key] != 0) revert AlreadyRepaired(lostId, piece);
        replacements[key] = id;
    }

    /// @dev Charges the budget with what the lost lock does not give back.
    function _charge(Terms calldata t, Policy calldata p, uint256 lostId) private returns (uint96 charged) {
        charged = t.prepaid - uint96(_refundExcess(lostId, t));
        bytes32 policy = p.digest();
        uint256 spent = uint256(_market().spent[policy]) + charged;
        // A cancelled policy stands at the type's end.
        if (spent > p.budget || spent >= type(uint96).max) revert PolicyExceeded(p.budget, spent);
        _market().spent[policy] = uint96(spent);
    }

    /// @dev What the lost lock holds beyond its remaining periods, at most what the new deal needs: refunded here, or when the
    /// lost deal was closed.
    function _refundExcess(uint256 lostId, Terms calldata t) private returns (uint256 excess) {
        Agreement storage lost = _market().agreements[lostId];
        if (lost.status == Status.Lost) {
            Loss storage loss = _market().losses[lostId];
            excess = loss.returned < t.prepaid ? loss.returned : t.prepaid;
            loss.returned -= uint96(excess);
        }
        bool live = _isLive(lost.status);
        _settleTo(lostId, lost, _firstUndecided());
        IPaymentHub.Lock memory lock = _lockOf(lostId);
        if (lock.payer != t.payer) revert PayerMismatch(lock.payer);
        if (!live) return excess;
        uint256 end = _endOf(lost, _ledger(lost.node));
        uint256 settledTo = lost.settledTo;
        uint256 owed;
        // The higher of the two rates for all of them: never less than what can still be due.
        uint256 rate = lost.oldRate > lost.rate && lost.rateSince > settledTo ? lost.oldRate : lost.rate;
        if (end > settledTo) owed = rate * (end - settledTo);
        if (lock.amount <= owed) return 0;
        excess = lock.amount - owed;
        if (excess > t.prepaid) excess = t.prepaid;
        hub.refund(lostId, uint96(excess));
    }
}
