// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {PaymentHub} from "../../../contracts/escrow/PaymentHub.sol";
import {IPaymentHub} from "../../../contracts/interfaces/IPaymentHub.sol";
import {HubTest} from "./HubTest.sol";

contract PaymentHubLocksTest is HubTest {
    uint40 private constant EXPIRY = uint40(START + 30 days);
    uint256 private constant ID = 7;

    function setUp() public override {
        super.setUp();
        vm.prank(payer);
        hub.allow(module, 100 * HOLE);
    }

    function _lock(uint96 amount) private {
        vm.prank(module);
        hub.lock(ID, payer, payee, SERVICE, amount, EXPIRY);
    }

    function _amount() private view returns (uint96) {
        return hub.lockOf(module, ID).amount;
    }

    function test_lockMovesMoneyUnderTheAllowance() public {
        vm.expectEmit(address(hub));
        emit IPaymentHub.Locked(module, ID, payer, payee, SERVICE, 60e18, EXPIRY);
        _lock(60e18);
        assertEq(hub.balanceOf(payer), 940 * HOLE);
        assertEq(hub.allowanceOf(payer, module), 40 * HOLE);
        IPaymentHub.Lock memory l = hub.lockOf(module, ID);
        assertEq(l.payer, payer);
        assertEq(l.payee, payee);
        assertEq(l.amount, 60e18);
        assertEq(l.expiry, EXPIRY);
        assertEq(l.service, SERVICE);
        assertEq(l.released, 0);
    }

    function test_allowSetsAndSaysSo() public {
        vm.prank(payer);
        vm.expectEmit(address(hub));
        emit IPaymentHub.Allowed(payer, stranger, 5);
        hub.allow(stranger, 5);
        assertEq(hub.allowanceOf(payer, stranger), 5);
        vm.prank(payer);
        vm.expectRevert(IPaymentHub.InvalidAddress.selector);
        hub.allow(address(0), 5);
    }

    function test_unlimitedAllowanceIsNotCounted() public {
        vm.prank(payer);
        hub.allow(module, type(uint256).max);
        _lock(60e18);
        assertEq(hub.allowanceOf(payer, module), type(uint256).max);
    }

    function test_lockRefusals() public {
        vm.startPrank(module);
        vm.expectRevert(IPaymentHub.InvalidAddress.selector);
        hub.lock(ID, address(0), payee, SERVICE, 1, EXPIRY);
        vm.expectRevert(IPaymentHub.InvalidAddress.selector);
        hub.lock(ID, payer, address(0), SERVICE, 1, EXPIRY);
        vm.expectRevert(IPaymentHub.ZeroAmount.selector);
        hub.lock(ID, payer, payee, SERVICE, 0, EXPIRY);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InvalidExpiry.selector, START));
        hub.lock(ID, payer, payee, SERVICE, 1, uint40(START));
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InvalidExpiry.selector, uint40(1) << 32));
        hub.lock(ID, payer, payee, SERVICE, 1, uint40(1) << 32);
        vm.expectRevert(
            abi.encodeWithSelector(
                IPaymentHub.InsufficientAllowance.selector, payer, module, 100 * HOLE, 100 * HOLE + 1
            )
        );
        hub.lock(ID, payer, payee, SERVICE, 100e18 + 1, EXPIRY);
        hub.lock(ID, payer, payee, SERVICE, 1, EXPIRY);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.LockExists.selector, module, ID));
        hub.lock(ID, payer, payee, SERVICE, 1, EXPIRY);
        vm.stopPrank();
        vm.prank(payer);
        hub.allow(module, type(uint256).max);
        vm.prank(module);
        reverts(IPaymentHub.InsufficientBalance.selector);
        hub.lock(ID + 1, payer, payee, SERVICE, 1001e18, EXPIRY);
    }

    function test_attack_aModuleWithoutAllowanceMovesNothing() public {
        vm.startPrank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InsufficientAllowance.selector, payer, stranger, 0, 1));
        hub.lock(ID, payer, payee, SERVICE, 1, EXPIRY);
    }

    function test_attack_anotherModuleCannotTouchALock() public {
        _lock(60e18);
        vm.startPrank(stranger);
        bytes memory unknown = abi.encodeWithSelector(IPaymentHub.UnknownLock.selector, stranger, ID);
        vm.expectRevert(unknown);
        hub.release(ID, 1);
        vm.expectRevert(unknown);
        hub.refund(ID, 1);
        vm.expectRevert(unknown);
        hub.increase(ID, 1, EXPIRY);
    }

    function test_idsOfModulesAreApart() public {
        _lock(60e18);
        vm.prank(payer);
        hub.allow(stranger, 5);
        vm.prank(stranger);
        hub.lock(ID, payer, stranger, 2, 5, EXPIRY);
        assertEq(hub.lockOf(stranger, ID).amount, 5);
        assertEq(_amount(), 60e18);
    }

    function test_increaseAddsMoneyAndTime() public {
        _lock(60e18);
        vm.prank(module);
        vm.expectEmit(address(hub));
        emit IPaymentHub.LockIncreased(module, ID, 10e18, EXPIRY + 5);
        hub.increase(ID, 10e18, EXPIRY + 5);
        assertEq(_amount(), 70e18);
        assertEq(hub.lockOf(module, ID).expiry, EXPIRY + 5);
        assertEq(hub.allowanceOf(payer, module), 30 * HOLE);
        assertEq(hub.balanceOf(payer), 930 * HOLE);
    }

    function test_increaseRefusals() public {
        _lock(60e18);
        vm.startPrank(module);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InvalidExpiry.selector, EXPIRY - 1));
        hub.increase(ID, 1, EXPIRY - 1);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InvalidExpiry.selector, uint40(1) << 32));
        hub.increase(ID, 1, uint40(1) << 32);
        vm.expectRevert(
            abi.encodeWithSelector(IPaymentHub.InsufficientAllowance.selector, payer, module, 40 * HOLE, 41 * HOLE)
        );
        hub.increase(ID, 41e18, EXPIRY);
        vm.expectRevert(
            abi.encodeWithSelector(
                IPaymentHub.InsufficientLock.selector, type(uint96).max - 60e18, type(uint96).max - 60e18 + 1
            )
        );
        hub.increase(ID, type(uint96).max - 60e18 + 1, EXPIRY);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.UnknownLock.selector, module, 8));
        hub.increase(8, 1, EXPIRY);
    }

    function test_attack_afterRevocationNothingIsProlonged() public {
        _lock(60e18);
        vm.prank(payer);
        hub.allow(module, 0);
        vm.prank(module);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InsufficientAllowance.selector, payer, module, 0, 1));
        hub.increase(ID, 0, EXPIRY + 1);
        vm.warp(EXPIRY + 14 days);
        vm.prank(payer);
        hub.reclaimLock(module, ID);
        assertEq(hub.balanceOf(payer), 1000 * HOLE);
    }

    function test_releasePaysThePayeeLessTheFee() public {
        _lock(60e18);
        vm.prank(timelock);
        hub.setFee(SERVICE, 250, sink);
        vm.warp(START + 30 days); // and after expiry
        vm.prank(module);
        vm.expectEmit(address(hub));
        emit IPaymentHub.Credited(payer, payee, SERVICE, 8e18, 0.2e18, bytes32(ID));
        hub.release(ID, 8e18);
        assertEq(hub.balanceOf(payee), 7.8e18);
        assertEq(hub.balanceOf(sink), 0.2e18);
        assertEq(_amount(), 52e18);
        assertEq(hub.lockOf(module, ID).released, 8e6);
    }

    function test_refundPaysThePayerOnly() public {
        _lock(60e18);
        vm.prank(module);
        vm.expectEmit(address(hub));
        emit IPaymentHub.LockRefunded(module, ID, payer, 60e18);
        hub.refund(ID, 60e18);
        assertEq(hub.balanceOf(payer), 1000 * HOLE);
        assertEq(hub.allowanceOf(payer, module), 40 * HOLE);
    }

    function test_emptyLockKeepsItsIdForEver() public {
        _lock(60e18);
        vm.startPrank(module);
        hub.refund(ID, 60e18);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.LockExists.selector, module, ID));
        hub.lock(ID, payer, payee, SERVICE, 1, EXPIRY);
        assertEq(hub.lockOf(module, ID).payer, payer);
        hub.increase(ID, 5, EXPIRY);
        assertEq(_amount(), 5);
    }

    function test_releaseAndRefundRefusals() public {
        _lock(60e18);
        vm.startPrank(module);
        vm.expectRevert(IPaymentHub.ZeroAmount.selector);
        hub.release(ID, 0);
        vm.expectRevert(IPaymentHub.ZeroAmount.selector);
        hub.refund(ID, 0);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InsufficientLock.selector, 60e18, 60e18 + 1));
        hub.release(ID, 60e18 + 1);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InsufficientLock.selector, 60e18, 60e18 + 1));
        hub.refund(ID, 60e18 + 1);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.UnknownLock.selector, module, 8));
        hub.release(8, 1);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.UnknownLock.selector, module, 8));
        hub.refund(8, 1);
    }

    function test_payerTakesTheRestBackTwoWeeksAfterExpiry() public {
        _lock(60e18);
        vm.prank(module);
        hub.release(ID, 1e18);
        uint256 from = uint256(EXPIRY) + 14 days;
        vm.warp(from - 1);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.LockNotExpired.selector, from));
        hub.reclaimLock(module, ID);
        vm.warp(from);
        vm.prank(payee);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.NotPayer.selector, payee, payer));
        hub.reclaimLock(module, ID);
        vm.prank(payer);
        vm.expectEmit(address(hub));
        emit IPaymentHub.LockRefunded(module, ID, payer, 59e18);
        hub.reclaimLock(module, ID);
        assertEq(hub.balanceOf(payer), 999 * HOLE);
        vm.prank(payer);
        vm.expectRevert(IPaymentHub.ZeroAmount.selector);
        hub.reclaimLock(module, ID);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.UnknownLock.selector, module, 8));
        hub.reclaimLock(module, 8);
    }

    function test_releasedCounterSaturatesInsteadOfStoppingAPayment() public {
        PaymentHub small = new PaymentHub(address(token), 1, true, timelock, 0, sink);
        token.approve(address(small), type(uint256).max);
        small.deposit(payer, 1e18);
        vm.prank(payer);
        small.allow(module, 1e18);
        vm.startPrank(module);
        small.lock(1, payer, payee, SERVICE, 1e18, EXPIRY);
        small.release(1, 3e14); // above 2^48
        assertEq(small.lockOf(module, 1).released, type(uint48).max);
        small.release(1, 5);
        assertEq(small.balanceOf(payee), 3e14 + 5);
    }

    function testFuzz_lockMoneyGoesToPayeeSinkOrBack(uint96 amount, uint96 out, uint96 back, uint16 bps) public {
        amount = uint96(bound(amount, 3, 100e18));
        out = uint96(bound(out, 1, amount - 2));
        back = uint96(bound(back, 1, amount - out - 1));
        bps = uint16(bound(bps, 0, 500));
        vm.prank(timelock);
        hub.setFee(SERVICE, bps, sink);
        _lock(amount);
        vm.warp(uint256(EXPIRY) + 14 days);
        vm.startPrank(module);
        hub.release(ID, out);
        hub.refund(ID, back);
        vm.stopPrank();
        vm.prank(payer);
        hub.reclaimLock(module, ID);
        assertEq(hub.balanceOf(sink), uint256(out) * bps / 10_000);
        assertEq(hub.balanceOf(payee) + hub.balanceOf(sink), out);
        assertEq(hub.balanceOf(payer), 1000 * HOLE - out);
        assertEq(hub.lockOf(module, ID).released, out / MICRO);
    }
}
