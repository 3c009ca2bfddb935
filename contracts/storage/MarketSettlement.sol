// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IStorageMarket} from "../interfaces/IStorageMarket.sol";
import {SumTree} from "../libraries/SumTree.sol";
import {MarketBase} from "./MarketBase.sol";

/// @title Deals paid and closed
abstract contract MarketSettlement is MarketBase, IStorageMarket {
    using SumTree for mapping(uint256 => uint256);

    /// @inheritdoc IStorageMarket
    function settle(uint256[] calldata ids) external {
        uint32 decided = _firstUndecided();
        for (uint256 i; i < ids.length; ++i) {
            _settleTo(ids[i], _market().agreements[ids[i]], decided);
        }
    }

    /// @inheritdoc IStorageMarket
    function close(uint256 id) external {
        MarketStorage storage $ = _market();
        Agreement storage a = $.agreements[id];
        _requireLive(id, a);
        uint32 node = a.node;
        Ledger memory ledger = _ledger(node);
        uint32 end = _endOf(a, ledger);
        if (_current() < end) revert NotEnded(id, end);
        _requireNotProving(node, ledger);
        _settleTo(id, a, _firstUndecided());
        if (a.settledTo < end) revert PeriodUndecided(a.settledTo);
        uint96 rest = _lockOf(id).amount;
        Status status = Status.Closed;
        if (ledger.endedAt != 0) {
            status = Status.Lost;
            a.end = end;
            Loss storage loss = $.losses[id];
            loss.round = ledger.round;
            loss.returned = rest;
        }
        a.status = status;
        _leave(node, a, ledger);
        emit Closed(id, node, status, rest);
        int256 reserved = int256(uint256(a.leaves)) * int256(uint256(a.collateralPerLeaf));
        if (reserved != 0) _reserve(node, -reserved, uint40(block.timestamp));
        if (rest != 0) hub.refund(id, rest);
    }

    /// @dev Frees the agreement's position; the last one to leave takes the node's misses along.
    function _leave(uint32 node, Agreement storage a, Ledger memory ledger) private {
        MarketStorage storage $ = _market();
        uint256 position = a.position;
        $.sums.move(node, ledger.depth, position, 0, a.leaves);
        $.ids[_positionKey(node, position)] = ledger.freed;
        ledger.freed = uint16(position + 1);
        ledger.leaves -= a.leaves;
        if (--ledger.count == 0) {
            ledger.misses = 0;
            ledger.endedAt = 0;
        }
        _store(node, ledger);
    }
}
