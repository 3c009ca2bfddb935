// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {PanelArbitrator} from "../../../contracts/disputes/PanelArbitrator.sol";
import {IDisputeManager} from "../../../contracts/interfaces/IDisputeManager.sol";
import {IPaymentHub} from "../../../contracts/interfaces/IPaymentHub.sol";
import {IStakeManager} from "../../../contracts/interfaces/IStakeManager.sol";
import {VaultFixture} from "./VaultFixture.sol";

contract DisputeManagerTest is VaultFixture {
    uint96 internal constant B = 1000 * HOLE;
    uint96 internal constant CLAIM = 200 * HOLE;
    uint96 internal constant BOND = 20 * HOLE;
    bytes32 internal constant RECEIPT = "receipt";
    address internal defender = makeAddr("defender");

    function setUp() public {
        deployAll();
        bond(B);
    }

    function invalid(uint256 claim, IDisputeManager.State state) private {
        vm.expectRevert(abi.encodeWithSelector(IDisputeManager.InvalidState.selector, claim, state));
    }

    function assertRuling(uint256 claim, IDisputeManager.State state, uint96 award) private view {
        (IDisputeManager.State found, uint96 foundAward) = disputes.rulingOf(claim);
        assertEq(uint256(found), uint256(state), "state");
        assertEq(foundAward, award, "award");
    }

    // -------------------------------------------------------------------------------------------------- faults

    function test_fault_isTheServicesVerifiersAloneAndCapsTheBounty() public {
        reserve(int128(uint128(B)));
        vm.expectRevert(abi.encodeWithSelector(IDisputeManager.NotVerifier.selector, SERVICE, stranger));
        vm.prank(stranger);
        disputes.fault(node, SERVICE, 1, reporter, remedy);
        vm.expectRevert(abi.encodeWithSelector(IDisputeManager.NotVerifier.selector, 9, address(verifier)));
        verifier.fault(node, 9, 1, reporter, remedy);
        assertEq(fault(100), 100);
        assertEq(token.balanceOf(reporter), 5);
        assertEq(token.balanceOf(remedy), 65);
    }

    // ---------------------------------------------------------------------------------------------------- open

    function test_open_freezesAndLocksTheBondForTheStaker() public {
        uint256 before = hub.balanceOf(payer);
        verifier.setReceipt(RECEIPT, payer, node, SERVICE, CLAIM);
        vm.expectEmit(address(disputes));
        emit IDisputeManager.ClaimOpened(
            1,
            payer,
            node,
            SERVICE,
            address(verifier),
            RECEIPT,
            CLAIM,
            BOND,
            uint40(vm.getBlockTimestamp() + 3 days),
            "why"
        );
        vm.prank(payer);
        uint256 claim = disputes.open(address(verifier), RECEIPT, CLAIM, "why");
        assertEq(claim, 1);
        assertEq(disputes.claimCount(), 1);
        assertEq(disputes.claimOn(address(verifier), RECEIPT), 1);
        assertEq(disputes.claimOf(1).arbitrator, address(panel));
        assertEq(disputes.claimOf(1).subject, keccak256(abi.encode(address(verifier), RECEIPT)));
        assertEq(hub.balanceOf(payer), before - BOND);
        (uint256 lockId,) = disputes.lockIdsOf(claim);
        IPaymentHub.Lock memory bondLock = hub.lockOf(address(disputes), lockId);
        assertEq(bondLock.payer, payer);
        assertEq(bondLock.payee, owner);
        assertEq(bondLock.amount, BOND);
        assertEq(stake().frozen, CLAIM);
        assertRuling(claim, IDisputeManager.State.Open, 0);
    }

    function test_open_bondIsTenPercentAtLeastTenHole() public view {
        assertEq(disputes.bondFor(1), 10 * HOLE);
        assertEq(disputes.bondFor(100 * HOLE), 10 * HOLE);
        assertEq(disputes.bondFor(100 * HOLE + 1), 10 * HOLE + 1, "rounds up");
        assertEq(disputes.bondFor(type(uint96).max), type(uint96).max / 10 + 1);
    }

    function test_open_onlyThePayerOfAReceiptOfTheServicesVerifier() public {
        verifier.setReceipt(RECEIPT, payer, node, SERVICE, CLAIM);
        vm.expectRevert(abi.encodeWithSelector(IDisputeManager.NotReceiptPayer.selector, RECEIPT, stranger));
        vm.prank(stranger);
        disputes.open(address(verifier), RECEIPT, CLAIM, 0);
        vm.startPrank(payer);
        vm.expectRevert(IDisputeManager.ZeroAmount.selector);
        disputes.open(address(verifier), RECEIPT, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IDisputeManager.AmountAboveSettled.selector, CLAIM + 1, CLAIM));
        disputes.open(address(verifier), RECEIPT, CLAIM + 1, 0);
        vm.expectRevert(abi.encodeWithSelector(IDisputeManager.NotVerifier.selector, 0, address(verifier)));
        disputes.open(address(verifier), "unknown", 1, 0);
        vm.stopPrank();
        verifier.setReceipt(RECEIPT, payer, node, 2, CLAIM);
        vm.expectRevert(abi.encodeWithSelector(IDisputeManager.NotVerifier.selector, 2, address(verifier)));
        vm.prank(payer);
        disputes.open(address(verifier), RECEIPT, CLAIM, 0);
    }

    function test_open_onlyReceiptsOfTheHoleHub() public {
        verifier.setReceipt(RECEIPT, payer, node, SERVICE, CLAIM);
        verifier.setHub(stranger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeManager.WrongHub.selector, stranger));
        vm.prank(payer);
        disputes.open(address(verifier), RECEIPT, CLAIM, 0);
    }

    function test_open_needsStakeAllowanceAndBalance() public {
        verifier.setReceipt(RECEIPT, payer, 7, SERVICE, CLAIM);
        vm.expectRevert(abi.encodeWithSelector(IDisputeManager.NoStake.selector, 7));
        vm.prank(payer);
        disputes.open(address(verifier), RECEIPT, CLAIM, 0);
        verifier.setReceipt(RECEIPT, payer, node, SERVICE, CLAIM);
        vm.startPrank(payer);
        hub.allow(address(disputes), BOND - 1);
        vm.expectPartialRevert(IPaymentHub.InsufficientAllowance.selector);
        disputes.open(address(verifier), RECEIPT, CLAIM, 0);
        hub.allow(address(disputes), BOND);
        hub.withdraw(payer, hub.balanceOf(payer));
        vm.expectPartialRevert(IPaymentHub.InsufficientBalance.selector);
        disputes.open(address(verifier), RECEIPT, CLAIM, 0);
        vm.stopPrank();
        assertEq(stake().frozen, 0);
    }

    // ------------------------------------------------------------------------------------------------- concede

    function test_concede_awardsInFullAndReturnsTheBond() public {
        uint256 before = hub.balanceOf(payer);
        uint256 claim = openClaim(RECEIPT, CLAIM);
        vm.expectRevert(abi.encodeWithSelector(IDisputeManager.NotStaker.selector, node, stranger));
        vm.prank(stranger);
        disputes.concede(claim);
        vm.expectEmit(address(disputes));
        emit IDisputeManager.ClaimConceded(claim, owner);
        vm.prank(owner);
        disputes.concede(claim);
        assertEq(hub.balanceOf(payer), before);
        assertRuling(claim, IDisputeManager.State.Awarded, CLAIM);
        invalid(claim, IDisputeManager.State.Awarded);
        vm.prank(owner);
        disputes.concede(claim);
        skip(14 days);
        uint256 wallet = token.balanceOf(payer);
        vault.pay(claim);
        assertEq(token.balanceOf(payer), wallet + CLAIM * 7 / 10);
    }

    function test_concede_notAfterTheDeadlineNorOnceContested() public {
        uint256 claim = openClaim(RECEIPT, CLAIM);
        uint40 deadline = disputes.claimOf(claim).deadline;
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputeManager.DeadlinePassed.selector, deadline));
        vm.prank(owner);
        disputes.concede(claim);
        vm.warp(deadline);
        contest(claim, defender);
        invalid(claim, IDisputeManager.State.Contested);
        vm.prank(owner);
        disputes.concede(claim);
    }

    // ------------------------------------------------------------------------------------- contest, rule, vote

    function test_contest_byAnyoneWithTheSameBond() public {
        uint256 claim = openClaim(RECEIPT, CLAIM);
        vm.expectPartialRevert(IPaymentHub.InsufficientAllowance.selector);
        vm.prank(stranger);
        disputes.contest(claim, 0);
        contest(claim, defender);
        assertEq(disputes.contesterOf(claim), defender);
        assertEq(disputes.claimOf(claim).deadline, vm.getBlockTimestamp() + 5 days);
        (, uint256 lockId) = disputes.lockIdsOf(claim);
        IPaymentHub.Lock memory bondLock = hub.lockOf(address(disputes), lockId);
        assertEq(bondLock.payer, defender);
        assertEq(bondLock.payee, payer);
        assertEq(bondLock.amount, BOND);
        invalid(claim, IDisputeManager.State.Contested);
        vm.prank(defender);
        disputes.contest(claim, 0);
    }

    function test_contest_notAfterTheDeadline() public {
        uint256 claim = openClaim(RECEIPT, CLAIM);
        uint40 deadline = disputes.claimOf(claim).deadline;
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputeManager.DeadlinePassed.selector, deadline));
        vm.prank(defender);
        disputes.contest(claim, 0);
    }

    /// @dev bond 20, fee 1 %: rejected pays the staker 19.8, awarded in full pays the claimant 19.8.
    function test_rule_theLoserPaysTheOtherSidesBond() public {
        uint256 claim = openClaim(RECEIPT, CLAIM);
        contest(claim, defender);
        judge(claim, 0);
        assertRuling(claim, IDisputeManager.State.Rejected, 0);
        assertEq(hub.balanceOf(owner), BOND * 99 / 100);
        assertEq(hub.balanceOf(defender), BOND);
        assertEq(stake().frozen, 0);

        uint256 before = hub.balanceOf(payer);
        claim = openClaim("second", CLAIM);
        vm.startPrank(defender);
        hub.allow(address(disputes), BOND);
        disputes.contest(claim, 0);
        vm.stopPrank();
        judge(claim, CLAIM);
        assertRuling(claim, IDisputeManager.State.Awarded, CLAIM);
        assertEq(hub.balanceOf(payer), before + BOND * 99 / 100);
        assertEq(hub.balanceOf(defender), 0);
        assertEq(stake().frozen, CLAIM);
    }

    function test_rule_aPartialAwardSplitsTheBondsByTheShareEachWasWrong() public {
        uint256 before = hub.balanceOf(payer);
        uint256 claim = openClaim(RECEIPT, CLAIM);
        contest(claim, defender);
        judge(claim, CLAIM / 4);
        assertRuling(claim, IDisputeManager.State.Awarded, CLAIM / 4);
        // The claimant loses 15 of his 20 to the staker, the defender 5 to the claimant.
        assertEq(hub.balanceOf(owner), 15 * HOLE * 99 / 100);
        assertEq(hub.balanceOf(defender), 15 * HOLE);
        assertEq(hub.balanceOf(payer), before - 15 * HOLE + 5 * HOLE * 99 / 100);
        assertEq(vault.holdOf(claim).amount, CLAIM / 4);
    }

    function test_rule_onlyItsArbitratorInTimeWithinTheClaim() public {
        uint256 claim = openClaim(RECEIPT, CLAIM);
        invalid(claim, IDisputeManager.State.Open);
        vm.prank(address(panel));
        disputes.rule(claim, 0, 0);
        contest(claim, defender);
        uint40 deadline = disputes.claimOf(claim).deadline;
        vm.expectRevert(abi.encodeWithSelector(IDisputeManager.NotArbitrator.selector, claim, judges[0]));
        vm.prank(judges[0]);
        disputes.rule(claim, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IDisputeManager.AwardAboveClaim.selector, CLAIM + 1, CLAIM));
        vm.prank(address(panel));
        disputes.rule(claim, CLAIM + 1, 0);
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputeManager.DeadlinePassed.selector, deadline));
        vm.prank(address(panel));
        disputes.rule(claim, CLAIM, 0);
        vm.warp(deadline);
        vm.prank(address(panel));
        disputes.rule(claim, CLAIM, 0);
    }

    /// @dev The last claim of a round, contested and ruled at the last second each, still reaches the vault.
    function test_rule_theLatestPossibleAwardStillReachesTheVault() public {
        uint256 start = vm.getBlockTimestamp();
        openClaim("first", 1);
        vm.warp(start + 6 days - 1);
        uint256 claim = openClaim(RECEIPT, CLAIM);
        assertEq(vault.holdOf(claim).round, 1);
        vm.warp(disputes.claimOf(claim).deadline);
        contest(claim, defender);
        vm.warp(disputes.claimOf(claim).deadline);
        assertEq(vm.getBlockTimestamp(), start + 14 days - 1);
        judge(claim, CLAIM);
        skip(1);
        assertEq(vault.pay(claim), CLAIM * 7 / 10);
    }

    // ------------------------------------------------------------------------------------------------ finalise

    function test_finalise_aSilentNodeLoses() public {
        uint256 before = hub.balanceOf(payer);
        uint256 claim = openClaim(RECEIPT, CLAIM);
        uint40 deadline = disputes.claimOf(claim).deadline;
        vm.warp(deadline);
        vm.expectRevert(abi.encodeWithSelector(IDisputeManager.DeadlinePending.selector, deadline));
        disputes.finalise(claim);
        vm.warp(deadline + 1);
        vm.prank(stranger);
        disputes.finalise(claim);
        assertRuling(claim, IDisputeManager.State.Awarded, CLAIM);
        assertEq(hub.balanceOf(payer), before);
        invalid(claim, IDisputeManager.State.Awarded);
        disputes.finalise(claim);
        invalid(99, IDisputeManager.State.None);
        disputes.finalise(99);
    }

    function test_finalise_aSilentArbitratorIsALapseAndBothGetTheirBondsBack() public {
        uint256 before = hub.balanceOf(payer);
        uint256 claim = openClaim(RECEIPT, CLAIM);
        contest(claim, defender);
        skip(5 days);
        vm.expectPartialRevert(IDisputeManager.DeadlinePending.selector);
        disputes.finalise(claim);
        skip(1);
        disputes.finalise(claim);
        assertRuling(claim, IDisputeManager.State.Lapsed, 0);
        assertEq(hub.balanceOf(payer), before);
        assertEq(hub.balanceOf(defender), BOND);
        assertEq(stake().frozen, 0);
    }

    function test_finalise_afterTheRoundIsALapseWhoeverCalledTheVaultFirst() public {
        uint256 before = hub.balanceOf(payer);
        uint256 first = openClaim(RECEIPT, CLAIM);
        uint256 second = openClaim("second", CLAIM);
        skip(14 days);
        vault.lapse(first);
        disputes.finalise(first);
        disputes.finalise(second);
        assertRuling(first, IDisputeManager.State.Lapsed, 0);
        assertRuling(second, IDisputeManager.State.Lapsed, 0);
        assertEq(uint256(vault.holdOf(second).state), uint256(IStakeManager.HoldState.Lapsed));
        assertEq(hub.balanceOf(payer), before);
    }

    /// @dev Forgotten for so long that both took their bonds from the hub themselves: it ends all the same.
    function test_finalise_afterTheBondsWereReclaimed() public {
        uint256 claim = openClaim(RECEIPT, CLAIM);
        contest(claim, defender);
        skip(28 days);
        vm.prank(payer);
        hub.reclaimLock(address(disputes), 2 * claim);
        vm.prank(defender);
        hub.reclaimLock(address(disputes), 2 * claim + 1);
        disputes.finalise(claim);
        assertRuling(claim, IDisputeManager.State.Lapsed, 0);
    }

    // ---------------------------------------------------------------------------------------- arbitrator, panel

    function test_setArbitrator_holdsForNewClaims() public {
        PanelArbitrator next = new PanelArbitrator(address(disputes), timelock, judges, 3);
        vm.expectRevert(abi.encodeWithSelector(IDisputeManager.NotTimelock.selector, guardian));
        vm.prank(guardian);
        disputes.setArbitrator(address(next));
        uint256 claim = openClaim(RECEIPT, CLAIM);
        vm.prank(timelock);
        disputes.setArbitrator(address(next));
        assertEq(disputes.arbitrator(), address(next));
        assertEq(disputes.claimOf(claim).arbitrator, address(panel));
        assertEq(disputes.claimOf(openClaim("second", CLAIM)).arbitrator, address(next));
        PanelArbitrator foreign = new PanelArbitrator(stranger, timelock, judges, 3);
        vm.startPrank(timelock);
        vm.expectRevert(abi.encodeWithSelector(IDisputeManager.InvalidArbitrator.selector, address(foreign)));
        disputes.setArbitrator(address(foreign));
        vm.expectRevert(abi.encodeWithSelector(IDisputeManager.InvalidArbitrator.selector, stranger));
        disputes.setArbitrator(stranger);
        vm.stopPrank();
    }

    function test_panel_rulesWhenEnoughMembersAgreeOnAwardAndReasons() public {
        uint256 claim = openClaim(RECEIPT, CLAIM);
        contest(claim, defender);
        vm.expectRevert(abi.encodeWithSelector(PanelArbitrator.NotMember.selector, stranger));
        vm.prank(stranger);
        panel.vote(claim, CLAIM, "a");
        vm.expectRevert(abi.encodeWithSelector(PanelArbitrator.AwardAboveClaim.selector, CLAIM + 1, CLAIM));
        vm.prank(judges[0]);
        panel.vote(claim, CLAIM + 1, "a");
        vm.prank(judges[0]);
        panel.vote(claim, CLAIM, "a");
        vm.prank(judges[0]);
        panel.vote(claim, CLAIM, "a");
        assertEq(panel.agreeing(claim, CLAIM, "a"), 1, "one member, one vote");
        vm.prank(judges[1]);
        panel.vote(claim, CLAIM, "b");
        vm.prank(judges[2]);
        panel.vote(claim, 1, "a");
        assertRuling(claim, IDisputeManager.State.Contested, 0);
        vm.expectEmit(address(disputes));
        emit IDisputeManager.ClaimRuled(claim, address(panel), CLAIM, "a");
        vm.prank(judges[1]);
        panel.vote(claim, CLAIM, "a");
        assertRuling(claim, IDisputeManager.State.Awarded, CLAIM);
        assertTrue(panel.voteOf(claim, judges[2]).cast);
        vm.expectRevert(
            abi.encodeWithSelector(PanelArbitrator.NotContested.selector, claim, IDisputeManager.State.Awarded)
        );
        vm.prank(judges[2]);
        panel.vote(claim, CLAIM, "a");
    }

    function test_panel_votesOfRemovedMembersDoNotCount() public {
        uint256 claim = openClaim(RECEIPT, CLAIM);
        contest(claim, defender);
        vm.prank(judges[0]);
        panel.vote(claim, 0, "a");
        address[] memory next = new address[](2);
        next[0] = judges[1];
        next[1] = stranger;
        vm.expectRevert(abi.encodeWithSelector(PanelArbitrator.NotTimelock.selector, stranger));
        vm.prank(stranger);
        panel.setPanel(next, 2);
        vm.prank(timelock);
        panel.setPanel(next, 2);
        assertFalse(panel.isMember(judges[0]));
        assertEq(panel.members().length, 2);
        vm.prank(judges[1]);
        panel.vote(claim, 0, "a");
        assertRuling(claim, IDisputeManager.State.Contested, 0);
        vm.prank(stranger);
        panel.vote(claim, 0, "a");
        assertRuling(claim, IDisputeManager.State.Rejected, 0);
    }

    function test_panel_needsAMajorityOfDistinctMembers() public {
        address[] memory two = new address[](2);
        (two[0], two[1]) = (stranger, payer);
        vm.startPrank(timelock);
        vm.expectRevert(abi.encodeWithSelector(PanelArbitrator.InvalidPanel.selector, 2, 1));
        panel.setPanel(two, 1);
        vm.expectRevert(abi.encodeWithSelector(PanelArbitrator.InvalidPanel.selector, 2, 3));
        panel.setPanel(two, 3);
        vm.expectRevert(abi.encodeWithSelector(PanelArbitrator.InvalidPanel.selector, 0, 0));
        panel.setPanel(new address[](0), 0);
        vm.expectRevert(abi.encodeWithSelector(PanelArbitrator.InvalidPanel.selector, 33, 33));
        panel.setPanel(new address[](33), 33);
        two[1] = stranger;
        vm.expectRevert(abi.encodeWithSelector(PanelArbitrator.InvalidMember.selector, stranger));
        panel.setPanel(two, 2);
        two[1] = address(0);
        vm.expectRevert(abi.encodeWithSelector(PanelArbitrator.InvalidMember.selector, address(0)));
        panel.setPanel(two, 2);
        vm.stopPrank();
    }

    function test_initialize_onceOnly() public {
        vm.expectRevert();
        disputes.initialize(address(panel));
    }
}
