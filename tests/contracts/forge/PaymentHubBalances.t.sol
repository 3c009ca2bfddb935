// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {PaymentHub} from "../../../contracts/escrow/PaymentHub.sol";
import {IPaymentHub} from "../../../contracts/interfaces/IPaymentHub.sol";
import {HubTest} from "./HubTest.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @dev Charges 1 % of every transfer.
contract FeeOnTransferToken is ERC20("Fee", "FEE") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 value) internal override {
        if (from != address(0) && to != address(0)) {
            super._update(from, address(0xfee), value / 100);
            value -= value / 100;
        }
        super._update(from, to, value);
    }
}

/// @dev Balances grow or shrink by a factor, also in the middle of a transfer.
contract RebasingToken is ERC20("Rebase", "REB") {
    uint256 public factor = 100;
    bool public duringTransfer;

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function rebase(uint256 percent) external {
        factor = percent;
    }

    function rebaseDuringTransfer() external {
        duringTransfer = true;
    }

    function balanceOf(address account) public view override returns (uint256) {
        return super.balanceOf(account) * factor / 100;
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (duringTransfer) factor += 10;
    }
}

/// @dev Calls back the sender's plan in the middle of a transfer.
contract CallbackToken is ERC20("Callback", "CB") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 value) internal override {
        if (from.code.length != 0 && to.code.length != 0) Reentrant(from).duringTransfer();
        super._update(from, to, value);
    }
}

/// @dev Knows no permit, and takes every call it does not know, as wrapped ether does.
contract PhantomPermitToken is ERC20("Phantom", "PHA") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    fallback() external {}
}

/// @dev As most tokens with permit: measured by the hub, honest.
contract PermitToken is ERC20("Permit", "PER"), ERC20Permit("Permit") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

contract Reentrant {
    PaymentHub private immutable _hub;
    uint256 public plan;
    bool private _inside;

    constructor(PaymentHub hub, ERC20 token) {
        _hub = hub;
        token.approve(address(hub), type(uint256).max);
    }

    function start(uint256 plan_, uint256 amount) external {
        plan = plan_;
        _hub.deposit(address(this), amount);
    }

    function duringTransfer() external {
        if (_inside) return;
        _inside = true;
        if (plan == 1) _hub.deposit(address(this), 50);
        if (plan == 2) _hub.withdraw(address(0xdead), 50);
        _inside = false;
    }
}

contract PaymentHubBalancesTest is HubTest {
    bytes32 private constant PERMIT =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    function test_anyoneDepositsForAnyone() public {
        token.transfer(stranger, 5);
        vm.startPrank(stranger);
        token.approve(address(hub), 5);
        vm.expectEmit(address(hub));
        emit IPaymentHub.Deposited(stranger, payee, 5);
        hub.deposit(payee, 5);
        assertEq(hub.balanceOf(payee), 5);
        assertEq(hub.balanceOf(stranger), 0);
        assertEq(token.balanceOf(address(hub)), 1000 * HOLE + 5);
    }

    function test_depositRefusesNobodyAndNothing() public {
        vm.expectRevert(IPaymentHub.InvalidAddress.selector);
        hub.deposit(address(0), 1);
        vm.expectRevert(IPaymentHub.ZeroAmount.selector);
        hub.deposit(payee, 0);
    }

    function test_withdrawPaysTheOwnBalanceOnly() public {
        vm.prank(payer);
        vm.expectEmit(address(hub));
        emit IPaymentHub.Withdrawn(payer, payee, 400);
        hub.withdraw(payee, 400);
        assertEq(token.balanceOf(payee), 400);
        assertEq(hub.balanceOf(payer), 1000 * HOLE - 400);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InsufficientBalance.selector, stranger, 0, 1));
        hub.withdraw(stranger, 1);
    }

    function test_withdrawRefusesNobodyTheHubAndNothing() public {
        vm.startPrank(payer);
        vm.expectRevert(IPaymentHub.InvalidAddress.selector);
        hub.withdraw(address(0), 1);
        vm.expectRevert(IPaymentHub.InvalidAddress.selector);
        hub.withdraw(address(hub), 1);
        vm.expectRevert(IPaymentHub.ZeroAmount.selector);
        hub.withdraw(payer, 0);
    }

    function test_constructorRefusesWhatCannotWork() public {
        vm.expectRevert(IPaymentHub.InvalidAddress.selector);
        new PaymentHub(address(0), MICRO, true, timelock, 0, sink);
        vm.expectRevert(IPaymentHub.InvalidAddress.selector);
        new PaymentHub(address(token), MICRO, true, address(0), 0, sink);
        vm.expectRevert(IPaymentHub.InvalidAddress.selector);
        new PaymentHub(address(token), MICRO, true, timelock, 0, address(0));
        vm.expectRevert(IPaymentHub.InvalidUnit.selector);
        new PaymentHub(address(token), 0, true, timelock, 0, sink);
        vm.expectRevert(IPaymentHub.InvalidUnit.selector);
        new PaymentHub(address(token), MICRO + 1, true, timelock, 0, sink);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.FeeTooHigh.selector, 501));
        new PaymentHub(address(token), MICRO, true, timelock, 501, sink);
    }

    function test_viewsNameWhatTheHubWasBuiltWith() public view {
        assertEq(hub.token(), address(token));
        assertEq(hub.unit(), MICRO);
        assertEq(hub.timelock(), timelock);
        assertTrue(hub.exact());
    }

    // ---------------------------------------------------------------------------------------------- permits

    function _permit(uint256 amount, uint256 nonce, uint256 deadline) private returns (bytes memory) {
        token.transfer(payer, amount);
        return _permitTo(address(hub), amount, nonce, deadline);
    }

    function _permitTo(address spender, uint256 amount, uint256 nonce, uint256 deadline)
        private
        view
        returns (bytes memory)
    {
        bytes32 structHash = keccak256(abi.encode(PERMIT, payer, spender, amount, nonce, deadline));
        return signed(payerKey, keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), structHash)));
    }

    function test_permitDepositsForItsSignerWhoeverSubmitsIt() public {
        bytes memory sig = _permit(7, 0, START);
        vm.prank(stranger);
        hub.depositWithPermit(payer, 7, START, sig);
        assertEq(hub.balanceOf(payer), 1000 * HOLE + 7);
        assertEq(hub.balanceOf(stranger), 0);
    }

    function test_permitInCompactForm() public {
        _permit(7, 0, START);
        bytes32 structHash = keccak256(abi.encode(PERMIT, payer, address(hub), 7, 0, START));
        (bytes32 r, bytes32 vs) =
            vm.signCompact(payerKey, keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), structHash)));
        hub.depositWithPermit(payer, 7, START, abi.encodePacked(r, vs));
        assertEq(hub.balanceOf(payer), 1000 * HOLE + 7);
    }

    function test_attack_submittingThePermitFirstDoesNotBlockTheDeposit() public {
        bytes memory sig = _permit(7, 0, START);
        (bytes32 r, bytes32 s, uint8 v) = _parts(sig);
        vm.prank(stranger);
        token.permit(payer, address(hub), 7, START, v, r, s);
        hub.depositWithPermit(payer, 7, START, sig);
        assertEq(hub.balanceOf(payer), 1000 * HOLE + 7);
    }

    function test_attack_aUsedPermitDoesNotDrawOnOtherApprovals() public {
        bytes memory sig = _permit(7, 0, START);
        hub.depositWithPermit(payer, 7, START, sig);
        token.transfer(payer, 100);
        vm.prank(payer);
        token.approve(address(hub), type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InvalidSignature.selector, payer));
        hub.depositWithPermit(payer, 7, START, sig);
    }

    function test_attack_anApprovalWithoutPermitIsNotDrawnOn() public {
        token.transfer(payer, 7);
        vm.prank(payer);
        token.approve(address(hub), 7);
        bytes memory forged = signed(sessionKey, keccak256("anything"));
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InvalidSignature.selector, payer));
        hub.depositWithPermit(payer, 7, START, forged);
    }

    /// @dev Money approved for a deposit of one's own choice is not deposited by a stranger's invented permit.
    function test_attack_aTokenThatTakesAnyCallProvesNoPermit() public {
        PhantomPermitToken other = new PhantomPermitToken();
        PaymentHub bank = _hubOf(other);
        other.mint(payer, 100);
        vm.prank(payer);
        other.approve(address(bank), type(uint256).max);
        bytes memory forged = signed(sessionKey, keccak256("anything"));
        vm.prank(stranger);
        vm.expectRevert();
        bank.depositWithPermit(payer, 100, START, forged);
        vm.prank(payer);
        other.approve(address(bank), 100);
        vm.prank(stranger);
        vm.expectRevert();
        bank.depositWithPermit(payer, 100, START, forged);
        assertEq(other.balanceOf(payer), 100);
    }

    function test_permitOfAMeasuredToken() public {
        PermitToken other = new PermitToken();
        PaymentHub bank = _hubOf(other);
        other.mint(payer, 7);
        bytes32 structHash = keccak256(abi.encode(PERMIT, payer, address(bank), 7, 0, START));
        bytes memory sig =
            signed(payerKey, keccak256(abi.encodePacked("\x19\x01", other.DOMAIN_SEPARATOR(), structHash)));
        bank.depositWithPermit(payer, 7, START, sig);
        assertEq(bank.balanceOf(payer), 7);
        assertEq(other.allowance(payer, address(bank)), 0);
    }

    /// @dev A permit of nothing is nothing to deposit, and the allowance it wiped is the token's business.
    function test_permitOfNothingIsRefused() public {
        bytes memory sig = _permitTo(address(hub), 0, 0, START);
        vm.expectRevert(IPaymentHub.ZeroAmount.selector);
        hub.depositWithPermit(payer, 0, START, sig);
        assertEq(token.nonces(payer), 0, "the permit is still unused");
    }

    /// @dev Whoever submits a permit chooses its gas: that the token's call ran out of it is no proof of a used permit.
    function test_attack_aPermitWithTooLittleGasDrawsOnNothing() public {
        token.transfer(payer, 20);
        vm.prank(payer);
        token.approve(address(hub), 10);
        bytes memory sig = _permitTo(address(hub), 10, 0, START);
        bytes memory call = abi.encodeCall(hub.depositWithPermit, (payer, 10, START, sig));
        for (uint256 gas_ = 10_000; gas_ < 200_000; gas_ += 1_000) {
            uint256 snapshot = vm.snapshotState();
            (bool ok,) = address(hub).call{gas: gas_}(call);
            // Either the permit was taken and its money came, or nothing has changed.
            assertEq(token.nonces(payer), ok ? 1 : 0);
            assertEq(hub.balanceOf(payer), 1000 * HOLE + (ok ? 10 : 0));
            assertEq(token.allowance(payer, address(hub)), ok ? 0 : 10);
            vm.revertToState(snapshot);
        }
    }

    /// @dev Two permits signed ahead, both submitted by somebody else: the last one's deposit goes through, the first one's
    /// allowance is gone and so is its deposit, and no wei more is taken than was signed.
    function test_attack_submittingTwoPermitsFirstTakesNoMoreThanTheLast() public {
        token.transfer(payer, 100);
        bytes memory first = _permitTo(address(hub), 7, 0, START);
        bytes memory second = _permitTo(address(hub), 9, 1, START);
        (bytes32 r, bytes32 s, uint8 v) = _parts(first);
        token.permit(payer, address(hub), 7, START, v, r, s);
        (r, s, v) = _parts(second);
        token.permit(payer, address(hub), 9, START, v, r, s);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InvalidSignature.selector, payer));
        hub.depositWithPermit(payer, 7, START, first);
        hub.depositWithPermit(payer, 9, START, second);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InvalidSignature.selector, payer));
        hub.depositWithPermit(payer, 9, START, second);
        assertEq(hub.balanceOf(payer), 1000 * HOLE + 9);
    }

    function test_permitThatIsLateMalformedOrForAnotherSpenderIsRefused() public {
        bytes memory sig = _permit(7, 0, START - 1);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.Expired.selector, START - 1));
        hub.depositWithPermit(payer, 7, START - 1, sig);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InvalidSignature.selector, payer));
        hub.depositWithPermit(payer, 7, START, hex"1234");
        bytes memory other = _permitTo(module, 7, 0, START);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InvalidSignature.selector, payer));
        hub.depositWithPermit(payer, 7, START, other);
    }

    function _parts(bytes memory sig) private pure returns (bytes32 r, bytes32 s, uint8 v) {
        assembly ("memory-safe") {
            r := mload(add(sig, 0x20))
            s := mload(add(sig, 0x40))
            v := byte(0, mload(add(sig, 0x60)))
        }
    }

    // ------------------------------------------------------------------------------------- tokens that cheat

    function _hubOf(ERC20 other) private returns (PaymentHub bank) {
        bank = new PaymentHub(address(other), MICRO, false, timelock, 0, sink);
        other.approve(address(bank), type(uint256).max);
    }

    function test_attack_feeOnTransferTokenIsRefused() public {
        FeeOnTransferToken other = new FeeOnTransferToken();
        PaymentHub bank = _hubOf(other);
        other.mint(address(this), 1000);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.UnexpectedTransfer.selector, 1000, 990));
        bank.deposit(payer, 1000);
        assertEq(bank.balanceOf(payer), 0);
    }

    function test_attack_rebaseCreditsNobodyAndTakesFromNobodyElse() public {
        RebasingToken other = new RebasingToken();
        PaymentHub bank = _hubOf(other);
        other.mint(address(this), 1000);
        bank.deposit(payer, 500);
        other.rebase(120);
        assertEq(bank.balanceOf(payer), 500);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InsufficientBalance.selector, payer, 500, 501));
        bank.withdraw(payer, 501);
        other.rebaseDuringTransfer();
        reverts(IPaymentHub.UnexpectedTransfer.selector);
        bank.deposit(payer, 100);
    }

    function test_attack_reentrantDepositIsRefusedWhicheverCallItMakes() public {
        CallbackToken other = new CallbackToken();
        PaymentHub bank = _hubOf(other);
        Reentrant attacker = new Reentrant(bank, other);
        other.mint(address(attacker), 1000);
        attacker.start(0, 100);
        assertEq(bank.balanceOf(address(attacker)), 100);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.UnexpectedTransfer.selector, 100, 150));
        attacker.start(1, 100);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.UnexpectedTransfer.selector, 100, 50));
        attacker.start(2, 100);
    }

    function test_attack_donationBelongsToNobody() public {
        token.transfer(address(hub), 1e18);
        assertEq(hub.balanceOf(payer), 1000 * HOLE);
        assertEq(hub.balanceOf(address(hub)), 0);
        vm.prank(payer);
        reverts(IPaymentHub.InsufficientBalance.selector);
        hub.withdraw(payer, 1000 * HOLE + 1);
    }

    // ------------------------------------------------------------------------------------------------- fees

    function test_feeCountsAfterTheNoticeAndItsSinkAtOnce() public {
        vm.prank(timelock);
        vm.expectEmit(address(hub));
        emit IPaymentHub.FeeSet(SERVICE, 500, payee, uint40(START + 30 days));
        hub.setFee(SERVICE, 500, payee);
        (uint16 bps, address to) = hub.currentFee(SERVICE);
        assertEq(bps, 0);
        assertEq(to, payee);
        vm.warp(START + 30 days - 1);
        (bps,) = hub.currentFee(SERVICE);
        assertEq(bps, 0);
        vm.warp(START + 30 days);
        (bps,) = hub.currentFee(SERVICE);
        assertEq(bps, 500);
    }

    function test_announcingAgainReplacesWhatHasNotBegunAndKeepsWhatHas() public {
        vm.startPrank(timelock);
        hub.setFee(SERVICE, 500, sink);
        vm.warp(START + 29 days);
        hub.setFee(SERVICE, 100, sink);
        vm.warp(START + 30 days);
        (uint16 bps,) = hub.currentFee(SERVICE);
        assertEq(bps, 0);
        vm.warp(START + 59 days);
        (bps,) = hub.currentFee(SERVICE);
        assertEq(bps, 100);
        hub.setFee(SERVICE, 0, sink);
        (bps,) = hub.currentFee(SERVICE);
        assertEq(bps, 100);
        IPaymentHub.Fee memory row = hub.feeOf(SERVICE);
        assertEq(row.bps, 100);
        assertEq(row.nextBps, 0);
        assertEq(row.nextAt, START + 89 days);
        assertEq(row.sink, sink);
    }

    function test_serviceWithoutRowPaysRowZero() public {
        vm.prank(timelock);
        hub.setFee(0, 250, payee);
        vm.warp(START + 30 days);
        (uint16 bps, address to) = hub.currentFee(77);
        assertEq(bps, 250);
        assertEq(to, payee);
        assertEq(hub.feeOf(77).sink, address(0));
    }

    function test_onlyTheTimelockSetsFeesWithinTheBound() public {
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.NotTimelock.selector, payer));
        hub.setFee(SERVICE, 1, sink);
        vm.startPrank(timelock);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.FeeTooHigh.selector, 501));
        hub.setFee(SERVICE, 501, sink);
        vm.expectRevert(IPaymentHub.InvalidAddress.selector);
        hub.setFee(SERVICE, 1, address(0));
    }
}
