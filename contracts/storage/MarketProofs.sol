// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IStorageMarket} from "../interfaces/IStorageMarket.sol";
import {PeriodBits} from "../libraries/PeriodBits.sol";
import {Protocol} from "../libraries/Protocol.sol";
import {SumTree} from "../libraries/SumTree.sol";
import {MarketBase} from "./MarketBase.sol";

/// @title Seeds, possession proofs and misses
abstract contract MarketProofs is MarketBase, IStorageMarket {
    using PeriodBits for mapping(uint256 => uint256);
    using SumTree for mapping(uint256 => uint256);

    /// @inheritdoc IStorageMarket
    function draw(uint32 p) external {
        uint32 current = _current();
        if (uint256(p) + 1 != current) revert NotDrawable(p, current);
        MarketStorage storage $ = _market();
        uint256 draws = $.draws;
        if (uint32(draws) == p) revert AlreadyDrawn(p);
        uint40 point = uint40(draws >> 160);
        if (uint32(draws >> 128) != p) {
            // The oldest of the four leaves the list with this draw: nobody may still be proving it.
            uint32 oldest = uint32(draws >> 96);
            if (oldest != 0 && _isOpen($.seeds[oldest])) revert WindowOpen(oldest);
            point = randomness.nextPoint();
            $.draws = uint128(draws) | uint256(p) << 128 | uint256(point) << 160;
            emit DrawStarted(p, point);
            return;
        }
        if (point == VOID) revert DrawVoid(p);
        (bool ready, bool lost, bytes32 word) = randomness.wordAt(point);
        if (lost) {
            $.draws = draws | uint256(VOID) << 160;
            emit DrawVoided(p);
            return;
        }
        if (!ready) revert DrawPending(point);
        uint168 seed = uint168(uint256(keccak256(abi.encode(word, p))));
        uint16 samples = _service().samples;
        if (samples > type(uint8).max) samples = type(uint8).max;
        $.seeds[p] = uint256(seed) << 88 | uint256(samples) << 80 | block.number << 40 | block.timestamp;
        $.draws = uint128(draws << 32 | p);
        emit Drawn(p, seed, uint8(samples));
    }

    /// @inheritdoc IStorageMarket
    function prove(uint32 node, uint32 p, bytes calldata answers) external {
        MarketStorage storage $ = _market();
        Ledger memory ledger = _ledger(node);
        if (ledger.endedAt != 0) revert NodeHasEnded(node);
        uint256 seed = $.seeds[p];
        if (seed == 0) revert NotDrawn(p);
        if (!_isOpen(seed)) revert WindowClosed(p);
        if (ledger.leaves == 0 || p < ledger.missedTo) revert NothingToProve(node, p);
        if ($.bits.get(node, p)) revert AlreadyProven(node, p);
        _checkAnswers(node, ledger, seed, answers);
        $.bits.set(node, p);
        if (p > ledger.lastProven) ledger.lastProven = p;
        ledger.misses = 0;
        _store(node, ledger);
        emit Proven(node, p);
    }

    /// @inheritdoc IStorageMarket
    function reportMissed(uint32 node, uint32 p, uint256 id) external {
        MarketStorage storage $ = _market();
        Ledger memory ledger = _ledger(node);
        if (ledger.endedAt != 0) revert NodeHasEnded(node);
        uint256 seed = $.seeds[p];
        if (seed == 0) revert NotDrawn(p);
        if (_isOpen(seed)) revert WindowOpen(p);
        // A run of misses begins after the last proof; each period counts once.
        if (p < ledger.missedTo || p <= ledger.lastProven) revert NotMissed(node, p);
        Agreement storage a = $.agreements[id];
        // A deal without leaves owes nothing: there is nothing its node could prove.
        if (a.node != node || !_isLive(a.status) || a.leaves == 0 || p < a.start || p >= a.end) {
            revert NotInForce(id, p);
        }
        ledger.missedTo = p + 1;
        uint8 misses = ++ledger.misses;
        if (misses >= Protocol.MISS_END) ledger.endedAt = p + 1;
        // Each run has a fund of its own: what an earlier one left is not for deals that came after it.
        if (misses == Protocol.MISS_STEP) ++ledger.round;
        _store(node, ledger);
        emit Missed(node, p, misses, msg.sender);
        if (misses % Protocol.MISS_STEP != 0 && ledger.endedAt == 0) return;
        Fund storage fund = $.funds[_fundKey(node, ledger.round)];
        fund.leaves = ledger.leaves;
        fund.since = _current();
        uint256 share;
        if (ledger.endedAt != 0) {
            // The vault takes from active stake and leaves the reserve as it is: what this run took already would be taken
            // again, out of free stake that backs none of these deals.
            share = Protocol.BPS - fund.takenBps;
            fund.endedAt = uint40(block.timestamp);
            emit NodeEnded(node, ledger.round, ledger.endedAt);
        } else {
            share = _service().faultBps;
        }
        fund.takenBps += uint16(share);
        fund.amount += _fault(node, _stakeOf(node).reserved * share / Protocol.BPS, msg.sender);
    }

    /// @dev Every sample has its answer, in order, and nothing follows the last.
    function _checkAnswers(uint32 node, Ledger memory ledger, uint256 seed, bytes calldata answers) private view {
        uint256 used;
        for (uint256 i; i < uint8(seed >> 80); ++i) {
            (uint256 id, uint256 offset, uint256 leaves) = _leafAt(node, ledger, _sample(seed, node, i, ledger.leaves));
            used += verifier.verify(_market().agreements[id].root, leaves, offset, answers[used:]);
        }
        if (used != answers.length) revert TrailingAnswers(answers.length - used);
    }

    function _sample(uint256 seed, uint32 node, uint256 i, uint256 leaves) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed >> 88, node, i))) % leaves;
    }

    function _leafAt(uint32 node, Ledger memory ledger, uint256 index)
        internal
        view
        returns (uint256 id, uint256 offset, uint256 leaves)
    {
        MarketStorage storage $ = _market();
        uint256 position;
        (position, offset, leaves) = $.sums.find(node, ledger.depth, ledger.leaves, index);
        id = $.ids[_positionKey(node, position)];
    }
}
