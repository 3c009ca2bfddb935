// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "./Test.sol";

contract Counter {
    uint256 public calls;

    function touch() external {
        ++calls;
    }

    function never() external pure {
        revert("excluded");
    }
}

/// @dev The base itself: an assertion that cannot fail would let every other test pass.
contract TestTest is Test {
    Counter private _counter;

    function setUp() public {
        _counter = new Counter();
        bytes4[] memory selectors = new bytes4[](1);
        selectors[0] = Counter.touch.selector;
        targetContract(address(_counter));
        targetSelector(FuzzSelector(address(_counter), selectors));
    }

    function invariant_onlyTheTargetIsCalled() public view {
        assertLe(_counter.calls(), 1e6);
    }

    function compare(uint256 a, uint256 b) external pure {
        assertEq(a, b, "a is b");
    }

    function test_failedAssertionReverts() public {
        vm.expectRevert(abi.encodeWithSelector(AssertionFailed.selector, "a is b: 1 != 2"));
        this.compare(1, 2);
    }

    function testFuzz_boundStaysInside(uint256 x, uint256 low, uint256 high) public pure {
        if (low > high) (low, high) = (high, low);
        uint256 y = bound(x, low, high);
        assertGe(y, low);
        assertLe(y, high);
    }

    function test_signerOfANamedAccount() public {
        (address account, uint256 key) = makeAddrAndKey("alice");
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, keccak256("x"));
        assertEq(ecrecover(keccak256("x"), v, r, s), account);
    }
}
