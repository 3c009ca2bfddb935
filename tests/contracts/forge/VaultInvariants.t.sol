// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IStakeManager} from "../../../contracts/interfaces/IStakeManager.sol";
import {StakeManager} from "../../../contracts/staking/StakeManager.sol";
import {BlackholeToken} from "../../../contracts/tokens/BlackholeToken.sol";
import {ServiceVerifier} from "./ServiceVerifier.sol";
import {Test} from "./Test.sol";
import {VaultFixture} from "./VaultFixture.sol";

/// @dev Every call of the vault by whoever may make it, over two nodes of two stakers and two services. What must hold
/// across a single call is noted here; the invariants assert on it.
contract VaultHandler is Test {
    StakeManager private immutable _vault;
    BlackholeToken private immutable _token;
    ServiceVerifier private immutable _verifier;
    address private immutable _disputes;
    address[2] private _owners;

    uint256 public claims;
    uint256 public slashed; // out of the vault by faults and payments
    uint256 public burned;
    uint256 public supplyBefore;
    string public violation;

    constructor(StakeManager vault_, BlackholeToken token_, ServiceVerifier verifier_, address[2] memory owners_) {
        _vault = vault_;
        _token = token_;
        _verifier = verifier_;
        _disputes = vault_.disputes();
        _owners = owners_;
        supplyBefore = token_.totalSupply();
    }

    function stakes(uint32 node, uint16 service) public view returns (IStakeManager.Stake memory) {
        return _vault.stakeOf(node, service);
    }

    function warp(uint256 by) external {
        skip(bound(by, 1, 8 days));
    }

    function bond(uint256 who, uint256 amount) external {
        (uint32 node, uint16 service) = _pick(who);
        uint96 wei_ = uint96(bound(amount, 1, 1000 ether));
        address staker = _staker(node);
        vm.prank(staker);
        _vault.bond(node, service, wei_);
    }

    function requestExit(uint256 who, uint256 amount) external {
        (uint32 node, uint16 service) = _pick(who);
        uint96 free = _vault.freeOf(node, service);
        if (free == 0) return;
        uint96 wei_ = uint96(bound(amount, 1, free));
        address staker = _staker(node);
        vm.prank(staker);
        _vault.requestExit(node, service, wei_);
        IStakeManager.Stake memory stake = stakes(node, service);
        if (stake.reserved + uint256(stake.frozen) > stake.active) violation = "an exit took reserved or frozen stake";
        if (stake.exitAt != vm.getBlockTimestamp() + 21 days) violation = "an exit shorter than EXIT";
    }

    function requestExitBeyondFree(uint256 who) external {
        (uint32 node, uint16 service) = _pick(who);
        uint96 free = _vault.freeOf(node, service);
        address staker = _staker(node);
        vm.prank(staker);
        try _vault.requestExit(node, service, free + 1) {
            violation = "an exit of more than is free";
        } catch {}
    }

    function cancelExit(uint256 who) external {
        (uint32 node, uint16 service) = _pick(who);
        address staker = _staker(node);
        vm.prank(staker);
        _vault.cancelExit(node, service);
    }

    function withdraw(uint256 who) external {
        (uint32 node, uint16 service) = _pick(who);
        IStakeManager.Stake memory stake = stakes(node, service);
        bool due = stake.exiting != 0 && vm.getBlockTimestamp() >= stake.exitAt;
        address staker = _staker(node);
        vm.prank(staker);
        try _vault.withdraw(node, service, staker) returns (uint96 amount) {
            if (!due) violation = "a withdrawal before its time";
            IStakeManager.Stake memory left = stakes(node, service);
            if (left.exiting != stake.frozen || left.active != stake.active) {
                violation = "a withdrawal left too much or little";
            }
            if (amount == 0) violation = "an empty withdrawal";
        } catch {
            if (due && stake.frozen == 0) violation = "a due withdrawal reverted";
        }
    }

    function reserve(uint256 who, int128 delta, uint256 until) external {
        (uint32 node, uint16 service) = _pick(who);
        uint256 now_ = vm.getBlockTimestamp();
        uint96 free = _vault.freeOf(node, service);
        if (delta > int128(uint128(free))) delta = int128(uint128(free));
        uint96 reserved = stakes(node, service).reserved;
        if (delta < -int128(uint128(reserved))) delta = -int128(uint128(reserved) / 2);
        _verifier.reserve(node, service, delta, uint40(bound(until, now_, now_ + 400 days)));
        IStakeManager.Stake memory stake = stakes(node, service);
        if (delta >= 0 && uint256(stake.reserved) + stake.frozen > stake.active) violation = "an uncovered reserve";
    }

    function unreserve(uint256 who) external {
        (uint32 node, uint16 service) = _pick(who);
        skip(61 days);
        address staker = _staker(node);
        vm.prank(staker);
        _vault.unreserve(node, service);
    }

    function fault(uint256 who, uint96 amount) external {
        (uint32 node, uint16 service) = _pick(who);
        IStakeManager.Stake memory before = stakes(node, service);
        uint256 supply = _token.totalSupply();
        uint96 taken = _verifier.fault(node, service, uint96(bound(amount, 1, 100 ether)), address(1), address(2));
        if (taken > before.reserved || taken > before.active) violation = "a fault beyond the reserve";
        if (stakes(node, service).exiting != before.exiting) violation = "a fault took the exit";
        slashed += taken;
        _burn(supply - _token.totalSupply(), taken);
    }

    function freeze(uint256 who, uint256 amount) external {
        (uint32 node, uint16 service) = _pick(who);
        uint96 wei_ = uint96(bound(amount, 1, 3000 ether));
        vm.prank(_disputes);
        _vault.freeze(++claims, node, service, wei_);
    }

    function award(uint256 which, uint256 amount) external {
        (uint256 claim, IStakeManager.Hold memory hold) = _claim(which);
        if (hold.state != IStakeManager.HoldState.Frozen) return;
        uint96 wei_ = uint96(bound(amount, 1, hold.amount));
        vm.prank(_disputes);
        _vault.award(claim, wei_, uint16(which % 2001), address(3), address(4));
        if (vm.getBlockTimestamp() >= hold.until) violation = "an award after its round";
    }

    function lapse(uint256 which, bool asDisputes) external {
        (uint256 claim, IStakeManager.Hold memory hold) = _claim(which);
        if (asDisputes) vm.prank(_disputes);
        _vault.lapse(claim);
        if (!asDisputes && vm.getBlockTimestamp() < hold.until) violation = "anyone lapsed an open round";
        if (hold.state == IStakeManager.HoldState.Awarded) violation = "an award lapsed";
    }

    function pay(uint256 which) external {
        (uint256 claim, IStakeManager.Hold memory hold) = _claim(which);
        uint256 supply = _token.totalSupply();
        uint256 held = _token.balanceOf(address(_vault));
        try _vault.pay(claim) {
            if (vm.getBlockTimestamp() < hold.until) violation = "paid before the round was over";
            uint256 share = held - _token.balanceOf(address(_vault));
            if (share > hold.amount) violation = "paid more than awarded";
            slashed += share;
            _burn(supply - _token.totalSupply(), share);
        } catch {
            if (hold.state == IStakeManager.HoldState.Awarded && vm.getBlockTimestamp() >= hold.until) {
                violation = "a due payment reverted";
            }
        }
    }

    function transferStaker(uint256 who) external {
        uint32 node = uint32(1 + who % 2);
        address to = _owners[who / 2 % 2];
        address staker = _staker(node);
        vm.prank(staker);
        _vault.transferStaker(node, to);
        vm.prank(to);
        _vault.acceptStaker(node);
    }

    function _burn(uint256 amount, uint256 taken) private {
        if (amount != taken * 3000 / 10_000) violation = "not 30 % burned";
        burned += amount;
    }

    function _pick(uint256 who) private pure returns (uint32, uint16) {
        return (uint32(1 + who % 2), uint16(1 + who / 2 % 2));
    }

    function _claim(uint256 which) private view returns (uint256 claim, IStakeManager.Hold memory) {
        claim = 1 + which % (claims + 1);
        return (claim, _vault.holdOf(claim));
    }

    function _staker(uint32 node) private view returns (address staker) {
        staker = _vault.stakerOf(node);
        if (staker == address(0)) staker = _owners[node - 1];
    }
}

contract VaultInvariantsTest is VaultFixture {
    VaultHandler internal handler;
    address internal second = makeAddr("second owner");

    function setUp() public {
        deployAll();
        vm.prank(timelock);
        catalog.setService(2, serviceRow(address(verifier)));
        vm.startPrank(second);
        registry.register("m", "e");
        token.approve(address(vault), type(uint256).max);
        vm.stopPrank();
        fund(owner, 1e8 * uint256(HOLE));
        fund(second, 1e8 * uint256(HOLE));
        handler = new VaultHandler(vault, token, verifier, [owner, second]);
        targetContract(address(handler));
    }

    /// @dev Statement 5: balance = sum of active + sum of exiting + sum of unpaid rounds, and a node's bond is its part.
    function invariant_balanceIsActivePlusExitingPlusUnpaidRounds() public {
        uint256 sum = 0;
        for (uint32 id = 1; id <= 2; ++id) {
            uint256 bonded = 0;
            for (uint16 service = 1; service <= 2; ++service) {
                // One more claim settles every round that is over; forge drops it after this invariant.
                vm.prank(address(disputes));
                vault.freeze(uint256(id) << 128 | service, id, service, 1);
                IStakeManager.Stake memory s = vault.stakeOf(id, service);
                bonded += uint256(s.active) + s.exiting;
                (, uint32 settled) = vault.roundsOf(id, service);
                for (uint32 number = 1; number <= settled; ++number) {
                    sum += vault.roundOf(id, service, number).stake;
                }
            }
            assertEq(vault.bondOf(id), bonded);
            sum += bonded;
        }
        assertEq(token.balanceOf(address(vault)), sum);
    }

    /// @dev Statement 6 and 7, and every other "never" the handler watches call by call.
    function invariant_noCallBrokeItsPromise() public view {
        assertEq(bytes(handler.violation()).length, 0, handler.violation());
    }

    /// @dev Statement 7: 30 % of every slash is burned, and nothing else burns.
    function invariant_supplyFellByWhatSlashesBurned() public view {
        assertEq(token.totalSupply(), handler.supplyBefore() - handler.burned());
        assertLe(handler.burned(), handler.slashed() * 3 / 10);
    }

    /// @dev Statement 7: frozen is exactly the open claims and unpaid awards of rounds not over.
    function invariant_frozenIsTheSumOfOpenHolds() public view {
        uint256[5] memory frozen;
        for (uint256 claim = 1; claim <= handler.claims(); ++claim) {
            IStakeManager.Hold memory hold = vault.holdOf(claim);
            bool open = hold.state == IStakeManager.HoldState.Frozen || hold.state == IStakeManager.HoldState.Awarded;
            if (open && vm.getBlockTimestamp() < hold.until) {
                frozen[(hold.node - 1) * 2 + hold.service] += hold.amount;
            }
        }
        for (uint32 id = 1; id <= 2; ++id) {
            for (uint16 service = 1; service <= 2; ++service) {
                assertEq(vault.stakeOf(id, service).frozen, frozen[(id - 1) * 2 + service]);
            }
        }
    }

    /// @dev Statement 12: a staker's votes are his nodes' active and exiting stake.
    function invariant_votesAreTheNodesStake() public view {
        uint256 total = uint256(vault.bondOf(1)) + vault.bondOf(2);
        assertEq(vault.getBond(owner) + vault.getBond(second), total);
        for (uint32 id = 1; id <= 2; ++id) {
            assertEq(vault.stakerOf(id) == address(0), vault.bondOf(id) == 0);
        }
        assertLe(total, token.balanceOf(address(vault)));
    }

    /// @dev At most three rounds of a stake wait, so no call's cost grows with history.
    function invariant_atMostThreeRoundsWait() public view {
        for (uint32 id = 1; id <= 2; ++id) {
            for (uint16 service = 1; service <= 2; ++service) {
                (uint32 last, uint32 settled) = vault.roundsOf(id, service);
                assertLe(last - settled, 3);
            }
        }
    }

    /// @dev Statement 5: after everything, every stake can leave to the last wei.
    function afterInvariant() public {
        skip(600 days);
        for (uint256 claim = 1; claim <= handler.claims(); ++claim) {
            if (vault.holdOf(claim).state == IStakeManager.HoldState.Awarded) vault.pay(claim);
        }
        for (uint32 id = 1; id <= 2; ++id) {
            for (uint16 service = 1; service <= 2; ++service) {
                _leave(id, service);
            }
        }
        assertEq(token.balanceOf(address(vault)), 0, "something stayed behind");
    }

    function _leave(uint32 id, uint16 service) private {
        IStakeManager.Stake memory s = vault.stakeOf(id, service);
        if (s.active == 0 && s.exiting == 0) return;
        vm.startPrank(vault.stakerOf(id));
        if (s.reserved != 0) vault.unreserve(id, service);
        if (s.active != 0) vault.requestExit(id, service, s.active);
        skip(21 days);
        vault.withdraw(id, service, stranger);
        vm.stopPrank();
    }
}
