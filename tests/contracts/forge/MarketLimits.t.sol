// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {SumTree} from "../../../contracts/libraries/SumTree.sol";
import {MarketBase} from "../../../contracts/storage/MarketBase.sol";
import {StorageMarket} from "../../../contracts/storage/StorageMarket.sol";
import {MarketFixture} from "./MarketFixture.sol";

/// @notice Where the market ends: what it cannot be built with, and how many deals a node can have.
contract MarketLimitsTest is MarketFixture {
    // Bits below Ledger.positions (16) and .depth (8) in its word.
    uint256 private constant POSITIONS = 48 + 16 + 32 + 8 + 32 + 32 + 16;

    function setUp() public {
        deployAll();
    }

    function test_periodAndWindowThatCannotWork() public {
        MarketBase.Setup memory s = setup();
        s.period = 0;
        _refused(s);
        s = setup();
        s.proveWindow = 0;
        _refused(s);
        s.proveWindow = s.period / 2 + 1;
        _refused(s);
        s.proveWindow = s.period / 2;
        new StorageMarket(s, timelock);
    }

    function _refused(MarketBase.Setup memory s) private {
        vm.expectRevert(MarketBase.InvalidTimes.selector);
        new StorageMarket(s, timelock);
    }

    /// @dev 5^6 = 15,625 positions fill the sum tree; opening so many takes hours, so their number is written.
    function test_aNodeIsFullAtTheSumTreesLastPosition() public {
        open(terms(node, content("one", 2)));
        _setLedger(15_625 - 1, SumTree.MAX_DEPTH);
        open(terms(node, content("last", 2)));
        assertEq(market.ledgerOf(node).positions, 15_625);
        assertEq(market.ledgerOf(node).depth, SumTree.MAX_DEPTH);
        Terms memory t = terms(node, content("one too many", 2));
        (bytes memory a, bytes memory b) = (signPayer(t), signNode(t));
        vm.expectRevert(abi.encodeWithSelector(NodeFull.selector, node));
        market.open(t, a, b);
    }

    function _setLedger(uint256 positions, uint256 depth) private {
        vm.record();
        Ledger memory ledger = market.ledgerOf(node);
        (bytes32[] memory reads,) = vm.accesses(address(market));
        for (uint256 i = 0; i < reads.length; ++i) {
            uint256 word = uint256(vm.load(address(market), reads[i]));
            if (uint24(word >> POSITIONS) != 1 || uint48(word) != ledger.leaves) continue;
            word ^= (1 ^ positions ^ depth << 16) << POSITIONS;
            vm.store(address(market), reads[i], bytes32(word));
            return;
        }
        fail("the ledger's slot was not found");
    }
}
