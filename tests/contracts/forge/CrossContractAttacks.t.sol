// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IStakeManager} from "../../../contracts/interfaces/IStakeManager.sol";
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

    // --------------------------------------------------------------------------------------------- the repair fund

    function _pieceRoot(Content memory c) internal view returns (bytes32 piece) {
        return trees.pieceOf(c, 0);
    }

    // A faulted node must not take its own stake back out of the fund by deals with itself, opened after the fault.
    function test_attack_a_node_takes_its_fault_back_by_deals_with_itself() public {
        period(node, p, true);
        miss(node, p + 1, id);
        miss(node, p + 2, id);
        miss(node, p + 3, id);
        uint16 round = market.ledgerOf(node).round;
        uint256 fund = market.fundOf(node, round).amount;
        assertGt(fund, 0);
        // The node's own account is payer, repairer and owner of the other node.
        uint256 own = _openFor(node, big, 20);
        vm.prank(payer);
        market.terminate(own);
        Terms memory t = terms(other, big);
        t.repairer = stranger;
        uint256 copy = open(t);
        contents[copy] = big;
        period(other, t.start, true);
        bytes32 piece = _pieceRoot(big);
        vm.expectRevert(abi.encodeWithSelector(NotLost.selector, own));
        market.claimRepair(own, copy, piece, 100, "", "");
        assertEq(market.fundOf(node, round).amount, fund);
    }

    // ... nor by letting a deal grow that was there before.
    function test_attack_a_deal_grown_after_the_fault_shares_in_the_fund() public {
        miss(node, p, id);
        miss(node, p + 1, id);
        miss(node, p + 2, id);
        apply_(change(id, big));
        contents[id] = big;
        vm.prank(payer);
        market.terminate(id);
        Terms memory t = terms(other, big);
        t.repairer = stranger;
        uint256 copy = open(t);
        contents[copy] = big;
        period(other, t.start, true);
        bytes32 piece = _pieceRoot(big);
        vm.expectRevert(abi.encodeWithSelector(NotLost.selector, id));
        market.claimRepair(id, copy, piece, 100, "", "");
    }

    // Leaves that came after the fault do not thin out the shares of those it hurt.
    function test_attack_diluting_the_fund_of_a_fault_by_later_deals() public {
        miss(node, p, id);
        miss(node, p + 1, id);
        miss(node, p + 2, id);
        uint16 round = market.ledgerOf(node).round;
        uint256 fund = market.fundOf(node, round).amount;
        _openFor(node, big, 20);
        vm.prank(payer);
        market.terminate(id);
        Terms memory t = terms(other, one);
        t.repairer = stranger;
        uint256 copy = open(t);
        contents[copy] = one;
        period(other, t.start, true);
        market.claimRepair(id, copy, _pieceRoot(one), 2, "", "");
        assertEq(token.balanceOf(stranger), fund);
    }

    // What one run of misses left is not for deals of a later run: a node would stage one on a deal with itself.
    function test_attack_a_staged_run_of_misses_collects_what_an_earlier_run_left() public {
        uint256 victim = _openFor(node, big, 20);
        for (uint32 i = 0; i < 3; ++i) {
            miss(node, p + i, id);
        }
        uint256 left = market.fundOf(node, market.ledgerOf(node).round).amount;
        period(node, p + 3, true);
        uint32 end = market.agreementOf(victim).end;
        for (uint32 q = end - 1; q < end + 2; ++q) {
            drawn(q);
            if (q == end - 1) prove(node, q);
            passWindow();
            if (q == end - 1) market.close(victim);
            if (q >= end) market.reportMissed(node, q, id);
        }
        miss(node, end + 2, id);
        vm.prank(payer);
        market.terminate(id);
        Terms memory t = terms(other, one);
        t.repairer = stranger;
        uint256 copy = open(t);
        contents[copy] = one;
        period(other, t.start, true);
        market.claimRepair(id, copy, _pieceRoot(one), 2, "", "");
        assertLt(token.balanceOf(stranger), left / 10);
    }

    // A repairer is paid for a period the piece was proven in, not for the deal's periods before the piece came.
    function test_attack_an_old_deal_is_shown_as_the_replacement() public {
        Content memory small = content("small", 1);
        Terms memory t = terms(other, small);
        t.repairer = stranger;
        uint256 old = open(t);
        contents[old] = small;
        for (uint32 i = 0; i < 3; ++i) {
            drawn(p + i);
            if (i == 2) prove(other, p + i);
            passWindow();
            market.reportMissed(node, p + i, id);
        }
        vm.prank(payer);
        market.terminate(id);
        // Both sign the lost piece into the old deal without a byte of it on the node.
        apply_(change(old, one));
        bytes32 piece = _pieceRoot(one);
        vm.expectRevert(abi.encodeWithSelector(NotProvenYet.selector, old));
        market.claimRepair(id, old, piece, 2, "", "");
        contents[old] = one;
        period(other, market.currentPeriod() + 1, true);
        market.claimRepair(id, old, piece, 2, "", "");
    }

    // ------------------------------------------------------------------------------------------------- the reserve

    // A deal long over and never closed must not lower, when it is closed at last, what a later deal reserved.
    function test_attack_a_freed_reserve_is_given_back_a_second_time() public {
        uint256 own = _openFor(other, big, 1);
        toPeriod(p + 3);
        vm.warp(vault.stakeOf(other, SERVICE).reservedUntil + 60 days);
        pass(1);
        address staker = keysOf[other].owner;
        vm.prank(staker);
        vault.unreserve(other, SERVICE);
        assertEq(reserved(other), 0);
        uint256 victim = _openFor(other, content("victim", 90), 60);
        assertEq(reserved(other), 90 * COLLATERAL);
        market.close(own);
        assertEq(reserved(other), 90 * COLLATERAL, "what backs a live deal");
        vm.expectRevert(
            abi.encodeWithSelector(
                IStakeManager.InsufficientFreeStake.selector, 1000 * HOLE - 90 * COLLATERAL, 1000 * HOLE
            )
        );
        vm.prank(staker);
        vault.requestExit(other, SERVICE, 1000 * HOLE);
        assertGt(market.agreementOf(victim).end, market.currentPeriod());
    }

    // An end so far away that its date overflows must not name a reserve and a lock that end tomorrow.
    function test_attack_an_end_whose_date_wraps_around() public {
        Terms memory t = terms(other, one);
        // (end + 2) * PERIOD = 2^40 * k + a date within 400 days from now
        uint256 wrap = 1 << 40;
        uint256 want = vm.getBlockTimestamp() + 30 days;
        t.end = uint32((wrap + want) / PERIOD - 1);
        (t.rate, t.prepaid) = (1, type(uint32).max);
        (bytes memory a, bytes memory b) = (signPayer(t), signNode(t));
        vm.expectRevert();
        market.open(t, a, b);
    }

    // ------------------------------------------------------------------------------------------------ hostile payers

    // A smart account that has signed and then changes its mind, or breaks, stops no payment, no fault and no close.
    function test_attack_a_payer_contract_that_turns_hostile_after_it_signed() public {
        TurncoatPayer account = new TurncoatPayer();
        fundPayer(address(account));
        Terms memory t = terms(other, one);
        (t.payer, t.end, t.prepaid) = (address(account), t.start + 2, 2 * RATE);
        uint256 deal = market.open(t, "", signNode(t));
        contents[deal] = one;
        account.turn();
        period(other, p, true);
        settle(deal);
        assertEq(locked(deal), RATE);
        miss(other, p + 1, deal);
        market.close(deal);
        assertEq(hub.balanceOf(address(account)), 1000 * HOLE - RATE);
        assertEq(reserved(other), 0);
    }

    // Whatever gas a stranger gives a batch: each row is open in market, bank and vault, or in none of them, and what was
    // skipped opens later.
    function test_attack_a_batch_with_too_little_gas_leaves_no_row_half_open() public {
        Terms[] memory rows = new Terms[](3);
        bytes[] memory nodeSigs = new bytes[](3);
        bytes32[] memory ids = new bytes32[](3);
        for (uint256 i = 0; i < 3; ++i) {
            rows[i] = terms(other, one);
            ids[i] = market.termsDigest(rows[i]);
            nodeSigs[i] = signNode(rows[i]);
        }
        bytes memory call = abi.encodeCall(market.openMany, (rows, sign(payerKey, market.batchDigest(ids)), nodeSigs));
        bool partly;
        for (uint256 gas_ = 100_000; gas_ < 1_200_000; gas_ += 20_000) {
            uint256 snapshot = vm.snapshotState();
            (bool ok,) = address(market).call{gas: gas_}(call);
            uint256 opened = _consistent(ids);
            if (ok && opened != 0 && opened != 3) {
                partly = true;
                (ok,) = address(market).call(call);
                assertTrue(ok);
                assertEq(_consistent(ids), 3);
            }
            vm.revertToState(snapshot);
        }
        assertTrue(partly, "some gas opened a part of the batch");
    }

    function _consistent(bytes32[] memory ids) private view returns (uint256 opened) {
        for (uint256 i = 0; i < ids.length; ++i) {
            bool isOpen = market.agreementOf(uint256(ids[i])).status == Status.Open;
            assertEq(locked(uint256(ids[i])), isOpen ? 10 * RATE : 0);
            if (isOpen) ++opened;
        }
        assertEq(reserved(other), opened * 2 * COLLATERAL);
        assertEq(market.ledgerOf(other).count, opened);
        assertEq(market.treeTotal(other), opened * 2);
    }

    // A repairer that the bank pays nobody at blocks his own pay only: the payer's remainder comes all the same.
    function test_attack_a_repairer_nobody_can_pay() public {
        for (uint32 i = 0; i < 10; ++i) {
            miss(node, p + i, id);
        }
        Terms memory t = terms(other, one);
        t.repairer = address(hub);
        uint256 copy = open(t);
        contents[copy] = one;
        period(other, t.start, true);
        bytes32 piece = _pieceRoot(one);
        vm.expectRevert();
        market.claimRepair(id, copy, piece, 2, "", "");
        skip(60 days);
        uint256 fund = market.fundOf(node, 1).amount;
        market.claimRemainder(id);
        assertEq(token.balanceOf(payer), fund);
    }

    // Tokens sent to the market past the bank go to whoever is paid next from a fault, and to no withdrawal of their own.
    function testFuzz_attack_a_donation_to_the_market_leaves_its_books_whole(uint96 gift) public {
        gift = uint96(bound(gift, 1, 1000 * HOLE));
        token.transfer(address(market), gift);
        for (uint32 i = 0; i < 3; ++i) {
            miss(node, p + i, id);
        }
        assertEq(token.balanceOf(address(market)), 0);
        assertEq(hub.balanceOf(address(market)), market.fundOf(node, 1).amount);
    }

    // A second payer's deal of the same node shares by its leaves: neither who claims first nor how often changes a share.
    function testFuzz_attack_the_order_of_claims_changes_no_share(bool othersFirst, uint8 leaves) public {
        Content memory second = content("second", uint8(bound(leaves, 1, 40)));
        uint256 deal = _openFor(node, second, 60);
        for (uint32 i = 0; i < 3; ++i) {
            miss(node, p + i + 1, id);
        }
        uint256 fund = market.fundOf(node, 1).amount;
        vm.startPrank(payer);
        market.terminate(id);
        market.terminate(deal);
        vm.stopPrank();
        uint256 mine = _copy(one, makeAddr("first repairer"));
        uint256 theirs = _copy(second, makeAddr("second repairer"));
        period(other, market.currentPeriod() + 1, true);
        uint48 all = 2 + trees.leavesOf(second);
        if (othersFirst) market.claimRepair(deal, theirs, _pieceRoot(second), all - 2, "", "");
        market.claimRepair(id, mine, _pieceRoot(one), 2, "", "");
        if (!othersFirst) market.claimRepair(deal, theirs, _pieceRoot(second), all - 2, "", "");
        assertApproxEqAbs(token.balanceOf(makeAddr("first repairer")), fund * 2 / all, 1);
        assertApproxEqAbs(token.balanceOf(makeAddr("second repairer")), fund * (all - 2) / all, 1);
        assertEq(market.fundOf(node, 1).amount, 0);
    }

    function _copy(Content memory c, address repairer) private returns (uint256 deal) {
        Terms memory t = terms(other, c);
        t.repairer = repairer;
        deal = open(t);
        contents[deal] = c;
    }
}

/// @dev Signs everything until it turns; then it answers nothing any more.
contract TurncoatPayer {
    bool private _turned;

    function turn() external {
        _turned = true;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        if (_turned) revert();
        return 0x1626ba7e;
    }
}
