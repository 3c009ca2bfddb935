// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IPaymentHub} from "../../../contracts/interfaces/IPaymentHub.sol";
import {IProofVerifier} from "../../../contracts/interfaces/IProofVerifier.sol";
import {IServiceCatalog} from "../../../contracts/interfaces/IServiceCatalog.sol";
import {Protocol} from "../../../contracts/libraries/Protocol.sol";
import {MarketBase} from "../../../contracts/storage/MarketBase.sol";
import {StorageMarket} from "../../../contracts/storage/StorageMarket.sol";
import {Content, MarketFixture} from "./MarketFixture.sol";

/// @dev Deals, proofs and settlement: each function's success and each revert it states.
contract StorageMarketTest is MarketFixture {
    /// @dev ERC-7201 of "blackhole.storage.StorageMarket".
    bytes32 private constant MARKET_STORAGE = 0x0a07cabb5cf956f60d1dde9a6441e5ed7d032c940c7fcc20cf4bc7cf6a115100;

    Content internal one;

    function setUp() public {
        deployAll();
        one = content("one", 3, 1, 2);
    }

    // ------------------------------------------------------------------------------------------------- open

    function test_open_locks_money_reserves_stake_and_counts_leaves() public {
        Terms memory t = terms(node, one);
        uint256 id = uint256(market.termsDigest(t));
        vm.expectEmit(address(market));
        emit Opened(id, payer, node, t);
        assertEq(open(t), id);
        Agreement memory a = market.agreementOf(id);
        assertEq(a.root, t.root);
        assertEq(a.node, node);
        assertEq(a.leaves, 6);
        assertEq(a.start, t.start);
        assertEq(a.end, t.end);
        assertEq(a.settledTo, t.start);
        assertEq(a.rate, RATE);
        assertEq(a.collateralPerLeaf, COLLATERAL);
        assertEq(uint8(a.status), uint8(Status.Open));
        assertEq(locked(id), t.prepaid);
        assertEq(reserved(node), 6 * uint256(COLLATERAL));
        Ledger memory l = market.ledgerOf(node);
        assertEq(l.leaves, 6);
        assertEq(l.count, 1);
        assertEq(l.missedTo, t.start);
        assertEq(market.idAt(node, 0), id);
    }

    function test_open_twice_reverts() public {
        Terms memory t = terms(node, one);
        uint256 id = open(t);
        (bytes memory a, bytes memory b) = (signPayer(t), signNode(t));
        vm.expectRevert(abi.encodeWithSelector(AgreementExists.selector, id));
        market.open(t, a, b);
    }

    function test_open_needs_both_signatures() public {
        Terms memory t = terms(node, one);
        (bytes memory a, bytes memory b) = (signPayer(t), signNode(t));
        vm.expectRevert(PayerSignatureInvalid.selector);
        market.open(t, b, b);
        vm.expectRevert(NodeSignatureInvalid.selector);
        market.open(t, a, a);
        vm.expectRevert(NodeSignatureInvalid.selector);
        market.open(t, a, "");
    }

    function test_open_takes_compact_signatures() public {
        Terms memory t = terms(node, one);
        bytes32 digest = market.termsDigest(t);
        (bytes32 r, bytes32 vs) = vm.signCompact(payerKey, digest);
        (bytes32 r2, bytes32 vs2) = vm.signCompact(keysOf[node].signerKey, digest);
        market.open(t, abi.encodePacked(r, vs), abi.encodePacked(r2, vs2));
    }

    function test_open_takes_a_smart_accounts_signature() public {
        SmartAccount account = new SmartAccount(payer);
        fundPayer(address(account));
        Terms memory t = terms(node, one);
        t.payer = address(account);
        (bytes memory a, bytes memory b) = (signPayer(t), signNode(t));
        uint256 id = market.open(t, a, b);
        assertEq(hub.lockOf(address(market), id).payer, address(account));
        t.salt = 99;
        (a, b) = (signNode(t), signNode(t));
        vm.expectRevert(PayerSignatureInvalid.selector);
        market.open(t, a, b);
    }

    function test_open_starts_within_two_periods() public {
        uint32 current = market.currentPeriod();
        for (uint32 lead = 0; lead < 5; ++lead) {
            Terms memory t = terms(node, one);
            t.start = current + lead;
            t.prepaid = 20 * RATE;
            (bytes memory a, bytes memory b) = (signPayer(t), signNode(t));
            if (lead == 0 || lead > 2) {
                vm.expectRevert(abi.encodeWithSelector(StartOutOfRange.selector, t.start, current));
            }
            market.open(t, a, b);
        }
    }

    function test_open_checks_terms() public {
        Terms memory t = terms(node, one);
        t.end = t.start;
        _refused(t, abi.encodeWithSelector(EndOutOfRange.selector, t.end));
        t = terms(node, one);
        t.root = 0;
        _refused(t, abi.encodeWithSelector(ContentInvalid.selector));
        t = terms(node, one);
        t.leaves = 0;
        _refused(t, abi.encodeWithSelector(ContentInvalid.selector));
        t = terms(node, one);
        t.prepaid = 10 * RATE - 1;
        _refused(t, abi.encodeWithSelector(PrepaidTooLow.selector, 10 * RATE, t.prepaid));
        t = terms(node, one);
        t.repairShare = 1;
        _refused(t, abi.encodeWithSelector(PrepaidTooLow.selector, 10 * RATE + 1, t.prepaid));
        t = terms(node, one);
        t.payee = stranger;
        _refused(t, abi.encodeWithSelector(PayeeMismatch.selector, registry.payeeOf(node)));
        t = terms(node, one);
        t.end = t.start + 500;
        t.prepaid = 500 * RATE;
        _refused(t, "");
    }

    function test_open_needs_an_open_service_and_a_bond() public {
        IServiceCatalog.Service memory row = serviceRow();
        row.flags = 0;
        setService(row);
        _refused(terms(node, one), abi.encodeWithSelector(ServiceClosed.selector));
        row.flags = 3;
        setService(row);
        _refused(terms(node, one), abi.encodeWithSelector(ServiceClosed.selector));
        row.flags = 1;
        row.minBond = 1000 * HOLE + 1;
        setService(row);
        _refused(terms(node, one), abi.encodeWithSelector(BondTooLow.selector, row.minBond, 1000 * HOLE));
        row.minBond = 0;
        setService(row);
        vm.prank(guardian);
        catalog.closeEntries(SERVICE, uint40(vm.getBlockTimestamp() + 1 days));
        _refused(terms(node, one), abi.encodeWithSelector(ServiceClosed.selector));
    }

    function test_a_node_has_no_more_positions_than_its_tree_holds() public {
        open(node, one);
        // Ledger: leaves u48 | count u16 | lastProven u32 | misses u8 | missedTo u32 | endedAt u32 | freed u16 | positions u16 | depth u8
        bytes32 slot = keccak256(abi.encode(node, uint256(MARKET_STORAGE) + 5));
        uint256 ledger = uint256(vm.load(address(market), slot)) & ~(uint256(type(uint24).max) << 184);
        vm.store(address(market), slot, bytes32(ledger | uint256(15_624) << 184 | uint256(6) << 200));
        assertEq(market.ledgerOf(node).positions, 15_624);
        open(node, one);
        _refused(terms(node, one), abi.encodeWithSelector(NodeFull.selector, node));
    }

    function test_times_that_leave_no_room_for_a_proof_are_refused() public {
        MarketBase.Setup memory s = setup();
        s.proveWindow = s.period / 2 + 1;
        vm.expectRevert(MarketBase.InvalidTimes.selector);
        new StorageMarket(s, timelock);
    }

    function test_open_needs_stake_and_money() public {
        Terms memory t = terms(node, one);
        t.leaves = uint48(1000 * HOLE / COLLATERAL + 1);
        _refused(t, "");
        t = terms(node, one);
        t.prepaid = 1001 * HOLE;
        _refused(t, "");
    }

    function test_openMany_opens_what_can_open_and_again_the_rest() public {
        Terms[] memory t = new Terms[](3);
        bytes[] memory sigs = new bytes[](3);
        bytes32[] memory ids = new bytes32[](3);
        for (uint256 i = 0; i < 3; ++i) {
            t[i] = terms(i == 1 ? other : node, one);
            if (i == 1) t[i].prepaid = 1001 * HOLE;
            sigs[i] = signNode(t[i]);
            ids[i] = market.termsDigest(t[i]);
        }
        bytes memory sig = sign(payerKey, market.batchDigest(ids));
        uint256[] memory opened = market.openMany(t, sig, sigs);
        assertEq(opened[0], uint256(ids[0]));
        assertEq(opened[1], 0);
        assertEq(opened[2], uint256(ids[2]));
        assertEq(market.ledgerOf(other).count, 0, "the failed row left nothing");
        assertEq(reserved(other), 0);
        token.approve(address(hub), 1000 * HOLE);
        hub.deposit(payer, 1000 * HOLE);
        opened = market.openMany(t, sig, sigs);
        assertEq(opened[0], 0);
        assertEq(opened[1], uint256(ids[1]));
        assertEq(opened[2], 0);
    }

    function test_openMany_needs_one_payers_signature_over_all() public {
        Terms[] memory t = new Terms[](2);
        bytes[] memory sigs = new bytes[](2);
        bytes32[] memory ids = new bytes32[](1);
        (t[0], t[1]) = (terms(node, one), terms(node, one));
        (sigs[0], sigs[1]) = (signNode(t[0]), signNode(t[1]));
        ids[0] = market.termsDigest(t[0]);
        bytes memory sig = sign(payerKey, market.batchDigest(ids));
        vm.expectRevert(PayerSignatureInvalid.selector);
        market.openMany(t, sig, sigs);
        t[1].payer = stranger;
        vm.expectRevert(abi.encodeWithSelector(PayerMismatch.selector, payer));
        market.openMany(t, sig, sigs);
    }

    function test_openRow_is_the_markets_own() public {
        Terms memory t = terms(node, one);
        bytes memory sig = signNode(t);
        uint256 id = uint256(market.termsDigest(t));
        vm.expectRevert(OnlySelf.selector);
        market.openRow(id, t, sig);
    }

    // ------------------------------------------------------------------------------------------------- draw

    function test_draw_names_a_block_and_stores_its_hash_in_the_next_period_only() public {
        uint32 p = market.currentPeriod();
        vm.expectRevert(abi.encodeWithSelector(NotDrawable.selector, p, p));
        market.draw(p);
        toPeriod(p + 1);
        uint40 point = uint40(vm.getBlockNumber() + Protocol.DRAW_DELAY);
        vm.expectEmit(address(market));
        emit DrawStarted(p, point);
        market.draw(p);
        vm.expectRevert(abi.encodeWithSelector(DrawPending.selector, point));
        market.draw(p);
        vm.roll(point);
        vm.expectRevert(abi.encodeWithSelector(DrawPending.selector, point));
        market.draw(p);
        vm.roll(point + 1);
        market.draw(p);
        (uint168 seed, uint8 samples) = market.seedOf(p);
        assertEq(seed, uint168(uint256(keccak256(abi.encode(blockhash(point), p)))));
        assertEq(samples, 1);
        vm.expectRevert(abi.encodeWithSelector(AlreadyDrawn.selector, p));
        market.draw(p);
        toPeriod(p + 2);
        vm.expectRevert(abi.encodeWithSelector(NotDrawable.selector, p, p + 2));
        market.draw(p);
    }

    function test_a_period_not_drawn_in_the_next_is_void() public {
        uint32 p = market.currentPeriod();
        toPeriod(p + 1);
        market.draw(p);
        toPeriod(p + 2);
        vm.expectRevert(abi.encodeWithSelector(NotDrawable.selector, p, p + 2));
        market.draw(p);
        assertEq(market.firstUndecided(), p + 1);
    }

    function test_a_seed_whose_block_is_older_than_256_is_void_for_ever() public {
        open(node, one);
        uint32 p = market.currentPeriod() + 1;
        toPeriod(p + 1);
        market.draw(p);
        assertTrue(market.isProving(node));
        pass(Protocol.DRAW_DELAY + 257);
        vm.expectEmit(address(market));
        emit DrawVoided(p);
        market.draw(p);
        assertFalse(market.isProving(node));
        assertEq(market.firstUndecided(), p + 1);
        vm.expectRevert(abi.encodeWithSelector(DrawVoid.selector, p));
        market.draw(p);
        vm.expectRevert(abi.encodeWithSelector(NotDrawn.selector, p));
        market.prove(node, p, "");
        vm.expectRevert(abi.encodeWithSelector(NotDrawn.selector, p));
        market.sampleOf(node, p, 0);
    }

    function test_samples_count_from_the_next_undrawn_period() public {
        open(node, one);
        uint32 p = market.currentPeriod() + 1;
        drawn(p);
        IServiceCatalog.Service memory row = serviceRow();
        row.samples = 3;
        setService(row);
        prove(node, p);
        drawn(p + 1);
        (, uint8 samples) = market.seedOf(p + 1);
        assertEq(samples, 3);
        prove(node, p + 1);
    }

    // ------------------------------------------------------------------------------------------------ prove

    function test_prove_sets_the_bit_once() public {
        open(node, one);
        uint32 p = market.currentPeriod() + 1;
        vm.expectRevert(abi.encodeWithSelector(NotDrawn.selector, p));
        market.prove(node, p, "");
        drawn(p);
        bytes memory a = answers(node, p);
        vm.expectEmit(address(market));
        emit Proven(node, p);
        market.prove(node, p, a);
        assertTrue(market.bitOf(node, p));
        assertEq(market.ledgerOf(node).lastProven, p);
        vm.expectRevert(abi.encodeWithSelector(AlreadyProven.selector, node, p));
        market.prove(node, p, a);
        vm.expectRevert(abi.encodeWithSelector(NothingToProve.selector, other, p));
        market.prove(other, p, a);
    }

    function test_prove_takes_no_byte_more() public {
        open(node, one);
        uint32 p = market.currentPeriod() + 1;
        drawn(p);
        bytes memory a = bytes.concat(answers(node, p), hex"00");
        vm.expectRevert(abi.encodeWithSelector(TrailingAnswers.selector, 1));
        market.prove(node, p, a);
        vm.expectRevert();
        market.prove(node, p, "");
    }

    function test_the_window_closes_after_seconds_and_blocks_whichever_is_later() public {
        open(node, one);
        open(other, one);
        uint32 p = market.currentPeriod() + 1;
        drawn(p);
        (uint40 drawnAt, uint40 closesAt, uint40 closesBlock) = market.windowOf(p);
        assertEq(drawnAt, vm.getBlockTimestamp());
        assertEq(closesAt, drawnAt + WINDOW);
        assertEq(closesBlock, vm.getBlockNumber() + BLOCKS);
        skip(WINDOW + 1);
        bytes memory a = answers(node, p);
        market.prove(node, p, a);
        pass(BLOCKS + 1);
        a = answers(other, p);
        vm.expectRevert(abi.encodeWithSelector(WindowClosed.selector, p));
        market.prove(other, p, a);
    }

    // ----------------------------------------------------------------------------------------------- settle

    function test_settle_pays_rate_times_proven_periods_whose_window_has_closed() public {
        uint256 id = open(node, one);
        uint32 p = market.currentPeriod() + 1;
        address payee = keysOf[node].owner;
        drawn(p);
        prove(node, p);
        settle(id);
        assertEq(hub.balanceOf(payee), 0, "the window is open");
        passWindow();
        vm.expectEmit(address(market));
        emit Settled(id, p + 1, RATE);
        settle(id);
        assertEq(hub.balanceOf(payee), RATE - RATE / 100);
        settle(id);
        assertEq(hub.balanceOf(payee), RATE - RATE / 100, "twice is once");
        period(node, p + 1, false);
        period(node, p + 2, true);
        settle(id);
        assertEq(hub.balanceOf(payee), 2 * (RATE - RATE / 100));
        assertEq(locked(id), 8 * RATE);
        (address by, uint32 on, uint16 service, uint96 settled,) = market.settledOf(bytes32(id));
        assertEq(by, payer);
        assertEq(on, node);
        assertEq(service, SERVICE);
        assertEq(settled, 2 * RATE);
    }

    function test_a_late_proof_is_paid_once() public {
        uint256 id = open(node, one);
        uint32 p = market.currentPeriod() + 1;
        drawn(p);
        skip(WINDOW - 1);
        settle(id);
        prove(node, p);
        settle(id);
        passWindow();
        settle(id);
        settle(id);
        assertEq(locked(id), 9 * RATE);
    }

    function test_settle_passes_over_what_is_not_due() public {
        uint256[] memory ids = new uint256[](3);
        (ids[0], ids[2]) = (1, open(node, one));
        ids[1] = ids[2];
        uint32 p = market.currentPeriod() + 1;
        period(node, p, true);
        market.settle(ids);
        assertEq(locked(ids[2]), 9 * RATE);
    }

    function test_settle_goes_on_when_a_payer_took_an_expired_lock_back() public {
        uint256 id = open(node, one);
        uint256 next = open(node, content("two", 1));
        uint32 p = market.currentPeriod() + 1;
        period(node, p, true);
        skip(60 days);
        vm.prank(payer);
        hub.reclaimLock(address(market), id);
        uint256[] memory ids = new uint256[](2);
        (ids[0], ids[1]) = (id, next);
        market.settle(ids);
        assertEq(locked(next), 9 * RATE);
        market.close(id);
        market.close(next);
        assertEq(reserved(node), 0);
    }

    // ----------------------------------------------------------------------------------------------- change

    function test_change_replaces_content_at_once_and_the_rate_from_the_next_period() public {
        uint256 id = open(node, one);
        uint32 p = market.currentPeriod() + 1;
        period(node, p, true);
        Content memory two = content("two", 4, 4, 1);
        Change memory c = change(id, two);
        c.rate = 3 * RATE;
        c.prepaid = 20 * RATE;
        vm.expectEmit(address(market));
        emit Changed(id, node, c);
        apply_(c);
        contents[id] = two;
        assertEq(market.treeTotal(node), 9);
        assertEq(reserved(node), 9 * uint256(COLLATERAL));
        Agreement memory a = market.agreementOf(id);
        assertEq(a.settledTo, p + 1);
        assertEq(a.rateSince, p + 2);
        assertEq(a.nonce, 1);
        assertEq(locked(id), 29 * RATE);
        period(node, p + 1, true);
        settle(id);
        assertEq(locked(id), 28 * RATE, "the old rate");
        period(node, p + 2, true);
        settle(id);
        assertEq(locked(id), 25 * RATE, "the new rate");
    }

    function test_two_changes_in_one_period_keep_the_rate_in_force() public {
        uint256 id = open(node, one);
        uint32 p = market.currentPeriod() + 1;
        period(node, p, true);
        Change memory c = change(id, one);
        c.rate = 5 * RATE;
        c.prepaid = 50 * RATE;
        apply_(c);
        c = change(id, one);
        c.rate = 2 * RATE;
        apply_(c);
        period(node, p + 1, true);
        period(node, p + 2, true);
        uint96 before = locked(id);
        settle(id);
        assertEq(before - locked(id), 3 * RATE);
    }

    function test_change_before_the_start() public {
        uint256 id = open(node, one);
        Change memory c = change(id, one);
        c.rate = RATE / 2;
        apply_(c);
        uint32 p = market.currentPeriod() + 1;
        period(node, p, true);
        settle(id);
        assertEq(locked(id), 10 * RATE - RATE / 2);
    }

    function test_change_may_follow_the_proof_within_the_window() public {
        uint256 id = open(node, one);
        uint32 p = market.currentPeriod() + 1;
        drawn(p);
        Change memory c = change(id, content("two", 2));
        (bytes memory a, bytes memory b) = signChange(c);
        vm.expectRevert(abi.encodeWithSelector(NodeIsProving.selector, node, p));
        market.change(c, a, b);
        prove(node, p);
        market.change(c, a, b);
        assertEq(locked(id), 9 * RATE, "settled first");
    }

    function test_change_reverts_while_an_earlier_period_is_undecided() public {
        uint256 id = open(node, one);
        uint32 p = market.currentPeriod() + 1;
        toPeriod(p + 1);
        Change memory c = change(id, one);
        (bytes memory a, bytes memory b) = signChange(c);
        vm.expectRevert(abi.encodeWithSelector(PeriodUndecided.selector, p));
        market.change(c, a, b);
    }

    function test_change_checks() public {
        uint256 id = open(node, one);
        Change memory c = change(id, one);
        (bytes memory a, bytes memory b) = signChange(c);
        vm.expectRevert(PayerSignatureInvalid.selector);
        market.change(c, b, b);
        vm.expectRevert(NodeSignatureInvalid.selector);
        market.change(c, a, a);
        c.nonce = 1;
        _changeRefused(c, abi.encodeWithSelector(NonceMismatch.selector, 0));
        c = change(id, one);
        c.end = market.currentPeriod();
        _changeRefused(c, abi.encodeWithSelector(EndOutOfRange.selector, c.end));
        c = change(id, one);
        c.root = 0;
        _changeRefused(c, abi.encodeWithSelector(ContentInvalid.selector));
        c = change(id, one);
        c.rate = 2 * RATE;
        c.prepaid = 10 * RATE - 1;
        _changeRefused(c, abi.encodeWithSelector(PrepaidTooLow.selector, 10 * RATE, c.prepaid));
        c = change(id, one);
        c.id = 7;
        vm.expectRevert(abi.encodeWithSelector(UnknownAgreement.selector, 7));
        market.change(c, a, b);
    }

    function test_a_change_is_good_until_its_last_period_ends() public {
        uint256 id = open(node, one);
        uint32 p = market.currentPeriod() + 1;
        Change memory c = change(id, one);
        c.lastPeriod = p + 1;
        period(node, p, true);
        vm.warp(uint256(p + 2) * PERIOD - 1);
        uint256 snapshot = vm.snapshotState();
        apply_(c);
        vm.revertToState(snapshot);
        vm.warp(uint256(p + 2) * PERIOD);
        _changeRefused(c, abi.encodeWithSelector(ChangeExpired.selector, p + 1));
    }

    function test_change_to_nothing_drains_a_node() public {
        uint256 id = open(node, one);
        uint32 p = market.currentPeriod() + 1;
        period(node, p, true);
        Change memory c = change(id, one);
        (c.root, c.leaves, c.rate, c.end) = (0, 0, 0, p + 2);
        apply_(c);
        assertEq(reserved(node), 0);
        toPeriod(p + 2);
        toPeriod(p + 3);
        uint256 before = hub.balanceOf(payer);
        market.close(id);
        assertEq(hub.balanceOf(payer) - before, 9 * RATE);
        assertEq(market.ledgerOf(node).count, 0);
    }

    function test_a_later_end_moves_lock_and_reserve_along() public {
        uint256 id = open(node, one);
        Change memory c = change(id, one);
        c.end += 20;
        c.prepaid = 20 * RATE;
        apply_(c);
        uint256 until = (uint256(c.end) + 2) * PERIOD;
        assertEq(hub.lockOf(address(market), id).expiry, until);
        assertEq(vault.stakeOf(node, SERVICE).reservedUntil, until);
    }

    // --------------------------------------------------------------------------------------- terminate, close

    function test_a_payer_terminates_with_notice() public {
        uint256 id = open(node, one);
        uint32 current = market.currentPeriod();
        vm.expectRevert(abi.encodeWithSelector(NotParty.selector, stranger));
        vm.prank(stranger);
        market.terminate(id);
        vm.prank(payer);
        market.terminate(id);
        assertEq(market.agreementOf(id).end, current + Protocol.NOTICE);
        assertEq(active(node), 1000 * HOLE);
        vm.expectRevert(abi.encodeWithSelector(UnknownAgreement.selector, id));
        vm.prank(payer);
        market.terminate(id);
    }

    function test_a_node_that_terminates_forfeits_its_fault_share_to_the_payer() public {
        uint256 id = open(node, one);
        vm.prank(keysOf[node].signer);
        market.terminate(id);
        uint256 share = 6 * uint256(COLLATERAL) * 500 / 10_000;
        assertEq(active(node), 1000 * HOLE - share);
        // 30 % burned; of the rest the bounty, at most 5 %, and the remedy both go to the payer.
        assertEq(token.balanceOf(payer), share - share * 3000 / 10_000);
        assertEq(hub.balanceOf(address(market)), 0);
    }

    function test_terminate_voids_changes_signed_before() public {
        uint256 id = open(node, one);
        Change memory c = change(id, one);
        (bytes memory a, bytes memory b) = signChange(c);
        vm.prank(payer);
        market.terminate(id);
        vm.expectRevert(abi.encodeWithSelector(NonceMismatch.selector, 1));
        market.change(c, a, b);
    }

    function test_terminate_reverts_at_the_end() public {
        uint256 id = open(node, one);
        toPeriod(market.agreementOf(id).end);
        vm.expectRevert(abi.encodeWithSelector(AgreementEnded.selector, id));
        vm.prank(payer);
        market.terminate(id);
    }

    function test_close_pays_refunds_and_frees() public {
        uint256 id = open(node, one);
        uint32 p = market.currentPeriod() + 1;
        period(node, p, true);
        uint32 end = market.agreementOf(id).end;
        vm.expectRevert(abi.encodeWithSelector(NotEnded.selector, id, end));
        market.close(id);
        toPeriod(end);
        vm.expectRevert(abi.encodeWithSelector(PeriodUndecided.selector, end - 1));
        market.close(id);
        toPeriod(end + 1);
        uint256 before = hub.balanceOf(payer);
        vm.expectEmit(address(market));
        emit Closed(id, node, Status.Closed, 9 * RATE);
        market.close(id);
        assertEq(hub.balanceOf(payer) - before, 9 * RATE, "unproven money returns");
        assertEq(reserved(node), 0);
        assertEq(market.treeTotal(node), 0);
        assertEq(market.idAt(node, 0), 0);
        vm.expectRevert(abi.encodeWithSelector(UnknownAgreement.selector, id));
        market.close(id);
        uint256 next = open(node, one);
        assertEq(market.agreementOf(next).position, 0, "the position is used again");
    }

    function test_close_waits_for_the_proof() public {
        uint256 id = open(node, one);
        uint256 longer;
        {
            Terms memory t = terms(node, content("two", 2));
            (t.end, t.prepaid) = (t.end + 10, 20 * RATE);
            longer = open(t);
            contents[longer] = content("two", 2);
        }
        uint32 end = market.agreementOf(id).end;
        drawn(end);
        vm.expectRevert(abi.encodeWithSelector(NodeIsProving.selector, node, end));
        market.close(id);
        prove(node, end);
        market.close(id);
        assertEq(market.treeTotal(node), 2);
    }

    // --------------------------------------------------------------------------------------------- internals

    function _refused(Terms memory t, bytes memory reason) private {
        (bytes memory a, bytes memory b) = (signPayer(t), signNode(t));
        if (reason.length == 0) vm.expectRevert();
        else vm.expectRevert(reason);
        market.open(t, a, b);
    }

    function _changeRefused(Change memory c, bytes memory reason) private {
        (bytes memory a, bytes memory b) = signChange(c);
        vm.expectRevert(reason);
        market.change(c, a, b);
    }
}

contract SmartAccount {
    address private immutable _owner;

    constructor(address owner) {
        _owner = owner;
    }

    function isValidSignature(bytes32 digest, bytes calldata sig) external view returns (bytes4) {
        address signer = ecrecover(digest, uint8(sig[64]), bytes32(sig[:32]), bytes32(sig[32:64]));
        return signer == _owner ? this.isValidSignature.selector : bytes4(0);
    }
}
