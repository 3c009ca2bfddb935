// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IStakeManager} from "../../../contracts/interfaces/IStakeManager.sol";
import {Protocol} from "../../../contracts/libraries/Protocol.sol";
import {VaultFixture} from "./VaultFixture.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

contract StakeManagerTest is VaultFixture {
    address internal heir = makeAddr("heir");
    uint96 internal constant B = 1000 * HOLE;

    function setUp() public {
        deployAll();
    }

    // ------------------------------------------------------------------------------------------ bond and staker

    function test_bond_makesTheOwnerTheStakerAndCountsItsVotes() public {
        vm.expectEmit(address(vault));
        emit IStakeManager.StakerChanged(node, address(0), owner);
        vm.expectEmit(address(vault));
        emit IStakeManager.Bonded(node, SERVICE, owner, B);
        bond(B);
        assertEq(vault.stakerOf(node), owner);
        assertEq(stake().active, B);
        assertEq(vault.bondOf(node), B);
        assertEq(vault.getBond(owner), B);
        assertEq(token.balanceOf(address(vault)), B);
        assertEq(vault.freeOf(node, SERVICE), B);
        bond(1);
        assertEq(stake().active, B + 1);
    }

    function test_bond_refusesZeroStrangersAndUnknownNodes() public {
        vm.expectRevert(IStakeManager.ZeroAmount.selector);
        bond(0);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.NotStaker.selector, node, stranger));
        vm.prank(stranger);
        vault.bond(node, SERVICE, 1);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.NotStaker.selector, 99, owner));
        vm.prank(owner);
        vault.bond(99, SERVICE, 1);
        bond(B);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.NotStaker.selector, node, stranger));
        vm.prank(stranger);
        vault.bond(node, SERVICE, 1);
    }

    function test_bond_withoutAllowanceChangesNothing() public {
        vm.prank(owner);
        token.approve(address(vault), B - 1);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        bond(B);
        assertEq(vault.stakerOf(node), address(0));
    }

    function test_bond_movesNoTimer() public {
        bond(B);
        requestExit(B / 2);
        uint40 exitAt = stake().exitAt;
        skip(5 days);
        bond(B);
        assertEq(stake().exitAt, exitAt);
    }

    function test_transferStaker_isTwoStepsAndMovesStakeAndVotes() public {
        bond(B);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.NotStaker.selector, node, heir));
        vm.prank(heir);
        vault.transferStaker(node, heir);
        vm.prank(owner);
        vault.transferStaker(node, heir);
        assertEq(vault.pendingStakerOf(node), heir);
        assertEq(vault.stakerOf(node), owner);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.NotPendingStaker.selector, node, owner));
        vm.prank(owner);
        vault.acceptStaker(node);
        skip(10);
        vm.prank(heir);
        vault.acceptStaker(node);
        assertEq(vault.stakerOf(node), heir);
        assertEq(vault.getBond(owner), 0);
        assertEq(vault.getBond(heir), B);
        assertEq(vault.getPastBond(owner, vm.getBlockTimestamp() - 1), B);
        assertEq(vault.getPastBond(heir, vm.getBlockTimestamp() - 1), 0);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.NotStaker.selector, node, owner));
        requestExit(1);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.NotPendingStaker.selector, node, heir));
        vm.prank(heir);
        vault.acceptStaker(node);
    }

    function test_transferStaker_toOneselfAndTakenBack() public {
        bond(B);
        vm.startPrank(owner);
        vault.transferStaker(node, owner);
        vault.acceptStaker(node);
        assertEq(vault.getBond(owner), B);
        vault.transferStaker(node, heir);
        vault.transferStaker(node, address(0));
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.NotPendingStaker.selector, node, heir));
        vm.prank(heir);
        vault.acceptStaker(node);
    }

    /// @dev The role ends with the last stake; an old offer of it must not take over what is bonded later.
    function test_lastWithdrawal_clearsTheStakerAndHisOffer() public {
        bond(B);
        vm.prank(owner);
        vault.transferStaker(node, heir);
        requestExit(B);
        skip(Protocol.EXIT);
        withdraw();
        assertEq(vault.stakerOf(node), address(0));
        bond(B);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.NotPendingStaker.selector, node, heir));
        vm.prank(heir);
        vault.acceptStaker(node);
    }

    // ---------------------------------------------------------------------------------------------------- exit

    function test_exit_takes21DaysAndAskingAgainRestartsIt() public {
        bond(B);
        uint40 start = now40();
        vm.expectEmit(address(vault));
        emit IStakeManager.ExitRequested(node, SERVICE, B / 4, B / 4, start + 21 days);
        requestExit(B / 4);
        vm.warp(start + 20 days);
        requestExit(B / 4);
        assertEq(stake().exitAt, start + 41 days);
        assertEq(stake().exiting, B / 2);
        vm.warp(start + 41 days - 1);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.ExitPending.selector, start + 41 days));
        withdraw();
        vm.warp(start + 41 days);
        uint256 before = token.balanceOf(owner);
        assertEq(withdraw(), B / 2);
        assertEq(token.balanceOf(owner), before + B / 2);
        assertEq(vault.getBond(owner), B / 2);
        assertEq(stake().exitAt, 0);
        vm.expectRevert(IStakeManager.NoExit.selector);
        withdraw();
    }

    function test_requestExit_onlyFreeStakeByItsStaker() public {
        bond(B);
        vm.expectRevert(IStakeManager.ZeroAmount.selector);
        requestExit(0);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.InsufficientFreeStake.selector, B, B + 1));
        requestExit(B + 1);
        reserve(400 ether);
        freezeDirect(1, 500 * HOLE);
        vm.expectRevert(
            abi.encodeWithSelector(IStakeManager.InsufficientFreeStake.selector, 100 * HOLE, 100 * HOLE + 1)
        );
        requestExit(100 * HOLE + 1);
        requestExit(100 * HOLE);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.NotStaker.selector, node, stranger));
        vm.prank(stranger);
        vault.requestExit(node, SERVICE, 1);
    }

    function test_cancelExit_movesAllBack() public {
        bond(B);
        vm.expectRevert(IStakeManager.NoExit.selector);
        vm.prank(owner);
        vault.cancelExit(node, SERVICE);
        requestExit(B);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.NotStaker.selector, node, stranger));
        vm.prank(stranger);
        vault.cancelExit(node, SERVICE);
        vm.expectEmit(address(vault));
        emit IStakeManager.ExitCancelled(node, SERVICE, B);
        vm.prank(owner);
        vault.cancelExit(node, SERVICE);
        assertEq(stake().active, B);
        assertEq(stake().exiting, 0);
        assertEq(stake().exitAt, 0);
    }

    function test_withdraw_refusesStrangersAndNobody() public {
        bond(B);
        requestExit(B);
        skip(Protocol.EXIT);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.NotStaker.selector, node, stranger));
        vm.prank(stranger);
        vault.withdraw(node, SERVICE, stranger);
        vm.expectRevert(IStakeManager.ZeroAddress.selector);
        vm.prank(owner);
        vault.withdraw(node, SERVICE, address(0));
        vm.expectEmit(address(vault));
        emit IStakeManager.Withdrawn(node, SERVICE, owner, heir, B);
        vm.prank(owner);
        vault.withdraw(node, SERVICE, heir);
        assertEq(token.balanceOf(heir), B);
    }

    function test_exit_oneServiceLeavesTheOthersAlone() public {
        bond(B);
        vm.startPrank(owner);
        vault.bond(node, 2, B);
        vault.requestExit(node, 2, B);
        skip(Protocol.EXIT);
        vault.withdraw(node, 2, owner);
        vm.stopPrank();
        assertEq(stake().active, B);
        assertEq(vault.stakerOf(node), owner);
        assertEq(vault.bondOf(node), B);
    }

    // ------------------------------------------------------------------------------------------------ reserves

    function test_reserve_takesFreeActiveStakeOnlyAndFallsWithoutRevert() public {
        bond(B);
        requestExit(B / 2);
        vm.expectEmit(address(vault));
        emit IStakeManager.Reserved(node, SERVICE, int256(uint256(B / 2)), B / 2, now40() + 30 days);
        reserve(int128(uint128(B / 2)));
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.InsufficientFreeStake.selector, 0, 1));
        reserve(1);
        reserve(-int128(uint128(B / 4)));
        assertEq(stake().reserved, B / 4);
        assertEq(stake().reservedUntil, now40() + 30 days);
        reserve(type(int128).min);
        assertEq(stake().reserved, 0);
        assertEq(stake().reservedUntil, 0);
    }

    function test_reserve_frozenStakeBacksNothingNew() public {
        bond(B);
        freezeDirect(1, B);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.InsufficientFreeStake.selector, 0, 1));
        reserve(1);
        freezeDirect(2, 5 * B);
        assertEq(stake().frozen, 6 * B, "may exceed the stake");
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.InsufficientFreeStake.selector, 0, 1));
        reserve(1);
    }

    function test_reserve_isTheServicesVerifiersAlone() public {
        bond(B);
        bytes memory refusal = abi.encodeWithSelector(IStakeManager.NotVerifier.selector, SERVICE, stranger);
        vm.expectRevert(refusal);
        vm.prank(stranger);
        vault.reserve(node, SERVICE, 1, now40());
        reserve(1);
        vm.expectRevert(refusal);
        vm.prank(stranger);
        vault.reserve(node, SERVICE, -1, now40());
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.NotVerifier.selector, 2, address(verifier)));
        verifier.reserve(node, 2, 1, now40());
    }

    function test_reserve_namesAnEndAtMost400DaysAheadAndKeepsTheLatest() public {
        bond(B);
        uint40 start = now40();
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.InvalidReserveEnd.selector, start + 400 days + 1));
        verifier.reserve(node, SERVICE, 1, start + 400 days + 1);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.InvalidReserveEnd.selector, start - 1));
        verifier.reserve(node, SERVICE, 1, start - 1);
        verifier.reserve(node, SERVICE, 1, start + 400 days);
        verifier.reserve(node, SERVICE, 1, start);
        assertEq(stake().reservedUntil, start + 400 days);
        verifier.reserve(node, SERVICE, -1, 0);
        assertEq(stake().reserved, 1);
        assertEq(stake().reservedUntil, start + 400 days);
        skip(1 days);
        verifier.reserve(node, SERVICE, 0, start + 401 days);
        assertEq(stake().reservedUntil, start + 401 days, "0 moves the end only");
    }

    function test_unreserve_sixtyDaysAfterTheEndTheStakerFreesItHimself() public {
        bond(B);
        vm.expectRevert(IStakeManager.ZeroAmount.selector);
        vm.prank(owner);
        vault.unreserve(node, SERVICE);
        reserve(int128(uint128(B)));
        uint256 freeable = stake().reservedUntil + 60 days;
        vm.warp(freeable - 1);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.ReserveLive.selector, freeable));
        vm.prank(owner);
        vault.unreserve(node, SERVICE);
        vm.warp(freeable);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.NotStaker.selector, node, stranger));
        vm.prank(stranger);
        vault.unreserve(node, SERVICE);
        vm.expectEmit(address(vault));
        emit IStakeManager.Unreserved(node, SERVICE, B);
        vm.prank(owner);
        vault.unreserve(node, SERVICE);
        assertEq(vault.unreservedOf(node, SERVICE), B);
        requestExit(B);
        // The verifier wakes up and closes its agreement: nothing to free, nothing reverts.
        reserve(-int128(uint128(B)));
        assertEq(vault.unreservedOf(node, SERVICE), 0);
        assertEq(stake().reserved, 0);
    }

    /// @dev A live verifier could name a new end for ever; the staker's answer needs nobody.
    function test_setReservable_aLiveVerifierCannotHoldAReserveForEver() public {
        bond(B);
        reserve(int128(uint128(B / 2)));
        uint40 end = stake().reservedUntil;
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.NotStaker.selector, node, stranger));
        vm.prank(stranger);
        vault.setReservable(node, SERVICE, false);
        vm.expectEmit(address(vault));
        emit IStakeManager.ReservableSet(node, SERVICE, false);
        vm.prank(owner);
        vault.setReservable(node, SERVICE, false);
        bytes memory refusal = abi.encodeWithSelector(IStakeManager.ReserveClosed.selector, node, SERVICE);
        vm.expectRevert(refusal);
        verifier.reserve(node, SERVICE, 1, end);
        vm.expectRevert(refusal);
        verifier.reserve(node, SERVICE, 0, end + 1);
        reserve(-1);
        vm.warp(end + 60 days);
        vm.prank(owner);
        vault.unreserve(node, SERVICE);
        requestExit(B);
        vm.prank(owner);
        vault.setReservable(node, SERVICE, true);
        bond(B);
        reserve(1);
    }

    // -------------------------------------------------------------------------------------------------- faults

    function test_fault_takesFromActiveBurns30PaysReporterAndRemedy() public {
        bond(B);
        reserve(int128(uint128(B / 2)));
        uint256 supply = token.totalSupply();
        vm.expectEmit(address(vault));
        emit IStakeManager.Faulted(node, SERVICE, remedy, 100 * HOLE, 30 * HOLE, 5 * HOLE, reporter);
        // The catalog's bounty is 10 %; a fault pays 5 % at most.
        assertEq(fault(100 * HOLE), 100 * HOLE);
        assertEq(token.totalSupply(), supply - 30 * HOLE);
        assertEq(token.balanceOf(reporter), 5 * HOLE);
        assertEq(token.balanceOf(remedy), 65 * HOLE);
        assertEq(stake().active, B - 100 * HOLE);
        assertEq(stake().reserved, B / 2, "falls when its agreements close");
        assertEq(vault.getBond(owner), B - 100 * HOLE);
        assertEq(vault.bondOf(node), B - 100 * HOLE);
    }

    function test_fault_neverMoreThanReservedOrActiveAndNeverTheExit() public {
        bond(B);
        assertEq(fault(B), 0, "nothing reserved");
        reserve(int128(uint128(B / 2)));
        requestExit(B / 2);
        assertEq(fault(B), B / 2);
        assertEq(fault(B), 0, "nothing active");
        assertEq(stake().exiting, B / 2);
        assertEq(stake().reserved, B / 2);
        assertEq(vault.freeOf(node, SERVICE), 0);
        // Slashed reserves back nothing new until topped up.
        bond(B / 2);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.InsufficientFreeStake.selector, 0, 1));
        reserve(1);
        bond(1);
        reserve(1);
    }

    function test_fault_withoutReporterPaysTheRemedyAll() public {
        bond(B);
        reserve(int128(uint128(B)));
        verifier.fault(node, SERVICE, 100, address(0), remedy);
        assertEq(token.balanceOf(remedy), 70);
    }

    function test_fault_isBoundedByTheVaultItself() public {
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.NotDisputes.selector, address(verifier)));
        vm.prank(address(verifier));
        vault.fault(node, SERVICE, 1, 0, reporter, remedy);
        vm.startPrank(address(disputes));
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.BountyTooHigh.selector, 501, 500));
        vault.fault(node, SERVICE, 1, 501, reporter, remedy);
        vm.expectRevert(IStakeManager.ZeroAddress.selector);
        vault.fault(node, SERVICE, 1, 500, reporter, address(0));
        vm.stopPrank();
    }

    function test_fault_ofTheLastStakeClearsTheStaker() public {
        bond(B);
        reserve(int128(uint128(B)));
        vm.expectEmit(address(vault));
        emit IStakeManager.StakerChanged(node, owner, address(0));
        fault(B);
        assertEq(vault.stakerOf(node), address(0));
        assertEq(vault.getBond(owner), 0);
        bond(B);
        assertEq(vault.stakerOf(node), owner);
    }

    // ------------------------------------------------------------------------------------------------- rounds

    function test_freeze_opensARoundAndClaimsOfSixDaysJoinIt() public {
        bond(B);
        uint40 start = now40();
        vm.expectEmit(address(vault));
        emit IStakeManager.Frozen(1, node, SERVICE, 1, 10, start + 14 days);
        freezeDirect(1, 10);
        vm.warp(start + 6 days - 1);
        freezeDirect(2, 20);
        assertEq(vault.holdOf(2).round, 1);
        assertEq(vault.holdOf(2).until, start + 14 days);
        vm.warp(start + 6 days);
        freezeDirect(3, 30);
        assertEq(vault.holdOf(3).round, 2);
        assertEq(vault.holdOf(3).until, start + 20 days);
        assertEq(stake().frozen, 60);
        IStakeManager.Round memory round = vault.roundOf(node, SERVICE, 1);
        assertEq(round.held, 30);
        assertEq(round.since, start);
        (uint32 last, uint32 settled) = vault.roundsOf(node, SERVICE);
        assertEq(last, 2);
        assertEq(settled, 0);
    }

    function test_freeze_refusesOthersZeroAndUsedIds() public {
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.NotDisputes.selector, stranger));
        vm.prank(stranger);
        vault.freeze(1, node, SERVICE, 1);
        vm.expectRevert(IStakeManager.ZeroAmount.selector);
        freezeDirect(1, 0);
        freezeDirect(1, 1);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.ClaimExists.selector, 1));
        freezeDirect(1, 1);
        vm.prank(address(disputes));
        vault.lapse(1);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.ClaimExists.selector, 1));
        freezeDirect(1, 1);
    }

    function test_award_booksAndThawsTheRest() public {
        bond(B);
        freezeDirect(1, 100);
        vm.expectEmit(address(vault));
        emit IStakeManager.Awarded(1, 60, payer, reporter, 2000);
        vm.prank(address(disputes));
        vault.award(1, 60, 2000, payer, reporter);
        assertEq(stake().frozen, 60);
        IStakeManager.Round memory round = vault.roundOf(node, SERVICE, 1);
        assertEq(round.awards, 60);
        assertEq(round.held, 0);
        IStakeManager.Award memory booked = vault.awardOf(1);
        assertEq(booked.victim, payer);
        assertEq(booked.reporter, reporter);
        assertEq(booked.bountyBps, 2000);
    }

    function test_award_isBoundedByTheVaultItself() public {
        bond(B);
        freezeDirect(1, 100);
        uint40 until = vault.holdOf(1).until;
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.NotDisputes.selector, stranger));
        vm.prank(stranger);
        vault.award(1, 1, 0, payer, address(0));
        vm.startPrank(address(disputes));
        vm.expectRevert(IStakeManager.ZeroAmount.selector);
        vault.award(1, 0, 0, payer, address(0));
        vm.expectRevert(IStakeManager.ZeroAddress.selector);
        vault.award(1, 1, 0, address(0), address(0));
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.BountyTooHigh.selector, 2001, 2000));
        vault.award(1, 1, 2001, payer, reporter);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.AwardTooHigh.selector, 101, 100));
        vault.award(1, 101, 0, payer, address(0));
        vm.expectRevert(
            abi.encodeWithSelector(IStakeManager.InvalidClaimState.selector, 9, IStakeManager.HoldState.None)
        );
        vault.award(9, 1, 0, payer, address(0));
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.RoundOver.selector, until));
        vault.award(1, 1, 0, payer, address(0));
        vm.warp(until - 1);
        vault.award(1, 1, 0, payer, address(0));
        vm.expectRevert(
            abi.encodeWithSelector(IStakeManager.InvalidClaimState.selector, 1, IStakeManager.HoldState.Awarded)
        );
        vault.award(1, 1, 0, payer, address(0));
        vm.stopPrank();
    }

    function test_pay_afterTheRoundByAnyoneBurns30() public {
        bond(B);
        freezeDirect(1, 100 * HOLE);
        uint40 until = vault.holdOf(1).until;
        vm.prank(address(disputes));
        vault.award(1, 100 * HOLE, 2000, payer, reporter);
        vm.warp(until - 1);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.RoundOpen.selector, until));
        vault.pay(1);
        vm.warp(until);
        uint256 supply = token.totalSupply();
        uint256 before = token.balanceOf(payer);
        vm.expectEmit(address(vault));
        emit IStakeManager.RoundSettled(node, SERVICE, 1, 100 * HOLE, 100 * HOLE);
        vm.expectEmit(address(vault));
        emit IStakeManager.Paid(1, payer, 100 * HOLE, 30 * HOLE, 20 * HOLE, 50 * HOLE, reporter);
        vm.prank(stranger);
        assertEq(vault.pay(1), 50 * HOLE);
        assertEq(token.totalSupply(), supply - 30 * HOLE);
        assertEq(token.balanceOf(reporter), 20 * HOLE);
        assertEq(token.balanceOf(payer), before + 50 * HOLE);
        assertEq(stake().frozen, 0);
        assertEq(stake().active, B - 100 * HOLE);
        vm.expectRevert(
            abi.encodeWithSelector(IStakeManager.InvalidClaimState.selector, 1, IStakeManager.HoldState.Paid)
        );
        vault.pay(1);
    }

    function test_pay_takesTheExitFirst() public {
        bond(B);
        requestExit(300 * HOLE);
        freezeDirect(1, 500 * HOLE);
        awardDirect(1, 500 * HOLE, payer);
        skip(14 days);
        vault.pay(1);
        assertEq(stake().exiting, 0);
        assertEq(stake().exitAt, 0);
        assertEq(stake().active, 500 * HOLE);
        vm.expectRevert(IStakeManager.NoExit.selector);
        withdraw();
    }

    function test_pay_awardsBeyondTheStakeShareProRata() public {
        bond(B);
        freezeDirect(1, 3 * B);
        freezeDirect(2, B);
        awardDirect(1, 3 * B, payer);
        awardDirect(2, B, stranger);
        skip(14 days);
        assertEq(vault.pay(2), 175 * HOLE);
        assertEq(vault.pay(1), 525 * HOLE);
        assertEq(token.balanceOf(address(vault)), 0);
    }

    function test_lapse_byDisputesAnyTimeByAnyoneAfterTheRound() public {
        bond(B);
        freezeDirect(1, B);
        freezeDirect(2, B);
        freezeDirect(3, B);
        uint40 until = vault.holdOf(1).until;
        vm.expectEmit(address(vault));
        emit IStakeManager.Lapsed(1, B);
        vm.prank(address(disputes));
        vault.lapse(1);
        awardDirect(3, 1, payer);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.RoundOpen.selector, until));
        vm.prank(stranger);
        vault.lapse(2);
        vm.warp(until);
        vm.prank(stranger);
        vault.lapse(2);
        assertEq(stake().frozen, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IStakeManager.InvalidClaimState.selector, 2, IStakeManager.HoldState.Lapsed)
        );
        vault.lapse(2);
        vm.expectRevert(
            abi.encodeWithSelector(IStakeManager.InvalidClaimState.selector, 3, IStakeManager.HoldState.Awarded)
        );
        vault.lapse(3);
    }

    /// @dev The freeze is over at its date even if nobody ever calls lapse.
    function test_freeze_endsByItself() public {
        bond(B);
        requestExit(B);
        skip(20 days);
        freezeDirect(1, B);
        skip(1 days);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.ExitFrozen.selector, B));
        withdraw();
        skip(13 days);
        assertEq(stake().frozen, 0);
        assertEq(withdraw(), B);
        vault.lapse(1);
    }

    function test_withdraw_leavesWhatIsFrozenAndNoMore() public {
        bond(B);
        requestExit(B / 2);
        skip(20 days);
        freezeDirect(1, B / 8);
        skip(1 days);
        assertEq(withdraw(), B / 2 - B / 8, "whatever free active stake there is");
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.ExitFrozen.selector, B / 8));
        withdraw();
        awardDirect(1, B / 16, stranger);
        assertEq(withdraw(), B / 8 - B / 16);
        skip(13 days);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.NoExit.selector));
        withdraw();
        assertEq(stake().active, B / 2, "the award came out of the exit");
    }

    /// @dev What is bonded after a round is over is not at risk to it.
    function test_bond_afterTheRoundIsNotTakenByIt() public {
        bond(B);
        freezeDirect(1, 3 * B);
        awardDirect(1, 3 * B, payer);
        skip(14 days);
        bond(B);
        assertEq(stake().active, B);
        assertEq(vault.pay(1), 700 * HOLE);
        assertEq(stake().active, B);
        assertEq(vault.stakerOf(node), owner);
    }

    /// @dev Rounds pay oldest first whatever is called first, and at most three wait.
    function test_rounds_inSuccessionPayOldestFirst() public {
        bond(B);
        for (uint256 i = 1; i <= 3; ++i) {
            freezeDirect(i, B);
            awardDirect(i, B, i == 1 ? payer : stranger);
            skip(6 days);
        }
        skip(14 days);
        assertEq(vault.pay(3), 0, "the first round took all");
        assertEq(vault.pay(1), 700 * HOLE);
        assertEq(vault.pay(2), 0);
        (uint32 last, uint32 settled) = vault.roundsOf(node, SERVICE);
        assertEq(last, 3);
        assertEq(settled, 3);
    }

    function test_rounds_areSettledWhenANewOneOpensSoTheyNeverPileUp() public {
        bond(B);
        for (uint256 i = 1; i <= 40; ++i) {
            freezeDirect(i, 1);
            if (i % 3 == 0) {
                awardDirect(i, 1, payer);
            } else if (i % 3 == 1) {
                vm.prank(address(disputes));
                vault.lapse(i);
            }
            (uint32 last, uint32 settled) = vault.roundsOf(node, SERVICE);
            assertLe(last - settled, 3);
            skip(6 days);
        }
    }

    function test_rounds_datesMeet() public pure {
        assertEq(Protocol.ROUND + Protocol.CONTEST + Protocol.RULING, Protocol.MAX_FREEZE);
        assertGt(Protocol.EXIT, Protocol.ROUND + Protocol.MAX_FREEZE);
        assertEq(Protocol.UPGRADE_DELAY, Protocol.EXIT + 7 days);
    }

    // --------------------------------------------------------------------------------------------------- votes

    function test_votes_countActiveAndExitingUntilWithdrawnAndSlashed() public {
        assertEq(vault.CLOCK_MODE(), "mode=timestamp");
        assertEq(vault.clock(), vm.getBlockTimestamp());
        uint256 t0 = vm.getBlockTimestamp();
        bond(B);
        skip(10);
        bond(B);
        skip(10);
        requestExit(B);
        skip(Protocol.EXIT);
        assertEq(vault.getPastBond(owner, t0 - 1), 0);
        assertEq(vault.getPastBond(owner, t0), B);
        assertEq(vault.getPastBond(owner, t0 + 10), 2 * B);
        assertEq(vault.getPastBond(owner, vm.getBlockTimestamp() - 1), 2 * B);
        uint256 t1 = vm.getBlockTimestamp();
        withdraw();
        skip(10);
        reserve(int128(uint128(B)));
        fault(B / 2);
        skip(1);
        assertEq(vault.getPastBond(owner, t1), B);
        assertEq(vault.getPastBond(owner, t1 + 10), B / 2);
    }

    function test_votes_ofAnAwardEndWhenItsRoundIsSettled() public {
        bond(B);
        freezeDirect(1, B);
        awardDirect(1, B, payer);
        skip(14 days);
        assertEq(vault.getBond(owner), B);
        vault.pay(1);
        assertEq(vault.getBond(owner), 0);
    }
}
