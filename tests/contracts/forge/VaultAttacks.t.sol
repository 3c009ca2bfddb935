// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IClaimSource, IDisputeManager} from "../../../contracts/interfaces/IDisputeManager.sol";
import {INodeRegistry} from "../../../contracts/interfaces/INodeRegistry.sol";
import {IReceipts} from "../../../contracts/interfaces/IReceipts.sol";
import {IStakeManager} from "../../../contracts/interfaces/IStakeManager.sol";
import {Protocol} from "../../../contracts/libraries/Protocol.sol";
import {VaultFixture} from "./VaultFixture.sol";

/// @dev A verifier that answers every question with a revert, and can still be told to reserve.
contract HostileVerifier {
    IStakeManager private immutable _vault;

    constructor(IStakeManager vault_) {
        _vault = vault_;
    }

    function reserve(uint32 node, uint16 service, int128 delta, uint40 until) external {
        _vault.reserve(node, service, delta, until);
    }

    fallback() external {
        revert("no");
    }
}

/// @dev A source that says whatever makes a claim of anybody on anybody's node.
contract LyingSource is IReceipts, IClaimSource {
    address public immutable hub;
    uint32 private immutable _node;
    uint16 private immutable _service;

    constructor(address hub_, uint32 node_, uint16 service_) {
        hub = hub_;
        _node = node_;
        _service = service_;
    }

    function settledOf(bytes32) external view returns (address, uint32, uint16, uint96, uint96) {
        return (msg.sender == address(0) ? hub : tx.origin, _node, _service, type(uint96).max, type(uint96).max);
    }
}

/// @notice Attacks that found real money elsewhere, each against the vault as it is deployed.
contract VaultAttacksTest is VaultFixture {
    uint96 internal constant B = 1000 * HOLE;

    function setUp() public {
        deployAll();
    }

    /// @dev Odd amounts, slashed and shared to the wei in three rounds by two services: the last ones out are whole.
    function testFuzz_slashRoundingNeverBricksTheLastExit(uint96 a, uint96 b, uint96 claim1, uint96 claim2, uint96 cut)
        public
    {
        a = uint96(bound(a, 1, B));
        b = uint96(bound(b, 1, B));
        claim1 = uint96(bound(claim1, 1, 2 * B));
        claim2 = uint96(bound(claim2, 1, 2 * B));
        cut = uint96(bound(cut, 1, a));
        bond(a);
        vm.prank(owner);
        vault.bond(node, 2, b);
        reserve(int128(uint128(a)));
        fault(cut);
        fault(cut / 3);
        freezeDirect(1, claim1);
        freezeDirect(2, claim2);
        freezeDirect(3, 1);
        awardDirect(1, claim1, payer);
        awardDirect(2, claim2, stranger);
        awardDirect(3, 1, remedy);
        reserve(type(int128).min);
        skip(14 days);
        vault.pay(3);
        vault.pay(2);
        vault.pay(1);
        uint96 left = stake().active;
        assertEq(token.balanceOf(address(vault)), uint256(left) + b);
        if (left != 0) {
            requestExit(left);
            skip(Protocol.EXIT);
            assertEq(withdraw(), left);
        }
        vm.startPrank(owner);
        vault.requestExit(node, 2, b);
        skip(Protocol.EXIT);
        assertEq(vault.withdraw(node, 2, owner), b);
        vm.stopPrank();
        assertEq(token.balanceOf(address(vault)), 0, "to the last wei");
        assertEq(vault.stakerOf(node), address(0));
    }

    /// @dev There is one exit bucket and only its staker touches it: nobody fills it, and its cost does not grow.
    function test_fillingAVictimsExitBucketIsImpossible() public {
        bond(B);
        requestExit(B / 2);
        uint40 exitAt = stake().exitAt;
        vm.startPrank(stranger);
        vm.expectPartialRevert(IStakeManager.NotStaker.selector);
        vault.requestExit(node, SERVICE, 1);
        vm.expectPartialRevert(IStakeManager.NotStaker.selector);
        vault.bond(node, SERVICE, 1);
        vm.expectPartialRevert(IStakeManager.NotStaker.selector);
        vault.cancelExit(node, SERVICE);
        vm.stopPrank();
        assertEq(stake().exitAt, exitAt);
        vm.startPrank(owner);
        uint256 start = gasleft();
        vault.requestExit(node, SERVICE, 1);
        uint256 second = start - gasleft();
        for (uint256 i = 0; i < 100; ++i) {
            vault.requestExit(node, SERVICE, 1);
        }
        start = gasleft();
        vault.requestExit(node, SERVICE, 1);
        assertLe(start - gasleft(), second, "request 103 costs no more than request 2");
        vm.stopPrank();
    }

    /// @dev Tiny claims in every round delay the exit by nothing once their round is over, at constant cost.
    function test_manySmallClaimsDoNotHoldAnExit() public {
        bond(B);
        requestExit(B);
        for (uint256 i = 1; i <= 60; ++i) {
            freezeDirect(i, 1);
        }
        skip(Protocol.EXIT);
        uint256 start = gasleft();
        assertEq(withdraw(), B, "no lapse was ever called");
        assertLt(start - gasleft(), 120_000);
    }

    function test_stakeDoesNotLeaveBeforeTheRuling() public {
        bond(B);
        requestExit(B);
        skip(Protocol.EXIT - 1);
        uint256 claim = openClaim("receipt", B);
        skip(1);
        vm.expectPartialRevert(IStakeManager.ExitFrozen.selector);
        withdraw();
        vm.prank(owner);
        vault.cancelExit(node, SERVICE);
        vm.expectPartialRevert(IStakeManager.InsufficientFreeStake.selector);
        requestExit(1);
        skip(4 days);
        disputes.finalise(claim);
        // Awarded: stays after the 14 days too, until it is paid.
        skip(10 days);
        vm.expectPartialRevert(IStakeManager.InsufficientFreeStake.selector);
        requestExit(1);
        assertEq(vault.pay(claim), 700 * HOLE);
    }

    /// @dev An exit under a claim is not let go against active stake that faults, one after the other, then take: each is
    /// bounded by the reserve, their sum is not.
    function test_attack_anExitLeavesAgainstStakeThatFaultsTake() public {
        bond(B);
        reserve(int128(uint128(B / 2)));
        requestExit(B / 4);
        skip(Protocol.EXIT - 1 days);
        uint256 claim = openClaim("receipt", B / 4);
        skip(1 days);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.ExitFrozen.selector, B / 4));
        withdraw();
        fault(B / 2);
        fault(B / 2);
        assertEq(stake().active, 0);
        skip(3 days);
        disputes.finalise(claim);
        skip(10 days);
        assertEq(vault.pay(claim), B / 4 - B / 4 * 3 / 10, "paid in full");
    }

    /// @dev What a slash left short backs no longer duty: the end of a reserve does not move before the staker tops up.
    function test_attack_prolongingWhatSlashedStakeBacks() public {
        bond(B);
        reserve(int128(uint128(B)));
        uint40 until = stake().reservedUntil;
        fault(1);
        skip(1);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.InsufficientFreeStake.selector, 0, 0));
        reserve(0);
        assertEq(stake().reservedUntil, until);
        bond(1);
        reserve(0);
        assertEq(stake().reservedUntil, until + 1);
    }

    /// @dev Nor does a duty grow longer on stake that claims wait for.
    function test_attack_prolongingWhatFrozenStakeBacks() public {
        bond(B);
        reserve(int128(uint128(B)));
        openClaim("receipt", 1);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.InsufficientFreeStake.selector, 0, 0));
        reserve(0);
    }

    /// @dev A verifier in league with the node hands it all it can before a victim is paid: what it reserves and faults, to
    /// the node itself. The exit under the claim is out of its reach, and 30 % of what it moved is burned.
    function test_attack_verifierAndProviderColludeToEmptyTheStake() public {
        bond(B);
        requestExit(B / 2);
        uint256 claim = openClaim("receipt", B / 2);
        uint256 supply = token.totalSupply();
        vm.expectPartialRevert(IStakeManager.InsufficientFreeStake.selector);
        reserve(1);
        skip(3 days + 1);
        disputes.finalise(claim);
        bond(B / 2);
        reserve(int128(uint128(B / 2)));
        for (uint256 i = 0; i < 3; ++i) {
            verifier.fault(node, SERVICE, type(uint96).max, owner, owner);
        }
        assertEq(stake().active, 0);
        assertEq(supply - token.totalSupply(), B * 3 / 10);
        vm.expectPartialRevert(IStakeManager.ExitPending.selector);
        withdraw();
        skip(11 days);
        assertEq(vault.pay(claim), B / 2 - B / 2 * 3 / 10, "paid in full out of the exit");
    }

    /// @dev The operator claims from himself and concedes at once: the victim of the same round still shares pro rata,
    /// and the operator has burned 30 % of what he moved.
    function test_concedingToOneselfShieldsNothing() public {
        bond(B);
        address accomplice = makeAddr("accomplice");
        fundHub(accomplice, 1000 * HOLE);
        verifier.setReceipt("own", accomplice, node, SERVICE, B);
        vm.startPrank(accomplice);
        hub.allow(address(disputes), type(uint256).max);
        uint256 own = disputes.open(address(verifier), "own", B, 0);
        vm.stopPrank();
        vm.prank(owner);
        disputes.concede(own);
        skip(5 days);
        uint256 real = openClaim("real", B);
        skip(4 days);
        disputes.finalise(real);
        skip(5 days);
        uint256 before = token.balanceOf(payer);
        vault.pay(own);
        vault.pay(real);
        assertEq(token.balanceOf(payer), before + 350 * HOLE, "half of the stake, less the burn");
        assertEq(token.balanceOf(accomplice), 350 * HOLE);
    }

    function test_aRevertingVerifierHoldsNobodysExitOrClaim() public {
        HostileVerifier hostile = new HostileVerifier(vault);
        vm.prank(timelock);
        catalog.setService(2, serviceRow(address(hostile)));
        vm.startPrank(owner);
        vault.bond(node, 2, B);
        vm.stopPrank();
        hostile.reserve(node, 2, int128(uint128(B / 2)), now40() + 400 days);
        vm.prank(owner);
        vault.requestExit(node, 2, B / 2);
        skip(Protocol.EXIT);
        vm.prank(owner);
        assertEq(vault.withdraw(node, 2, owner), B / 2);
        vm.expectRevert(bytes("no"));
        disputes.open(address(hostile), "receipt", 1, 0);
        skip(460 days);
        vm.startPrank(owner);
        vault.unreserve(node, 2);
        vault.requestExit(node, 2, B / 2);
        skip(Protocol.EXIT);
        assertEq(vault.withdraw(node, 2, owner), B / 2);
        vm.stopPrank();
    }

    /// @dev What a verifier can do to stake of other services, or beyond the reserve of its own: nothing.
    function test_aVerifierReachesItsOwnServiceOnly() public {
        bond(B);
        vm.prank(owner);
        vault.bond(node, 2, B);
        reserve(int128(uint128(B / 2)));
        vm.expectPartialRevert(IStakeManager.NotVerifier.selector);
        verifier.reserve(node, 2, 1, now40());
        vm.expectPartialRevert(IDisputeManager.NotVerifier.selector);
        verifier.fault(node, 2, 1, address(0), remedy);
        assertEq(fault(B), B / 2);
        assertEq(vault.bondOf(node), B + B / 2);
    }

    /// @dev The catalog cannot hand a service to another verifier, not even by an upgrade: the vault remembers.
    function test_theVaultKeepsTheVerifierItHasSeen() public {
        bond(B);
        reserve(1);
        assertEq(vault.verifierOf(SERVICE), address(verifier));
        vm.mockCall(address(catalog), abi.encodeWithSignature("verifierOf(uint16)", SERVICE), abi.encode(stranger));
        vm.expectPartialRevert(IStakeManager.NotVerifier.selector);
        vm.prank(stranger);
        vault.reserve(node, SERVICE, 1, now40());
        reserve(1);
    }

    function test_aLyingSourceIsNoVerifier() public {
        bond(B);
        LyingSource source = new LyingSource(address(hub), node, SERVICE);
        vm.expectRevert(abi.encodeWithSelector(IDisputeManager.NotVerifier.selector, SERVICE, address(source)));
        vm.prank(payer, payer);
        disputes.open(address(source), "receipt", B, 0);
    }

    function test_identicalEvidenceCannotBePostedAgain() public {
        bond(B);
        uint256 claim = openClaim("receipt", 1);
        bytes32 subject = keccak256(abi.encode(address(verifier), bytes32("receipt")));
        bytes memory refusal = abi.encodeWithSelector(IDisputeManager.AlreadyClaimed.selector, subject, claim);
        vm.expectRevert(refusal);
        vm.prank(payer);
        disputes.open(address(verifier), "receipt", 1, "evidence");
        skip(14 days);
        disputes.finalise(claim);
        verifier.setReceipt("receipt", payer, node, SERVICE, B);
        vm.expectRevert(refusal);
        vm.prank(payer);
        disputes.open(address(verifier), "receipt", 1, "other evidence");
    }

    /// @dev Nobody makes a claim count as paid before its round is over, or against an empty stake that comes back.
    function test_oneWeiOfDustDoesNotBurnAWinningClaim() public {
        bond(B);
        uint256 claim = openClaim("receipt", B);
        uint256 dust = openClaim("dust", 1);
        skip(4 days);
        disputes.finalise(claim);
        disputes.finalise(dust);
        vm.expectPartialRevert(IStakeManager.RoundOpen.selector);
        vault.pay(claim);
        assertEq(uint256(vault.holdOf(claim).state), uint256(IStakeManager.HoldState.Awarded));
        skip(10 days);
        // The dust goes first and takes its fraction of a wei, rounded down, and no more.
        assertEq(vault.pay(dust), 0);
        assertEq(vault.pay(claim), B - B * 3 / 10);
        assertEq(token.balanceOf(address(vault)), 0);
    }

    /// @dev No caller gives the vault a time that an exit is computed from, and none of its times can wrap.
    function test_noOverflowMakesAnInstantExit() public {
        bond(B);
        vm.expectPartialRevert(IStakeManager.InvalidReserveEnd.selector);
        verifier.reserve(node, SERVICE, 1, type(uint40).max);
        requestExit(B);
        assertEq(stake().exitAt, now40() + 21 days);
        vm.warp(uint256(type(uint40).max) - 22 days);
        vm.prank(owner);
        vault.cancelExit(node, SERVICE);
        requestExit(B);
        vm.expectPartialRevert(IStakeManager.ExitPending.selector);
        withdraw();
    }

    /// @dev Bonded and asked for in one block: no votes at any time that can be asked.
    function test_flashLoanedStakeHasNoVotes() public {
        bond(B);
        uint256 t = vm.getBlockTimestamp();
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.FutureLookup.selector, t, uint48(t)));
        vault.getPastBond(owner, t);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.FutureLookup.selector, t + 1, uint48(t)));
        vault.getPastBond(owner, t + 1);
        assertEq(vault.getPastBond(owner, t - 1), 0);
        skip(1);
        assertEq(vault.getPastBond(owner, t), B);
    }

    /// @dev A matured exit kept as a trap backs nothing, and a claim still freezes it.
    function test_aMaturedExitKeptAsATrapBacksNothingAndFreezes() public {
        bond(B);
        requestExit(B);
        skip(100 days);
        vm.expectPartialRevert(IStakeManager.InsufficientFreeStake.selector);
        reserve(1);
        openClaim("receipt", B);
        vm.expectPartialRevert(IStakeManager.ExitFrozen.selector);
        withdraw();
    }

    /// @dev The hot key of the old owner cannot reserve or sign for the new one; stake and node change hands together.
    function test_aSoldNodeKeepsNoKeyOfTheSeller() public {
        address buyer = makeAddr("buyer");
        vm.startPrank(owner);
        registry.setKeys(node, stranger, stranger);
        registry.transferNode(node, buyer);
        vault.bond(node, SERVICE, 1);
        vm.stopPrank();
        vm.expectPartialRevert(INodeRegistry.NodeHasStake.selector);
        vm.prank(buyer);
        registry.acceptNode(node);
        requestExit(1);
        skip(Protocol.EXIT);
        withdraw();
        vm.prank(buyer);
        registry.acceptNode(node);
        assertEq(registry.signerOf(node), buyer);
        assertEq(registry.payeeOf(node), buyer);
    }

    /// @dev A dispute contract that never answers, or answers too late, holds stake for 14 days and takes nothing.
    function test_aDeadDisputeContractHoldsStakeFor14DaysOnly() public {
        bond(B);
        openClaim("receipt", B);
        vm.etch(address(disputes), "");
        skip(14 days);
        requestExit(B);
        skip(Protocol.EXIT);
        assertEq(withdraw(), B);
    }

    /// @dev Even the dispute contract itself takes at most the stake of that service, burns 30 %, and not before 14 days.
    function test_aHostileDisputeContractIsBoundedByTheVault() public {
        bond(B);
        vm.prank(owner);
        vault.bond(node, 2, B);
        freezeDirect(1, type(uint96).max);
        awardDirect(1, type(uint96).max, stranger);
        vm.expectPartialRevert(IStakeManager.RoundOpen.selector);
        vault.pay(1);
        vm.prank(address(disputes));
        assertEq(vault.fault(node, SERVICE, type(uint96).max, 500, stranger, stranger), 0, "nothing reserved");
        skip(14 days);
        assertEq(vault.pay(1), 700 * HOLE);
        assertEq(vault.bondOf(node), B);
        assertEq(vault.stakeOf(node, 2).active, B);
    }

    /// @dev Stray tokens change no account.
    function testFuzz_donationsChangeNothing(uint96 gift) public {
        bond(B);
        gift = uint96(bound(gift, 1, B));
        fund(address(vault), gift);
        assertEq(vault.bondOf(node), B);
        requestExit(B);
        skip(Protocol.EXIT);
        assertEq(withdraw(), B);
        assertEq(token.balanceOf(address(vault)), gift);
    }
}
