// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IPaymentHub} from "../interfaces/IPaymentHub.sol";
import {IStorageMarket} from "../interfaces/IStorageMarket.sol";
import {PeriodBits} from "../libraries/PeriodBits.sol";
import {Protocol} from "../libraries/Protocol.sol";
import {StorageTypedData} from "../libraries/StorageTypedData.sol";
import {MarketDeals} from "./MarketDeals.sol";
import {MarketProofs} from "./MarketProofs.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

/// @title Replacement of lost pieces: who may open it while the payer is away, and who is paid for it
abstract contract MarketRepairs is MarketDeals, MarketProofs {
    using PeriodBits for mapping(uint256 => uint256);
    using StorageTypedData for *;

    uint256 private constant LEAVES_PER_GIB = 1 << 20;

    /// @inheritdoc IStorageMarket
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

    /// @inheritdoc IStorageMarket
    function cancelPolicy(Policy calldata p) external {
        if (msg.sender != p.payer) revert PayerMismatch(p.payer);
        bytes32 policy = p.digest();
        _market().spent[policy] = type(uint96).max;
        emit PolicyCancelled(policy);
    }

    /// @inheritdoc IStorageMarket
    function claimRepair(
        uint256 lostId,
        uint256 newId,
        bytes32 piece,
        uint48 leaves,
        bytes calldata lostPath,
        bytes calldata newPath
    ) external {
        _requireUnder(_market().agreements[lostId], piece, leaves, lostPath);
        _requireUnder(_market().agreements[newId], piece, leaves, newPath);
        _payRepair(lostId, newId, piece, leaves);
    }

    /// @inheritdoc IStorageMarket
    function claimRemainder(uint256 lostId) external {
        Agreement storage lost = _market().agreements[lostId];
        (Fund storage fund,) = _fundOfLost(lostId, lost);
        if (fund.endedAt == 0) revert NotLost(lostId);
        uint256 from = fund.endedAt + Protocol.REMAINDER_DELAY;
        if (block.timestamp < from) revert NotBefore(from);
        uint48 leaves = lost.leaves - _market().losses[lostId].repaired;
        if (leaves == 0) revert NothingLeft(lostId);
        uint96 amount = _takeShare(lostId, lost, leaves);
        address payer = _payerOf(lostId);
        emit RemainderPaid(lostId, payer, amount);
        if (amount != 0) hub.withdraw(payer, amount);
    }

    // ------------------------------------------------------------------------------------------------------------ policy

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

    function _requireUnder(Agreement storage a, bytes32 piece, uint48 leaves, bytes memory path) private view {
        (bytes32 root, uint256 total,) = verifier.climb(piece, leaves, path);
        if (root != a.root || total != a.leaves) revert PieceMismatch();
    }

    /// @dev Refunds what the lost lock holds beyond its remaining periods, at most what the new deal needs.
    function _refundExcess(uint256 lostId, Terms calldata t) private returns (uint256 excess) {
        Agreement storage lost = _market().agreements[lostId];
        bool live = _isLive(lost.status);
        if (live) _settleTo(lostId, lost, _firstUndecided());
        IPaymentHub.Lock memory lock = hub.lockOf(address(this), lostId);
        if (lock.payer != t.payer) revert PayerMismatch(lock.payer);
        uint256 owed;
        if (live) {
            uint256 end = _endOf(lost, _market().ledgers[lost.node]);
            uint256 settledTo = lost.settledTo;
            // The higher of the two rates for all of them: never less than what can still be due.
            uint256 rate = lost.oldRate > lost.rate && lost.rateSince > settledTo ? lost.oldRate : lost.rate;
            if (end > settledTo) owed = rate * (end - settledTo);
        }
        if (lock.amount <= owed) return 0;
        excess = lock.amount - owed;
        if (excess > t.prepaid) excess = t.prepaid;
        hub.refund(lostId, uint96(excess));
    }

    /// @dev The fund a lost deal is paid from, and the leaves that share it.
    function _fundOfLost(uint256 lostId, Agreement storage lost)
        private
        view
        returns (Fund storage fund, uint48 shares)
    {
        MarketStorage storage $ = _market();
        uint32 node = lost.node;
        Status status = lost.status;
        if (status == Status.Lost) {
            fund = $.funds[_fundKey(node, $.losses[lostId].round)];
            return (fund, fund.leaves);
        }
        Ledger storage ledger = $.ledgers[node];
        fund = $.funds[_fundKey(node, ledger.round)];
        if (_isLive(status) && ledger.endedAt != 0) return (fund, fund.leaves);
        if (status != Status.Terminated) revert NotLost(lostId);
        return (fund, ledger.leaves);
    }

    /// @dev Pays the repairer of a new deal that stands for a lost piece, once.
    function _payRepair(uint256 lostId, uint256 newId, bytes32 piece, uint48 leaves) private {
        MarketStorage storage $ = _market();
        address repairer = $.repairers[newId];
        if (repairer == address(0)) revert NoRepairer(newId);
        Agreement storage a = $.agreements[newId];
        Agreement storage lost = $.agreements[lostId];
        if (a.node == lost.node) revert NodeNotAllowed(a.node);
        address payer = _payerOf(lostId);
        if (_payerOf(newId) != payer) revert PayerMismatch(payer);
        if ($.bits.count(a.node, a.start, _lesser(a.end, _firstUndecided())) == 0) revert NotProvenYet(newId);
        bytes32 key = keccak256(abi.encode(lostId, piece));
        if ($.repaired[key]) revert AlreadyRepaired(lostId, piece);
        $.repaired[key] = true;
        uint96 amount = _takeShare(lostId, lost, leaves);
        emit Repaired(lostId, newId, piece, repairer, amount);
        if (amount != 0) hub.withdraw(repairer, amount);
    }

    function _payerOf(uint256 id) private view returns (address) {
        return hub.lockOf(address(this), id).payer;
    }

    /// @dev What `leaves` of a lost deal are worth in its node's fund, once.
    function _takeShare(uint256 lostId, Agreement storage lost, uint48 leaves) private returns (uint96 amount) {
        (Fund storage fund, uint48 shares) = _fundOfLost(lostId, lost);
        Loss storage loss = _market().losses[lostId];
        // The same piece may stand under the root twice; no deal is paid for more leaves than it held.
        if (uint256(loss.repaired) + leaves > lost.leaves) revert NothingLeft(lostId);
        loss.repaired += leaves;
        amount = uint96(uint256(fund.amount) * leaves / shares);
        // Before the tenth miss more may come in and others may go, so what is paid leaves the fund.
        if (fund.endedAt == 0) fund.amount -= amount;
    }

    function _lesser(uint32 a, uint32 b) private pure returns (uint32) {
        return a < b ? a : b;
    }
}
