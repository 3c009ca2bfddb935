// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IServiceCatalog} from "../../../contracts/interfaces/IServiceCatalog.sol";
import {Protocol} from "../../../contracts/libraries/Protocol.sol";
import {Content, MarketFixture} from "./MarketFixture.sol";

/// @dev Misses, what they cost, and who is paid from it.
contract MarketFaultsTest is MarketFixture {
    Content internal one;
    uint256 internal id;
    uint32 internal p;

    uint96 internal constant RESERVE = 6 * COLLATERAL;

    function setUp() public {
        deployAll();
        one = content("one", 3, 1, 2);
        Terms memory t = terms(node, one);
        (t.end, t.prepaid) = (t.start + 30, 30 * RATE);
        id = open(t);
        contents[id] = one;
        p = t.start;
    }

    /// @dev What a fault of `taken` leaves to the remedy: 30 % burned, 5 % to the reporter.
    function rest(uint256 taken) internal pure returns (uint256) {
        return taken - taken * 3000 / 10_000 - taken * 500 / 10_000;
    }

    // ------------------------------------------------------------------------------------------------ misses

    function test_a_miss_is_counted_once_after_the_window() public {
        vm.expectRevert(abi.encodeWithSelector(NotDrawn.selector, p));
        market.reportMissed(node, p, id);
        drawn(p);
        vm.expectRevert(abi.encodeWithSelector(WindowOpen.selector, p));
        market.reportMissed(node, p, id);
        passWindow();
        vm.expectEmit(address(market));
        emit Missed(node, p, 1, reporter);
        vm.prank(reporter);
        market.reportMissed(node, p, id);
        vm.expectRevert(abi.encodeWithSelector(NotMissed.selector, node, p));
        market.reportMissed(node, p, id);
        assertEq(active(node), 1000 * HOLE);
    }

    function test_a_proven_period_is_no_miss_and_a_proof_ends_the_run() public {
        miss(node, p, id);
        miss(node, p + 1, id);
        period(node, p + 2, true);
        assertEq(market.ledgerOf(node).misses, 0);
        vm.expectRevert(abi.encodeWithSelector(NotMissed.selector, node, p + 2));
        market.reportMissed(node, p + 2, id);
        miss(node, p + 3, id);
        assertEq(market.ledgerOf(node).misses, 1);
    }

    function test_misses_before_the_last_proof_cannot_be_reported() public {
        period(node, p, false);
        period(node, p + 1, true);
        vm.expectRevert(abi.encodeWithSelector(NotMissed.selector, node, p));
        market.reportMissed(node, p, id);
    }

    function test_a_miss_needs_a_deal_in_force() public {
        period(node, p - 1, false);
        vm.expectRevert(abi.encodeWithSelector(NotMissed.selector, node, p - 1));
        market.reportMissed(node, p - 1, id);
        uint256 elsewhere = open(other, one);
        period(node, p, false);
        vm.expectRevert(abi.encodeWithSelector(NotInForce.selector, elsewhere, p));
        market.reportMissed(node, p, elsewhere);
        vm.expectRevert(abi.encodeWithSelector(NotInForce.selector, 5, p));
        market.reportMissed(node, p, 5);
    }

    function test_a_deal_that_is_over_and_not_closed_causes_no_fault() public {
        uint32 end = market.agreementOf(id).end;
        period(node, end, false);
        vm.expectRevert(abi.encodeWithSelector(NotInForce.selector, id, end));
        market.reportMissed(node, end, id);
    }

    function test_void_periods_are_no_misses() public {
        miss(node, p, id);
        toPeriod(p + 2);
        market.draw(p + 1);
        pass(300);
        market.draw(p + 1);
        passWindow();
        vm.expectRevert(abi.encodeWithSelector(NotDrawn.selector, p + 1));
        market.reportMissed(node, p + 1, id);
        vm.expectRevert(abi.encodeWithSelector(NotDrawn.selector, p + 2));
        market.reportMissed(node, p + 2, id);
        miss(node, p + 5, id);
        assertEq(market.ledgerOf(node).misses, 2);
    }

    function test_a_halted_chain_faults_nobody() public {
        drawn(p);
        skip(30 days);
        pass(1);
        vm.expectRevert(abi.encodeWithSelector(WindowOpen.selector, p));
        market.reportMissed(node, p, id);
        prove(node, p);
        uint32 current = market.currentPeriod();
        for (uint32 q = p + 1; q < current - 1; q += 7) {
            vm.expectRevert(abi.encodeWithSelector(NotDrawn.selector, q));
            market.reportMissed(node, q, id);
        }
    }

    function test_misses_3_6_9_take_a_share_and_10_what_is_left_of_the_reserve() public {
        uint256 left = 1000 * HOLE;
        uint256 fund;
        uint256 bounty;
        for (uint32 i = 1; i <= 10; ++i) {
            miss(node, p + i - 1, id);
            if (i == 10) {
                uint256 last = uint256(RESERVE) * 8500 / 10_000;
                left -= last;
                fund += rest(last);
                bounty += last * 500 / 10_000;
            } else if (i % 3 == 0) {
                uint256 share = uint256(RESERVE) * 500 / 10_000;
                left -= share;
                fund += rest(share);
                bounty += share * 500 / 10_000;
            }
            assertEq(active(node), left);
            assertEq(hub.balanceOf(address(market)), fund);
            assertEq(token.balanceOf(reporter), bounty);
        }
        Fund memory f = market.fundOf(node, 1);
        assertEq(f.amount, fund);
        assertEq(f.leaves, 6);
        assertEq(f.endedAt, vm.getBlockTimestamp());
        assertEq(market.ledgerOf(node).endedAt, p + 10);
        assertEq(market.endOf(id), p + 10);
        assertEq(left, 1000 * HOLE - RESERVE, "the reserve and no more, with free stake beside it");
    }

    // The share may be changed between two misses of a run; a run costs what the node signed for, and a proof begins a new one.
    function testFuzz_attack_a_run_of_misses_takes_more_than_the_reserve(uint16 first, uint16 second, bool proofBetween)
        public
    {
        IServiceCatalog.Service memory row = serviceRow();
        row.faultBps = uint16(bound(first, 0, Protocol.FAULT_BPS_MAX));
        setService(row);
        for (uint32 i = 0; i < 3; ++i) {
            miss(node, p + i, id);
        }
        uint256 run = 1000 * HOLE - active(node);
        assertEq(run, uint256(RESERVE) * row.faultBps / 10_000);
        p += 3;
        uint32 missed = 3;
        if (proofBetween) {
            period(node, p++, true);
            (missed, run) = (0, 0);
        }
        uint256 before = active(node);
        row.faultBps = uint16(bound(second, 0, Protocol.FAULT_BPS_MAX));
        setService(row);
        for (; missed < 10; ++missed) {
            miss(node, p++, id);
        }
        assertApproxEqAbs(run + before - active(node), RESERVE, 3);
    }

    function _fail() internal {
        for (uint32 i = 0; i < 10; ++i) {
            miss(node, p + i, id);
        }
    }

    function test_an_ended_node_opens_changes_and_proves_nothing_until_empty() public {
        Change memory c = change(id, one);
        c.lastPeriod = type(uint32).max;
        (bytes memory a, bytes memory b) = signChange(c);
        _fail();
        vm.expectRevert(abi.encodeWithSelector(NodeHasEnded.selector, node));
        market.change(c, a, b);
        Terms memory t = terms(node, one);
        (a, b) = (signPayer(t), signNode(t));
        vm.expectRevert(abi.encodeWithSelector(NodeHasEnded.selector, node));
        market.open(t, a, b);
        drawn(p + 10);
        vm.expectRevert(abi.encodeWithSelector(NodeHasEnded.selector, node));
        market.prove(node, p + 10, "");
        passWindow();
        vm.expectRevert(abi.encodeWithSelector(NodeHasEnded.selector, node));
        market.reportMissed(node, p + 10, id);
        uint256 before = hub.balanceOf(payer);
        market.close(id);
        assertEq(hub.balanceOf(payer) - before, 30 * RATE);
        assertEq(uint8(market.agreementOf(id).status), uint8(Status.Lost));
        Ledger memory l = market.ledgerOf(node);
        assertEq(l.misses, 0);
        assertEq(l.endedAt, 0);
        assertEq(l.round, 1);
        t = terms(node, one);
        open(t);
        assertEq(market.ledgerOf(node).missedTo, t.start);
    }

    function test_an_ended_deal_closes_at_once_and_is_paid_what_it_proved() public {
        period(node, p, true);
        p += 1;
        _fail();
        uint256 before = hub.balanceOf(keysOf[node].owner);
        market.close(id);
        assertEq(hub.balanceOf(keysOf[node].owner) - before, RATE - RATE / 100);
    }

    // ----------------------------------------------------------------------------------------- repair, remainder

    function _replacement(uint32 on, uint256 piece) internal returns (Terms memory t) {
        t = terms(on, one);
        t.root = _pieceLeaf(piece);
        t.leaves = one.sizes[piece];
        t.repairer = stranger;
    }

    function _pieceLeaf(uint256 piece) internal view returns (bytes32 root) {
        (root,,) = verifier.climb(trees.pieceOf(one, piece), one.sizes[piece], "");
    }

    /// @dev Content of one piece that is piece `piece` of `one`: the same seed would number it 0.
    function _openReplacement(uint256 piece) internal returns (uint256 newId) {
        Terms memory t = _replacement(other, piece);
        newId = open(t);
    }

    /// @dev Proves the replacement's first period with the lost piece's own blocks.
    function _proveReplacement(uint256 newId, uint256 piece) internal {
        uint32 start = market.agreementOf(newId).start;
        uint32 on = market.agreementOf(newId).node;
        drawn(start);
        uint256 first;
        for (uint256 i = 0; i < piece; ++i) {
            first += one.sizes[i];
        }
        bytes memory whole = trees.answer(one, first + market.sampleOf(on, start, 0));
        // The agreement's tree has one entry, so the piece's path is empty.
        uint256 steps = uint8(whole[38]);
        bytes memory own = new bytes(whole.length - 39 * steps);
        for (uint256 i = 0; i < own.length; ++i) {
            own[i] = whole[i < 38 ? i : i + 39 * steps];
        }
        own[38] = 0;
        market.prove(on, start, own);
        passWindow();
    }

    function test_a_repairer_is_paid_by_leaves_once_after_a_proven_period() public {
        _fail();
        uint256 newId = _openReplacement(2);
        bytes32 piece = trees.pieceOf(one, 2);
        bytes memory path = trees.piecePath(one, 2);
        vm.expectRevert(abi.encodeWithSelector(NotProvenYet.selector, newId));
        market.claimRepair(id, newId, piece, 2, path, "");
        _proveReplacement(newId, 2);
        uint256 fund = market.fundOf(node, 1).amount;
        vm.expectRevert(PieceMismatch.selector);
        market.claimRepair(id, newId, piece, 1, path, "");
        vm.expectRevert(PieceMismatch.selector);
        market.claimRepair(id, newId, piece, 2, path, path);
        market.claimRepair(id, newId, piece, 2, path, "");
        assertEq(token.balanceOf(stranger), fund * 2 / 6);
        assertEq(market.lossOf(id).repaired, 2);
        vm.expectRevert(abi.encodeWithSelector(AlreadyRepaired.selector, id, piece));
        market.claimRepair(id, newId, piece, 2, path, "");
        market.close(id);
        vm.expectRevert(abi.encodeWithSelector(AlreadyRepaired.selector, id, piece));
        market.claimRepair(id, newId, piece, 2, path, "");
    }

    function test_repairing_oneself_or_for_another_payer_pays_nothing() public {
        _fail();
        uint256 newId = _openReplacement(2);
        bytes32 piece = trees.pieceOf(one, 2);
        bytes memory path = trees.piecePath(one, 2);
        Terms memory t = _replacement(other, 2);
        t.repairer = address(0);
        uint256 plain = open(t);
        vm.expectRevert(abi.encodeWithSelector(NoRepairer.selector, plain));
        market.claimRepair(id, plain, piece, 2, path, "");
        vm.expectRevert(abi.encodeWithSelector(NotProvenYet.selector, newId));
        market.claimRepair(id, newId, piece, 2, path, "");
        (address mallory, uint256 key) = makeAddrAndKey("mallory");
        fundPayer(mallory);
        t = _replacement(other, 2);
        t.payer = mallory;
        (bytes memory a, bytes memory b) = (sign(key, market.termsDigest(t)), signNode(t));
        uint256 hers = market.open(t, a, b);
        vm.expectRevert(abi.encodeWithSelector(PayerMismatch.selector, payer));
        market.claimRepair(id, hers, piece, 2, path, "");
        market.close(id);
        uint256 back = open(_replacement(node, 2));
        vm.expectRevert(abi.encodeWithSelector(NodeNotAllowed.selector, node));
        market.claimRepair(id, back, piece, 2, path, "");
    }

    function test_the_remainder_goes_to_the_payers_after_60_days() public {
        vm.expectRevert(abi.encodeWithSelector(NotLost.selector, id));
        market.claimRemainder(id);
        _fail();
        uint256 ended = vm.getBlockTimestamp();
        vm.expectRevert(abi.encodeWithSelector(NotBefore.selector, ended + 60 days));
        market.claimRemainder(id);
        uint256 newId = _openReplacement(2);
        _proveReplacement(newId, 2);
        market.claimRepair(id, newId, trees.pieceOf(one, 2), 2, trees.piecePath(one, 2), "");
        uint256 fund = market.fundOf(node, 1).amount;
        vm.warp(ended + 60 days);
        market.claimRemainder(id);
        assertEq(token.balanceOf(payer), fund * 4 / 6);
        vm.expectRevert(abi.encodeWithSelector(NothingLeft.selector, id));
        market.claimRemainder(id);
        newId = open(_replacement(addNode("third"), 0));
        _proveReplacement(newId, 0);
        bytes32 piece = trees.pieceOf(one, 0);
        bytes memory path = trees.piecePath(one, 0);
        vm.expectRevert(abi.encodeWithSelector(NothingLeft.selector, id));
        market.claimRepair(id, newId, piece, 3, path, "");
        assertLe(hub.balanceOf(address(market)), 2, "only rounding is left");
    }

    // ------------------------------------------------------------------------------------------------- policy

    function _policy() internal view returns (Policy memory q) {
        q.payer = payer;
        q.manifest = keccak256("manifest");
        q.maxRate = RATE << 19;
        q.budget = 100 * RATE;
        q.expiry = uint40(vm.getBlockTimestamp() + 365 days);
    }

    function _proof(uint256 piece) internal view returns (bytes memory) {
        return abi.encode(trees.pieceOf(one, piece), trees.piecePath(one, piece), new bytes32[](0));
    }

    function _byPolicy(Terms memory t, Policy memory q, bytes memory proof, bytes memory reason)
        internal
        returns (uint256)
    {
        bytes memory sig = sign(payerKey, market.policyDigest(q));
        bytes memory nodeSig = signNode(t);
        if (reason.length != 0) vm.expectRevert(reason);
        return market.openByPolicy(t, q, id, proof, sig, nodeSig);
    }

    function test_a_policy_replaces_a_lost_piece_from_what_the_lost_lock_holds() public {
        Terms memory t = _replacement(other, 2);
        Policy memory q = _policy();
        _byPolicy(t, q, _proof(2), abi.encodeWithSelector(NotLost.selector, id));
        miss(node, p, id);
        miss(node, p + 1, id);
        t = _replacement(other, 2);
        uint256 before = hub.balanceOf(payer);
        uint256 newId = _byPolicy(t, q, _proof(2), "");
        // Two periods were missed, so two rates are free in the lost lock; eight come from the budget.
        assertEq(locked(id), 28 * RATE);
        assertEq(locked(newId), 10 * RATE);
        assertEq(before - hub.balanceOf(payer), 8 * RATE);
        assertEq(market.spentOf(market.policyDigest(q)), 8 * RATE);
        assertEq(market.replacementOf(id, trees.pieceOf(one, 2)), newId);
        assertEq(market.repairerOf(newId), stranger);
        t.salt += 100;
        _byPolicy(t, q, _proof(2), abi.encodeWithSelector(AlreadyRepaired.selector, id, trees.pieceOf(one, 2)));
    }

    function test_a_policy_opens_from_an_ended_nodes_lock_without_charge() public {
        _fail();
        market.close(id);
        Policy memory q = _policy();
        q.maxRate = RATE << 20;
        uint256 newId = _byPolicy(_replacement(other, 0), q, _proof(0), "");
        assertEq(locked(newId), 10 * RATE);
        newId = _byPolicy(_replacement(other, 1), q, _proof(1), "");
        newId = _byPolicy(_replacement(other, 2), q, _proof(2), "");
        assertEq(market.spentOf(market.policyDigest(q)), 0, "30 rates came back at close");
    }

    function test_a_policy_bounds_what_a_repairer_may_do() public {
        miss(node, p, id);
        Policy memory q = _policy();
        Terms memory t = _replacement(other, 2);
        q.expiry = uint40(vm.getBlockTimestamp() - 1);
        _byPolicy(t, q, _proof(2), abi.encodeWithSelector(PolicyExpired.selector, q.expiry));
        q = _policy();
        q.maxRate = (RATE << 19) - (1 << 19);
        _byPolicy(t, q, _proof(2), abi.encodeWithSelector(PolicyExceeded.selector, RATE - 1, RATE));
        q = _policy();
        q.budget = 9 * RATE - 1;
        _byPolicy(t, q, _proof(2), abi.encodeWithSelector(PolicyExceeded.selector, 9 * RATE - 1, 9 * RATE));
        _byPolicy(t, _policy(), _proof(0), abi.encodeWithSelector(PieceMismatch.selector));
        t = _replacement(other, 2);
        t.root = keccak256("another piece");
        _byPolicy(t, _policy(), _proof(2), abi.encodeWithSelector(PieceMismatch.selector));
        t = _replacement(node, 2);
        _byPolicy(t, _policy(), _proof(2), abi.encodeWithSelector(NodeNotAllowed.selector, node));
        t = _replacement(other, 2);
        t.payer = stranger;
        _byPolicy(t, _policy(), _proof(2), abi.encodeWithSelector(PayerMismatch.selector, payer));
        t = _replacement(other, 2);
        bytes memory sig = signNode(t);
        bytes memory proof = _proof(2);
        vm.expectRevert(PayerSignatureInvalid.selector);
        market.openByPolicy(t, _policy(), id, proof, sig, sig);
    }

    function test_a_policy_names_its_nodes() public {
        miss(node, p, id);
        uint32 third = addNode("third");
        bytes32 a = keccak256(bytes.concat(keccak256(abi.encode(uint256(other)))));
        bytes32 b = keccak256("another node");
        Policy memory q = _policy();
        q.allowedNodes = a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
        bytes32[] memory nodeProof = new bytes32[](1);
        nodeProof[0] = b;
        bytes memory proof = abi.encode(trees.pieceOf(one, 2), trees.piecePath(one, 2), nodeProof);
        _byPolicy(_replacement(third, 2), q, proof, abi.encodeWithSelector(NodeNotAllowed.selector, third));
        _byPolicy(_replacement(other, 2), q, proof, "");
    }

    function test_a_cancelled_policy_opens_nothing() public {
        miss(node, p, id);
        Policy memory q = _policy();
        vm.expectRevert(abi.encodeWithSelector(PayerMismatch.selector, payer));
        market.cancelPolicy(q);
        vm.prank(payer);
        market.cancelPolicy(q);
        Terms memory t = _replacement(other, 2);
        _byPolicy(
            t,
            q,
            _proof(2),
            abi.encodeWithSelector(PolicyExceeded.selector, q.budget, uint256(type(uint96).max) + 9 * RATE)
        );
    }

    // What the lost lock gave back at its close pays once; what replacements need beyond it is the budget's.
    function test_attack_what_a_lost_lock_gave_back_is_counted_for_every_replacement() public {
        _fail();
        market.close(id);
        Policy memory q = _policy();
        q.maxRate = RATE << 20;
        Terms memory t = _replacement(other, 0);
        t.prepaid = 20 * RATE;
        _byPolicy(t, q, _proof(0), "");
        assertEq(market.spentOf(market.policyDigest(q)), 0);
        t = _replacement(other, 2);
        t.prepaid = 20 * RATE;
        _byPolicy(t, q, _proof(2), "");
        assertEq(market.spentOf(market.policyDigest(q)), 10 * RATE, "30 rates came back, 40 are locked");
    }

    // A lost deal's lock keeps what a period at the rate before its last change can still earn.
    function test_attack_a_replacement_takes_what_the_lost_node_has_still_earned() public {
        toPeriod(p);
        Change memory c = change(id, one);
        (c.rate, c.end) = (RATE / 100, p + 7);
        apply_(c);
        drawn(p);
        vm.prank(payer);
        market.terminate(id);
        Terms memory t = _replacement(other, 2);
        t.prepaid = 40 * RATE;
        _byPolicy(t, _policy(), _proof(2), "");
        prove(node, p);
        passWindow();
        uint256 before = hub.balanceOf(keysOf[node].owner);
        settle(id);
        assertEq(hub.balanceOf(keysOf[node].owner) - before, RATE - RATE / 100, "a rate less the fee");
    }

    function test_a_terminated_deal_is_repaired_from_the_fund_of_its_nodes_misses() public {
        miss(node, p, id);
        miss(node, p + 1, id);
        miss(node, p + 2, id);
        vm.prank(payer);
        market.terminate(id);
        uint256 newId = _openReplacement(2);
        _proveReplacement(newId, 2);
        uint256 fund = market.fundOf(node, 1).amount;
        assertGt(fund, 0);
        market.claimRepair(id, newId, trees.pieceOf(one, 2), 2, trees.piecePath(one, 2), "");
        assertEq(token.balanceOf(stranger), fund * 2 / 6);
        assertEq(market.fundOf(node, 1).amount, fund - fund * 2 / 6);
        vm.expectRevert(abi.encodeWithSelector(NotLost.selector, id));
        market.claimRemainder(id);
    }
}
