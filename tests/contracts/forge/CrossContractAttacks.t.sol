// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Content, MarketFixture} from "./MarketFixture.sol";

/// @dev Attacks where market, vault and bank meet: each promise is kept by one and broken through another.
contract CrossContractAttacksTest is MarketFixture {
    Content internal one;
    Content internal big;
    uint256 internal id;
    uint32 internal p;

    function setUp() public {
        deployAll();
        one = content("one", 2);
        big = content("big", 100);
        id = _openFor(node, one, 60);
        p = market.currentPeriod() + 1;
    }

    function _openFor(uint32 on, Content memory c, uint32 periods) internal returns (uint256 dealId) {
        Terms memory t = terms(on, c);
        (t.end, t.prepaid) = (t.start + periods, RATE * periods);
        dealId = open(t);
        contents[dealId] = c;
    }

    function _drain(uint256 deal) internal {
        Change memory c = change(deal, one);
        (c.root, c.leaves) = (0, 0);
        apply_(c);
    }

    // ---------------------------------------------------------------------------------------- misses of the empty

    // A node whose files were all removed can prove nothing and owes nothing: its payer must not count ten misses meanwhile.
    function test_attack_faulting_a_node_for_periods_in_which_it_held_nothing() public {
        _drain(id);
        period(node, p, false);
        vm.expectRevert(abi.encodeWithSelector(NotInForce.selector, id, p));
        market.reportMissed(node, p, id);
    }

    // ... nor keep the empty periods for later, when other payers' files have brought a reserve worth taking.
    function test_attack_reporting_the_empty_periods_once_there_is_a_reserve() public {
        _drain(id);
        for (uint32 i = 0; i < 10; ++i) {
            period(node, p + i, false);
        }
        uint256 other_ = _openFor(node, big, 30);
        for (uint32 i = 0; i < 10; ++i) {
            vm.expectRevert();
            market.reportMissed(node, p + i, id);
            vm.expectRevert();
            market.reportMissed(node, p + i, other_);
        }
        assertEq(active(node), 1000 * HOLE);
    }

    // ... nor by filling the old deal again: what it owes counts from then.
    function test_attack_reporting_the_empty_periods_on_a_deal_filled_again() public {
        _drain(id);
        for (uint32 i = 0; i < 10; ++i) {
            period(node, p + i, false);
        }
        apply_(change(id, big));
        for (uint32 i = 0; i < 10; ++i) {
            vm.expectRevert(abi.encodeWithSelector(NotInForce.selector, id, p + i));
            market.reportMissed(node, p + i, id);
        }
        assertEq(active(node), 1000 * HOLE);
        // From the period in which it was filled on, the node owes its proofs as ever.
        contents[id] = big;
        uint32 filled = market.currentPeriod();
        miss(node, filled, id);
        assertEq(market.ledgerOf(node).misses, 1);
    }
}
