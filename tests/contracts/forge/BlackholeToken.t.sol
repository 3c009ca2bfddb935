// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {BlackholeToken} from "../../../contracts/tokens/BlackholeToken.sol";
import {Test} from "./Test.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

contract BlackholeTokenTest is Test {
    uint256 private constant CAP = 1e27;
    uint256 private constant YEAR = 365 days;
    uint256 private constant START = 1_800_000_000;

    BlackholeToken private token;
    address private timelock = makeAddr("timelock");
    address private minter = makeAddr("minter");
    address private alice = makeAddr("alice");
    address private bob = makeAddr("bob");

    function setUp() public {
        vm.warp(START);
        token = _token(4e26, 1e26);
        vm.prank(timelock);
        token.setMinter(minter);
    }

    function _token(uint256 a, uint256 b) private returns (BlackholeToken) {
        address[] memory recipients = new address[](2);
        uint256[] memory amounts = new uint256[](2);
        (recipients[0], recipients[1]) = (alice, bob);
        (amounts[0], amounts[1]) = (a, b);
        return new BlackholeToken(recipients, amounts, timelock);
    }

    function _mint(uint256 amount) private {
        vm.prank(minter);
        token.mint(bob, amount);
    }

    function _mintRefused(uint256 amount, uint256 available) private {
        vm.prank(minter);
        vm.expectRevert(abi.encodeWithSelector(BlackholeToken.RateExceeded.selector, amount, available));
        token.mint(bob, amount);
    }

    function test_genesisIsData() public view {
        assertEq(token.name(), "Blackhole");
        assertEq(token.symbol(), "HOLE");
        assertEq(token.decimals(), 18);
        assertEq(token.balanceOf(alice), 4e26);
        assertEq(token.balanceOf(bob), 1e26);
        assertEq(token.totalSupply(), 5e26);
        assertEq(token.minted(), 5e26);
        assertEq(token.CLOCK_MODE(), "mode=timestamp");
        assertEq(token.clock(), START);
    }

    function test_constructorRefusesMismatchNobodyAndMoreThanTheCap() public {
        vm.expectRevert(abi.encodeWithSelector(BlackholeToken.DistributionMismatch.selector, 1, 2));
        new BlackholeToken(new address[](1), new uint256[](2), timelock);
        vm.expectRevert(BlackholeToken.InvalidTimelock.selector);
        new BlackholeToken(new address[](0), new uint256[](0), address(0));
        vm.expectRevert(abi.encodeWithSelector(BlackholeToken.CapExceeded.selector, 1, 0));
        _token(CAP, 1);
    }

    function test_onlyTheTimelockSetsTheMinter() public {
        vm.prank(minter);
        vm.expectRevert(abi.encodeWithSelector(BlackholeToken.NotTimelock.selector, minter));
        token.setMinter(alice);
        vm.prank(timelock);
        vm.expectEmit(address(token));
        emit BlackholeToken.MinterChanged(minter, alice);
        token.setMinter(alice);
        assertEq(token.minter(), alice);
        vm.prank(minter);
        vm.expectRevert(abi.encodeWithSelector(BlackholeToken.NotMinter.selector, minter));
        token.mint(minter, 1);
    }

    function test_nobodyMintsBeforeAMinterIsSet() public {
        BlackholeToken fresh = _token(1, 1);
        assertEq(fresh.minter(), address(0)); // an account nobody has the key of
        vm.prank(timelock);
        vm.expectRevert(abi.encodeWithSelector(BlackholeToken.NotMinter.selector, timelock));
        fresh.mint(timelock, 1);
    }

    function test_mintsTwoPercentOfTheSupplyInAYear() public {
        assertEq(token.mintable(), 1e25);
        _mint(1e25);
        assertEq(token.balanceOf(bob), 1.1e26);
        assertEq(token.mintable(), 0);
        _mintRefused(1, 0);
        // The window is closed at both ends: exactly a year later the first mint still counts.
        vm.warp(START + YEAR);
        _mintRefused(1, 0);
        vm.warp(START + YEAR + 1);
        assertEq(token.mintable(), 1.02e25); // 2 % of 5.1e26
        _mint(1.02e25);
    }

    function test_mintsOfOneBlockAddUp() public {
        _mint(4e24);
        _mint(4e24);
        _mintRefused(2e24 + 1, 2e24);
        _mint(2e24);
        _mintRefused(1, 0);
    }

    function test_mintedWithinTheWindowDoesNotRaiseTheLimit() public {
        _mint(1e25);
        vm.warp(START + 200 days);
        _mintRefused(1, 0);
    }

    function test_burningLowersTheLimitAndNeverReopensTheCap() public {
        vm.prank(alice);
        token.burn(4e26);
        assertEq(token.mintable(), 2e24);
        assertEq(token.minted(), 5e26);
        _mint(2e24);
        vm.prank(bob);
        token.burn(1.02e26);
        assertEq(token.mintable(), 0);
        _mintRefused(1, 0);
    }

    function test_attack_theCapHoldsWhateverIsBurned() public {
        BlackholeToken full = _token(CAP - 5, 0);
        vm.prank(timelock);
        full.setMinter(minter);
        assertEq(full.mintable(), 5);
        vm.prank(alice);
        full.burn(CAP / 2);
        assertEq(full.mintable(), 5);
        vm.prank(minter);
        vm.expectRevert(abi.encodeWithSelector(BlackholeToken.CapExceeded.selector, 6, 5));
        full.mint(alice, 6);
        vm.prank(minter);
        full.mint(alice, 5);
        vm.prank(alice);
        full.burn(CAP / 4);
        vm.warp(START + 10 * YEAR);
        assertEq(full.mintable(), 0);
        vm.prank(minter);
        vm.expectRevert(abi.encodeWithSelector(BlackholeToken.CapExceeded.selector, 1, 0));
        full.mint(alice, 1);
    }

    function test_attack_oneCapturedMinterCannotMintOutTheCap() public {
        // Everything a minter can do in a year, in one call or in many, is 2 %.
        for (uint256 i; i < 60; ++i) {
            uint256 left = token.mintable();
            if (left != 0) _mint(left);
            skip(6 days);
        }
        assertLe(token.totalSupply(), 5.1e26);
    }

    struct Minted {
        uint256 time;
        uint256 amount;
        uint256 supplyBefore;
    }

    Minted[] private _history;

    /// Any closed window of a year: what was minted in it is at most 2 % of the supply at its beginning.
    function testFuzz_anyRollingYearKeepsTheLimit(uint256 seed) public {
        for (uint256 i; i < 30; ++i) {
            uint256 random = uint256(keccak256(abi.encode(seed, i)));
            skip(random % 40 days);
            if (random % 7 == 0) {
                uint256 part = token.balanceOf(alice) / 50;
                vm.prank(alice);
                token.burn(part);
            }
            uint256 amount = bound(random >> 16, 0, token.mintable());
            if (amount == 0) continue;
            _history.push(Minted(vm.getBlockTimestamp(), amount, token.totalSupply()));
            _mint(amount);
        }
        for (uint256 first; first < _history.length; ++first) {
            uint256 sum;
            for (uint256 i = first; i < _history.length && _history[i].time <= _history[first].time + YEAR; ++i) {
                sum += _history[i].amount;
            }
            assertLe(sum, _history[first].supplyBefore / 50);
        }
    }

    function test_votesByTimestampOnceDelegated() public {
        vm.prank(alice);
        token.delegate(alice);
        skip(1);
        vm.prank(alice);
        token.transfer(bob, 1e26);
        assertEq(token.getVotes(alice), 3e26);
        assertEq(token.getPastVotes(alice, START), 4e26);
        assertEq(token.getPastTotalSupply(START), 5e26);
        assertEq(token.getVotes(bob), 0);
    }

    function test_permit() public {
        (address carol, uint256 key) = makeAddrAndKey("carol");
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                carol,
                bob,
                5,
                0,
                START
            )
        );
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), structHash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        token.permit(carol, bob, 5, START, v, r, s);
        assertEq(token.allowance(carol, bob), 5);
        assertEq(token.nonces(carol), 1);
        vm.expectPartialRevert(ERC20Permit.ERC2612InvalidSigner.selector);
        token.permit(carol, bob, 5, START, v, r, s);
    }
}
