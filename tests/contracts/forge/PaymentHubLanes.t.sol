// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {PaymentHub} from "../../../contracts/escrow/PaymentHub.sol";
import {IPaymentHub} from "../../../contracts/interfaces/IPaymentHub.sol";
import {HubTest} from "./HubTest.sol";

contract PaymentHubLanesTest is HubTest {
    uint48 private constant FULL = type(uint48).max;

    // ---------------------------------------------------------------------------------------------- opening

    function test_openLaneMovesTheMoneyAndCountsUp() public {
        vm.prank(payer);
        vm.expectEmit(address(hub));
        emit IPaymentHub.LaneOpened(payer, payee, SERVICE, 0, session, 500);
        assertEq(hub.openLane(payee, SERVICE, session, 500), 0);
        assertEq(openLane(300), 1);
        assertEq(hub.laneCount(payee, SERVICE), 2);
        assertEq(hub.laneCount(payee, 2), 0);
        assertEq(hub.balanceOf(payer), 1000 * HOLE - 800 * MICRO);
        IPaymentHub.Lane memory l = hub.laneOf(payee, SERVICE, 0);
        assertEq(l.payer, payer);
        assertEq(l.signer, session);
        assertEq(l.deposit, 500);
        assertEq(l.claimed, 0);
        assertEq(l.thawing, 0);
        assertEq(l.thawAt, 0);
        assertEq(hub.laneOf(payee, SERVICE, 1).signer, payer);
        assertEq(hub.laneOf(payee, SERVICE, 2).payer, address(0));
        assertEq(hub.laneOf(payee, SERVICE, 2).signer, address(0));
    }

    function test_openLaneRefusesNobodyNothingAndTooMuch() public {
        vm.startPrank(payer);
        vm.expectRevert(IPaymentHub.InvalidAddress.selector);
        hub.openLane(address(0), SERVICE, payer, 1);
        vm.expectRevert(IPaymentHub.InvalidAddress.selector);
        hub.openLane(payee, SERVICE, address(0), 1);
        vm.expectRevert(IPaymentHub.ZeroAmount.selector);
        hub.openLane(payee, SERVICE, payer, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IPaymentHub.InsufficientBalance.selector, payer, 1000 * HOLE, 1000 * HOLE + MICRO)
        );
        hub.openLane(payee, SERVICE, payer, 1000e6 + 1);
    }

    function test_laneIdsEndAtThirtyTwoBits() public {
        // The count of (payee, service) is the third mapping after balances and lanes; find it by recording.
        vm.record();
        hub.laneCount(payee, SERVICE);
        (bytes32[] memory reads,) = vm.accesses(address(hub));
        vm.store(address(hub), reads[0], bytes32(uint256(type(uint32).max)));
        assertEq(openLane(1), type(uint32).max);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.LanesExhausted.selector, payee, SERVICE));
        hub.openLane(payee, SERVICE, payer, 1);
    }

    function test_anyoneTopsUpFromHisOwnBalance() public {
        openLane(500);
        hub.deposit(stranger, HOLE);
        vm.prank(stranger);
        vm.expectEmit(address(hub));
        emit IPaymentHub.LaneToppedUp(stranger, payee, SERVICE, 0, 200);
        hub.topUp(payee, SERVICE, 0, 200);
        assertLane(0, 700, 0);
        assertEq(hub.balanceOf(stranger), HOLE - 200 * MICRO);
    }

    function test_topUpRefusesNothingUnknownLanesTooMuchAndAFullLane() public {
        hub.deposit(payer, 5e8 * HOLE);
        openLane(FULL - 5);
        vm.startPrank(payer);
        vm.expectRevert(IPaymentHub.ZeroAmount.selector);
        hub.topUp(payee, SERVICE, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.UnknownLane.selector, payee, SERVICE, 1));
        hub.topUp(payee, SERVICE, 1, 1);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.LaneFull.selector, payee, SERVICE, 0));
        hub.topUp(payee, SERVICE, 0, 6);
        hub.topUp(payee, SERVICE, 0, 5);
        assertLane(0, FULL, 0);
        vm.stopPrank();
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.LaneFull.selector, payee, SERVICE, 0));
        hub.topUp(payee, SERVICE, 0, 1);
    }

    function test_topUpNeedsTheCallersMoney() public {
        openLane(5);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InsufficientBalance.selector, stranger, 0, MICRO));
        hub.topUp(payee, SERVICE, 0, 1);
    }

    // ---------------------------------------------------------------------------------------------- thawing

    function _thaw(uint48 amount) private {
        vm.prank(payer);
        hub.thaw(payee, SERVICE, 0, amount);
    }

    function _reclaim() private {
        vm.prank(payer);
        hub.reclaim(payee, SERVICE, 0);
    }

    function test_thawedMoneyReturnsAfterADay() public {
        openLane(500);
        vm.expectEmit(address(hub));
        emit IPaymentHub.ThawStarted(payer, payee, SERVICE, 0, 200, uint40(START + 1 days));
        _thaw(200);
        vm.warp(START + 1 days - 1);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.StillThawing.selector, START + 1 days));
        hub.reclaim(payee, SERVICE, 0);
        vm.warp(START + 1 days);
        vm.expectEmit(address(hub));
        emit IPaymentHub.LaneReclaimed(payer, payee, SERVICE, 0, 200);
        _reclaim();
        assertLane(0, 300, 0);
        assertEq(hub.balanceOf(payer), 1000 * HOLE - 300 * MICRO);
        vm.prank(payer);
        vm.expectRevert(IPaymentHub.NotThawing.selector);
        hub.reclaim(payee, SERVICE, 0);
    }

    function test_vouchersComeBeforeAThaw() public {
        openLane(500);
        _thaw(400);
        redeem(voucher(payerKey, 0, 350));
        vm.warp(START + 1 days);
        _reclaim();
        assertLane(0, 350, 350);
        redeem(voucher(payerKey, 0, 500));
        assertLane(0, 350, 350);
        assertEq(hub.balanceOf(payer), 1000 * HOLE - 350 * MICRO);
    }

    function test_reclaimWhenVouchersTookAllReturnsNothing() public {
        openLane(500);
        _thaw(500);
        redeem(voucher(payerKey, 0, 500));
        vm.warp(START + 1 days);
        _reclaim();
        assertLane(0, 500, 500);
        assertEq(hub.balanceOf(payer), 1000 * HOLE - 500 * MICRO);
    }

    function test_thawingAgainRestartsAndZeroCancels() public {
        openLane(500);
        _thaw(100);
        vm.warp(START + 23 hours);
        _thaw(500);
        vm.warp(START + 24 hours);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.StillThawing.selector, START + 47 hours));
        hub.reclaim(payee, SERVICE, 0);
        vm.expectEmit(address(hub));
        emit IPaymentHub.ThawStarted(payer, payee, SERVICE, 0, 0, 0);
        _thaw(0);
        vm.warp(START + 48 hours);
        vm.prank(payer);
        vm.expectRevert(IPaymentHub.NotThawing.selector);
        hub.reclaim(payee, SERVICE, 0);
    }

    function test_thawRefusesOthersUnknownLanesAndMoreThanIsLeft() public {
        openLane(500);
        redeem(voucher(payerKey, 0, 100));
        vm.prank(session);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.NotPayer.selector, session, payer));
        hub.thaw(payee, SERVICE, 0, 1);
        vm.prank(session);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.NotPayer.selector, session, payer));
        hub.reclaim(payee, SERVICE, 0);
        vm.startPrank(payer);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.UnknownLane.selector, payee, SERVICE, 9));
        hub.thaw(payee, SERVICE, 9, 1);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.UnknownLane.selector, payee, SERVICE, 9));
        hub.reclaim(payee, SERVICE, 9);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InsufficientLane.selector, 400, 401));
        hub.thaw(payee, SERVICE, 0, 401);
    }

    function test_attack_maturedThawIsNoTrap() public {
        openLane(500);
        _thaw(500);
        vm.warp(START + 8 days - 1);
        uint256 id = vm.snapshotState();
        _reclaim();
        assertLane(0, 0, 0);
        vm.revertToState(id);
        // A week after maturity it no longer counts: the payee need not fear it for ever, the payer asks again.
        vm.warp(START + 8 days);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.ThawLapsed.selector, START + 8 days));
        hub.reclaim(payee, SERVICE, 0);
        _thaw(500);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.StillThawing.selector, START + 9 days));
        hub.reclaim(payee, SERVICE, 0);
    }

    function testFuzz_attack_noAmountThawsBeforeItsDay(uint48 deposit, uint48 amount, uint40 later) public {
        hub.deposit(payer, 5e8 * HOLE);
        deposit = uint48(bound(deposit, 1, FULL));
        amount = uint48(bound(amount, 1, deposit));
        openLane(deposit);
        _thaw(amount);
        vm.warp(START + bound(later, 0, 1 days - 1));
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.StillThawing.selector, START + 1 days));
        hub.reclaim(payee, SERVICE, 0);
    }

    function test_receiptOfALane() public view {
        bytes32 receipt = hub.laneReceipt(payee, 0xabcd, 0x12345678);
        assertEq(receipt, bytes32(uint256(uint160(payee)) << 96 | uint256(0xabcd) << 80 | 0x12345678));
    }
}
