// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IPaymentHub} from "../interfaces/IPaymentHub.sol";
import {IServiceCatalog} from "../interfaces/IServiceCatalog.sol";
import {IStorageDeals} from "../interfaces/IStorageDeals.sol";
import {PeriodBits} from "../libraries/PeriodBits.sol";
import {Protocol} from "../libraries/Protocol.sol";
import {StorageTypedData} from "../libraries/StorageTypedData.sol";
import {SumTree} from "../libraries/SumTree.sol";
import {MarketBase} from "./MarketBase.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title Deals: opened, changed, paid, ended
abstract contract MarketDeals is MarketBase, IStorageDeals {
    using PeriodBits for mapping(uint256 => uint256);
    using SumTree for mapping(uint256 => uint256);
    using StorageTypedData for *;

    uint8 private constant OPEN_TO_DEALS = 1;
    uint8 private constant RETIRED = 2;

    /// @inheritdoc IStorageDeals
    function open(Terms calldata t, bytes calldata payerSig, bytes calldata nodeSig) external returns (uint256 id) {
        bytes32 digest = t.digest();
        _requirePayer(t.payer, digest, payerSig);
        id = uint256(digest);
        _open(id, t, nodeSig);
    }

    /// @inheritdoc IStorageDeals
    function openMany(Terms[] calldata t, bytes calldata payerSig, bytes[] calldata nodeSigs)
        external
        returns (uint256[] memory ids)
    {
        bytes32[] memory digests = new bytes32[](t.length);
        for (uint256 i; i < t.length; ++i) {
            if (t[i].payer != t[0].payer) revert PayerMismatch(t[0].payer);
            digests[i] = t[i].digest();
        }
        _requirePayer(t[0].payer, digests.digest(), payerSig);
        ids = new uint256[](t.length);
        for (uint256 i; i < t.length; ++i) {
            // A call of its own, so that a row undoes all it did when the bank or the vault refuses it.
            try this.openRow(uint256(digests[i]), t[i], nodeSigs[i]) {
                ids[i] = uint256(digests[i]);
            } catch (bytes memory reason) {
                emit Skipped(uint256(digests[i]), reason);
            }
        }
    }

    /// @inheritdoc IStorageDeals
    function openRow(uint256 id, Terms calldata t, bytes calldata nodeSig) external {
        if (msg.sender != address(this)) revert OnlySelf();
        _open(id, t, nodeSig);
    }

    /// @inheritdoc IStorageDeals
    function change(Change calldata c, bytes calldata payerSig, bytes calldata nodeSig) external {
        Agreement storage a = _market().agreements[c.id];
        _requireLive(c.id, a);
        if (a.nonce != c.nonce) revert NonceMismatch(a.nonce);
        if (_current() > c.lastPeriod) revert ChangeExpired(c.lastPeriod);
        IPaymentHub.Lock memory lock = _lockOf(c.id);
        bytes32 digest = c.digest();
        _requirePayer(lock.payer, digest, payerSig);
        _requireNode(a.node, digest, nodeSig);
        _requireContent(c.root, c.leaves, true);
        _requireChangeable(a, c);
        uint96 paid = _settleTo(c.id, a, _decidedFor(a.node));
        if (a.settledTo < _current()) revert PeriodUndecided(a.settledTo);
        emit Changed(c.id, a.node, c);
        bool later = c.end > a.end;
        _applyPrice(a, c, lock.amount - paid);
        _moveReserve(a, _applyContent(a, c), later, _until(c.end));
        uint40 until = _until(c.end);
        if (until < lock.expiry) until = lock.expiry;
        if (c.prepaid != 0 || until != lock.expiry) hub.increase(c.id, c.prepaid, until);
    }

    /// @inheritdoc IStorageDeals
    function terminate(uint256 id) external {
        MarketStorage storage $ = _market();
        Agreement storage a = $.agreements[id];
        if (a.status != Status.Open) revert UnknownAgreement(id);
        uint32 node = a.node;
        uint32 end = _endOf(a, _ledger(node));
        uint32 current = _current();
        if (current >= end) revert AgreementEnded(id);
        address payer = _lockOf(id).payer;
        bool byPayer = msg.sender == payer;
        if (!byPayer && msg.sender != registry.ownerOf(node) && msg.sender != registry.signerOf(node)) {
            revert NotParty(msg.sender);
        }
        if (end > current + Protocol.NOTICE) end = uint32(current + Protocol.NOTICE);
        a.end = end;
        a.status = Status.Terminated;
        // Changes signed before do not undo the notice.
        ++a.nonce;
        emit Terminated(id, msg.sender, end);
        if (byPayer) return;
        uint256 share = uint256(a.leaves) * a.collateralPerLeaf * _service().faultBps / Protocol.BPS;
        uint96 funded = _fault(node, share, payer);
        if (funded != 0) hub.withdraw(payer, funded);
    }

    // -------------------------------------------------------------------------------------------------------------- open

    function _open(uint256 id, Terms calldata t, bytes calldata nodeSig) internal {
        MarketStorage storage $ = _market();
        Agreement storage a = $.agreements[id];
        if (a.status != Status.None) revert AgreementExists(id);
        _requireNode(t.node, bytes32(id), nodeSig);
        _requireTerms(t);
        uint64 collateralPerLeaf = _requireEntry(t.node);
        Ledger memory ledger = _ledger(t.node);
        if (ledger.endedAt != 0) revert NodeHasEnded(t.node);
        _requireNotProving(t.node, ledger);

        a.root = t.root;
        a.node = t.node;
        a.position = _join(t.node, ledger, id, t);
        a.leaves = t.leaves;
        a.start = t.start;
        a.end = t.end;
        a.settledTo = t.start;
        a.rateSince = t.start;
        a.status = Status.Open;
        a.rate = t.rate;
        a.collateralPerLeaf = collateralPerLeaf;
        if (t.repairer != address(0)) $.repairers[id] = t.repairer;
        emit Opened(id, t.payer, t.node, t);
        _reserve(t.node, int256(uint256(t.leaves) * collateralPerLeaf), _until(t.end));
        _lock(id, t);
    }

    function _requireTerms(Terms calldata t) private view {
        uint32 current = _current();
        if (t.start <= current || t.start > current + Protocol.START_LEAD) revert StartOutOfRange(t.start, current);
        if (t.end <= t.start) revert EndOutOfRange(t.end);
        _requireContent(t.root, t.leaves, false);
        uint256 price = uint256(t.rate) * (t.end - t.start) + t.repairShare;
        if (t.prepaid < price) revert PrepaidTooLow(price, t.prepaid);
        address payee = registry.payeeOf(t.node);
        if (t.payee != payee) revert PayeeMismatch(payee);
    }

    function _lock(uint256 id, Terms calldata t) private {
        hub.lock(id, t.payer, t.payee, SERVICE, t.prepaid, _until(t.end));
    }

    function _requireEntry(uint32 node) private view returns (uint64 collateralPerLeaf) {
        IServiceCatalog.Service memory service = _service();
        if (service.flags & OPEN_TO_DEALS == 0 || service.flags & RETIRED != 0 || block.timestamp < service.closedUntil)
        {
            revert ServiceClosed();
        }
        if (service.minBond != 0) {
            uint96 active = _stakeOf(node).active;
            if (active < service.minBond) revert BondTooLow(service.minBond, active);
        }
        return service.collateralPerLeaf;
    }

    /// @dev Gives the agreement a position and counts it.
    function _join(uint32 node, Ledger memory ledger, uint256 id, Terms calldata t) private returns (uint24) {
        MarketStorage storage $ = _market();
        uint256 position;
        if (ledger.freed != 0) {
            position = ledger.freed - 1;
            ledger.freed = uint16($.ids[_positionKey(node, position)]);
        } else {
            position = ledger.positions;
            uint256 depth = $.sums.grow(node, ledger.depth, position, ledger.leaves);
            if (depth > SumTree.MAX_DEPTH) revert NodeFull(node);
            ledger.depth = uint8(depth);
            ++ledger.positions;
        }
        $.ids[_positionKey(node, position)] = id;
        $.sums.move(node, ledger.depth, position, t.leaves, 0);
        if (uint256(ledger.leaves) + t.leaves > type(uint48).max) revert ContentInvalid();
        ledger.leaves += t.leaves;
        // The node owes nothing before its first start.
        if (ledger.count == 0 || t.start < ledger.missedTo) ledger.missedTo = t.start;
        ++ledger.count;
        _store(node, ledger);
        return uint24(position);
    }

    // ------------------------------------------------------------------------------------------------------ change, settle

    function _requireChangeable(Agreement storage a, Change calldata c) private view {
        uint32 current = _current();
        Ledger memory ledger = _ledger(a.node);
        if (ledger.endedAt != 0) revert NodeHasEnded(a.node);
        if (current >= a.end) revert AgreementEnded(c.id);
        if (c.end <= current || c.end <= a.start) revert EndOutOfRange(c.end);
        _requireNotProving(a.node, ledger);
    }

    function _moveReserve(Agreement storage a, int256 leaves, bool later, uint40 until) private {
        int256 delta = leaves * int256(uint256(a.collateralPerLeaf));
        if (delta < 0) {
            _reserve(a.node, delta, until);
            delta = 0;
        }
        // A later end moves the reserve's end along even when its amount does not grow.
        if (delta > 0 || later) _reserve(a.node, delta, until);
    }

    /// @dev Writes root and leaves, in the deal, the ledger and the tree; returns by how much the leaves grew.
    function _applyContent(Agreement storage a, Change calldata c) private returns (int256 more) {
        MarketStorage storage $ = _market();
        uint32 node = a.node;
        Ledger memory ledger = _ledger(node);
        uint48 leaves = a.leaves;
        if (a.root != c.root) a.root = c.root;
        if (c.leaves == leaves) return 0;
        a.leaves = c.leaves;
        // A deal filled again owes nothing for the periods it was empty.
        if (leaves == 0 && a.start < _current()) a.start = _current();
        uint256 total = uint256(ledger.leaves) - leaves + c.leaves;
        if (total > type(uint48).max) revert ContentInvalid();
        ledger.leaves = uint48(total);
        _store(node, ledger);
        $.sums.move(node, ledger.depth, a.position, c.leaves, leaves);
        return int256(uint256(c.leaves)) - int256(uint256(leaves));
    }

    /// @dev Writes rate, end and nonce, and requires that the lock covers what is owed up to the new end.
    function _applyPrice(Agreement storage a, Change calldata c, uint256 locked) private {
        uint32 current = _current();
        uint32 since = a.rateSince;
        // A second change in the same period, or before the start, replaces a rate that has not begun.
        if (since <= current) {
            a.oldRate = a.rate;
            since = current + 1;
            a.rateSince = since;
        }
        uint32 settledTo = a.settledTo;
        uint256 owed;
        if (settledTo < since) owed = uint256(a.oldRate) * (since - settledTo);
        else since = settledTo;
        owed += uint256(c.rate) * (c.end > since ? c.end - since : 0);
        if (locked + c.prepaid < owed) revert PrepaidTooLow(owed - locked, c.prepaid);
        a.rate = c.rate;
        if (c.end != a.end) a.end = c.end;
        a.status = Status.Open;
        ++a.nonce;
    }

    /// @dev First period not decided for this node: as for everybody, but a period it has proven is decided at once.
    function _decidedFor(uint32 node) private view returns (uint32 first) {
        first = _firstUndecided();
        uint32 current = _current();
        while (first < current && _market().bits.get(node, first)) ++first;
    }

    // ------------------------------------------------------------------------------------------------------------ checks

    function _requireContent(bytes32 root, uint48 leaves, bool mayBeEmpty) private pure {
        if ((root == 0) != (leaves == 0) || (leaves == 0 && !mayBeEmpty)) revert ContentInvalid();
    }

    /// @dev A payer signs with a key or, as a contract, by ERC-1271. The key is tried first: an account that gained code still owns its key.
    function _requirePayer(address payer, bytes32 digest, bytes calldata sig) internal view {
        if (payer == address(0)) revert PayerSignatureInvalid();
        if (_recover(digest, sig) == payer) return;
        if (payer.code.length == 0 || !SignatureChecker.isValidERC1271SignatureNow(payer, digest, sig)) {
            revert PayerSignatureInvalid();
        }
    }

    function _requireNode(uint32 node, bytes32 digest, bytes calldata sig) internal view {
        address signer = _recover(digest, sig);
        if (signer == address(0) || signer != registry.signerOf(node)) revert NodeSignatureInvalid();
    }

    function _recover(bytes32 digest, bytes calldata sig) private pure returns (address signer) {
        ECDSA.RecoverError err;
        if (sig.length == 65) {
            (signer, err,) = ECDSA.tryRecover(digest, uint8(sig[64]), bytes32(sig[:32]), bytes32(sig[32:64]));
        } else if (sig.length == 64) {
            (signer, err,) = ECDSA.tryRecover(digest, bytes32(sig[:32]), bytes32(sig[32:64]));
        }
        if (err != ECDSA.RecoverError.NoError) signer = address(0);
    }
}
