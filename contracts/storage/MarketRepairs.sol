// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IStorageMarket} from "../interfaces/IStorageMarket.sol";
import {PeriodBits} from "../libraries/PeriodBits.sol";
import {Protocol} from "../libraries/Protocol.sol";
import {MarketBase} from "./MarketBase.sol";

/// @title What a failed node's fund pays: repairers first, the rest to its payers
abstract contract MarketRepairs is MarketBase, IStorageMarket {
    using PeriodBits for mapping(uint256 => uint256);

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
        Fund storage fund = _fundOfLost(lostId, lost);
        if (fund.endedAt == 0) revert NotLost(lostId);
        uint256 from = fund.endedAt + Protocol.REMAINDER_DELAY;
        if (block.timestamp < from) revert NotBefore(from);
        uint48 leaves = lost.leaves;
        uint48 repaired = _market().losses[lostId].repaired;
        // More than it holds now where it was repaired, opened again by a Change and shrunk.
        if (repaired >= leaves) revert NothingLeft(lostId);
        leaves -= repaired;
        uint96 amount = _takeShare(lostId, lost, leaves);
        address payer = _payerOf(lostId);
        emit RemainderPaid(lostId, payer, amount);
        if (amount != 0) hub.withdraw(payer, amount);
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
        // A Change puts `rateSince` after its own period: only proofs of what the deal holds now count.
        if ($.bits.count(a.node, a.rateSince, _lesser(a.end, _firstUndecided())) == 0) revert NotProvenYet(newId);
        bytes32 key = keccak256(abi.encode(lostId, piece));
        if ($.repaired[key]) revert AlreadyRepaired(lostId, piece);
        $.repaired[key] = true;
        uint96 amount = _takeShare(lostId, lost, leaves);
        emit Repaired(lostId, newId, piece, repairer, amount);
        if (amount != 0) hub.withdraw(repairer, amount);
    }

    /// @dev What `leaves` of a lost deal are worth in its node's fund, once.
    function _takeShare(uint256 lostId, Agreement storage lost, uint48 leaves) private returns (uint96 amount) {
        Fund storage fund = _fundOfLost(lostId, lost);
        Loss storage loss = _market().losses[lostId];
        // The same piece may stand under the root twice; no deal is paid for more leaves than it held.
        if (uint256(loss.repaired) + leaves > lost.leaves) revert NothingLeft(lostId);
        loss.repaired += leaves;
        amount = uint96(uint256(fund.amount) * leaves / fund.leaves);
        // Before the tenth miss more may come in, so what is paid leaves the fund.
        if (fund.endedAt == 0) {
            fund.amount -= amount;
            fund.leaves -= leaves;
        }
    }

    /// @dev The fund a lost deal is paid from.
    function _fundOfLost(uint256 lostId, Agreement storage lost) private view returns (Fund storage fund) {
        MarketStorage storage $ = _market();
        uint32 node = lost.node;
        Status status = lost.status;
        if (status == Status.Lost) return $.funds[_fundKey(node, $.losses[lostId].round)];
        Ledger memory ledger = _ledger(node);
        fund = $.funds[_fundKey(node, ledger.round)];
        if (_isLive(status) && ledger.endedAt != 0) return fund;
        // While its node is in service only a deal that has not changed since before the last fault shares in it: others would
        // be opened or grown to take the fund from those it hurt.
        if (status != Status.Terminated || lost.rateSince > fund.since) revert NotLost(lostId);
    }

    function _payerOf(uint256 id) private view returns (address) {
        return _lockOf(id).payer;
    }

    function _lesser(uint32 a, uint32 b) private pure returns (uint32) {
        return a < b ? a : b;
    }
}
