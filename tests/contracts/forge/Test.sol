// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @dev The cheatcodes of forge that the tests use; signatures as forge defines them.
interface Vm {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    struct Gas {
        uint64 gasLimit;
        uint64 gasTotalUsed;
        uint64 gasMemoryUsed;
        int64 gasRefunded;
        uint64 gasRemaining;
    }

    // Who calls, and when.
    function prank(address sender) external;
    function prank(address sender, address origin) external;
    function startPrank(address sender) external;
    function stopPrank() external;
    function warp(uint256 timestamp) external;
    function roll(uint256 blockNumber) external;
    function setBlockhash(uint256 blockNumber, bytes32 blockHash) external;
    function chainId(uint256 id) external;
    function prevrandao(bytes32 value) external;
    function fee(uint256 baseFee) external;
    function getBlockTimestamp() external view returns (uint256);
    function getBlockNumber() external view returns (uint256);

    // What must happen next.
    function expectRevert() external;
    function expectRevert(bytes4 selector) external;
    function expectRevert(bytes calldata data) external;
    function expectPartialRevert(bytes4 selector) external;
    function expectEmit() external;
    function expectEmit(address emitter) external;
    function expectEmit(bool topic1, bool topic2, bool topic3, bool data) external;
    function expectEmit(bool topic1, bool topic2, bool topic3, bool data, address emitter) external;
    function expectCall(address callee, bytes calldata data) external;
    function expectCall(address callee, bytes calldata data, uint64 count) external;
    function assume(bool condition) external pure;

    // Keys.
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function signCompact(uint256 key, bytes32 digest) external pure returns (bytes32 r, bytes32 vs);
    function addr(uint256 key) external pure returns (address);

    // State.
    function deal(address account, uint256 balance) external;
    function etch(address account, bytes calldata code) external;
    function store(address account, bytes32 slot, bytes32 value) external;
    function load(address account, bytes32 slot) external view returns (bytes32);
    function setNonce(address account, uint64 nonce) external;
    function getNonce(address account) external view returns (uint64);
    function computeCreateAddress(address deployer, uint256 nonce) external pure returns (address);
    function snapshotState() external returns (uint256 id);
    function revertToState(uint256 id) external returns (bool);
    function mockCall(address callee, bytes calldata data, bytes calldata returned) external;
    function mockCallRevert(address callee, bytes calldata data, bytes calldata reverted) external;
    function clearMockedCalls() external;

    // What happened.
    function record() external;
    function accesses(address account) external returns (bytes32[] memory reads, bytes32[] memory writes);
    function recordLogs() external;
    function getRecordedLogs() external returns (Log[] memory);
    function lastCallGas() external view returns (Gas memory);
    function pauseGasMetering() external;
    function resumeGasMetering() external;
    function cool(address account) external;

    // Files, names, text.
    function readFile(string calldata path) external view returns (string memory);
    function parseJsonBytes(string calldata json, string calldata key) external pure returns (bytes memory);
    function parseJsonBytes32(string calldata json, string calldata key) external pure returns (bytes32);
    function parseJsonUint(string calldata json, string calldata key) external pure returns (uint256);
    function parseJsonString(string calldata json, string calldata key) external pure returns (string memory);
    function parseJsonBytesArray(string calldata json, string calldata key) external pure returns (bytes[] memory);
    function parseJsonBytes32Array(string calldata json, string calldata key) external pure returns (bytes32[] memory);
    function parseJsonUintArray(string calldata json, string calldata key) external pure returns (uint256[] memory);
    function getCode(string calldata artifact) external view returns (bytes memory creation);
    function label(address account, string calldata name) external;
    function toString(uint256 value) external pure returns (string memory);
    function toString(bytes32 value) external pure returns (string memory);
    function toString(address value) external pure returns (string memory);
    function toString(int256 value) external pure returns (string memory);
    function toString(bytes calldata value) external pure returns (string memory);
}

/// @notice Base of all forge tests: cheatcodes as `vm`, assertions that name what they compare, bounded
/// inputs, named accounts, and the hooks by which forge learns what an invariant test may call.
/// @dev A failed assertion reverts, so a failure inside a handler fails the run only under `fail_on_revert`;
/// handlers record violations in state, and the invariant functions assert on it.
abstract contract Test {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    bool public constant IS_TEST = true;

    // secp256k1
    uint256 internal constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    error AssertionFailed(string reason);

    // ------------------------------------------------------------------------------------------ assertions

    function fail(string memory reason) internal pure {
        revert AssertionFailed(reason);
    }

    function assertTrue(bool condition) internal pure {
        if (!condition) fail("expected true");
    }

    function assertTrue(bool condition, string memory reason) internal pure {
        if (!condition) fail(reason);
    }

    function assertFalse(bool condition) internal pure {
        if (condition) fail("expected false");
    }

    function assertFalse(bool condition, string memory reason) internal pure {
        if (condition) fail(reason);
    }

    function assertEq(uint256 a, uint256 b) internal pure {
        assertEq(a, b, "");
    }

    function assertEq(uint256 a, uint256 b, string memory reason) internal pure {
        if (a != b) _differ(reason, vm.toString(a), " != ", vm.toString(b));
    }

    function assertEq(int256 a, int256 b) internal pure {
        assertEq(a, b, "");
    }

    function assertEq(int256 a, int256 b, string memory reason) internal pure {
        if (a != b) _differ(reason, vm.toString(a), " != ", vm.toString(b));
    }

    function assertEq(address a, address b) internal pure {
        assertEq(a, b, "");
    }

    function assertEq(address a, address b, string memory reason) internal pure {
        if (a != b) _differ(reason, vm.toString(a), " != ", vm.toString(b));
    }

    function assertEq(bytes32 a, bytes32 b) internal pure {
        assertEq(a, b, "");
    }

    function assertEq(bytes32 a, bytes32 b, string memory reason) internal pure {
        if (a != b) _differ(reason, vm.toString(a), " != ", vm.toString(b));
    }

    function assertEq(bool a, bool b) internal pure {
        assertEq(a, b, "");
    }

    function assertEq(bool a, bool b, string memory reason) internal pure {
        if (a != b) _differ(reason, a ? "true" : "false", " != ", b ? "true" : "false");
    }

    function assertEq(bytes memory a, bytes memory b) internal pure {
        assertEq(a, b, "");
    }

    function assertEq(bytes memory a, bytes memory b, string memory reason) internal pure {
        if (keccak256(a) != keccak256(b)) _differ(reason, vm.toString(a), " != ", vm.toString(b));
    }

    function assertEq(string memory a, string memory b) internal pure {
        if (keccak256(bytes(a)) != keccak256(bytes(b))) _differ("", a, " != ", b);
    }

    function assertNotEq(uint256 a, uint256 b) internal pure {
        if (a == b) _differ("", vm.toString(a), " == ", vm.toString(b));
    }

    function assertNotEq(bytes32 a, bytes32 b) internal pure {
        assertNotEq(a, b, "");
    }

    function assertNotEq(bytes32 a, bytes32 b, string memory reason) internal pure {
        if (a == b) _differ(reason, vm.toString(a), " == ", vm.toString(b));
    }

    function assertNotEq(address a, address b) internal pure {
        if (a == b) _differ("", vm.toString(a), " == ", vm.toString(b));
    }

    function assertLt(uint256 a, uint256 b) internal pure {
        assertLt(a, b, "");
    }

    function assertLt(uint256 a, uint256 b, string memory reason) internal pure {
        if (a >= b) _differ(reason, vm.toString(a), " >= ", vm.toString(b));
    }

    function assertLe(uint256 a, uint256 b) internal pure {
        assertLe(a, b, "");
    }

    function assertLe(uint256 a, uint256 b, string memory reason) internal pure {
        if (a > b) _differ(reason, vm.toString(a), " > ", vm.toString(b));
    }

    function assertGt(uint256 a, uint256 b) internal pure {
        assertGt(a, b, "");
    }

    function assertGt(uint256 a, uint256 b, string memory reason) internal pure {
        if (a <= b) _differ(reason, vm.toString(a), " <= ", vm.toString(b));
    }

    function assertGe(uint256 a, uint256 b) internal pure {
        assertGe(a, b, "");
    }

    function assertGe(uint256 a, uint256 b, string memory reason) internal pure {
        if (a < b) _differ(reason, vm.toString(a), " < ", vm.toString(b));
    }

    function assertApproxEqAbs(uint256 a, uint256 b, uint256 delta) internal pure {
        if ((a > b ? a - b : b - a) > delta) _differ("", vm.toString(a), " !~ ", vm.toString(b));
    }

    function _differ(string memory reason, string memory a, string memory sign, string memory b) private pure {
        fail(string.concat(reason, bytes(reason).length == 0 ? "" : ": ", a, sign, b));
    }

    // ---------------------------------------------------------------------------------------------- inputs

    /// @dev `x` folded into [low, high]; values already inside stay, both ends are reached often.
    function bound(uint256 x, uint256 low, uint256 high) internal pure returns (uint256) {
        if (low > high) fail("bound: low > high");
        if (x >= low && x <= high) return x;
        uint256 size = high - low + 1; // 0 only for the whole range, which the line above has returned
        if (x <= 3 && size > x) return low + x;
        if (x >= type(uint256).max - 3 && size > type(uint256).max - x) return high - (type(uint256).max - x);
        return low + (x % size);
    }

    function boundKey(uint256 x) internal pure returns (uint256) {
        return bound(x, 1, CURVE_ORDER - 1);
    }

    function makeAddr(string memory name) internal returns (address account) {
        (account,) = makeAddrAndKey(name);
    }

    function makeAddrAndKey(string memory name) internal returns (address account, uint256 key) {
        key = boundKey(uint256(keccak256(bytes(name))));
        account = vm.addr(key);
        vm.label(account, name);
    }

    function skip(uint256 seconds_) internal {
        // Not block.timestamp: via-IR may move that read across a warp.
        vm.warp(vm.getBlockTimestamp() + seconds_);
    }

    // ------------------------------------------------------------------------------------- invariant hooks

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    address[] private _targets;
    address[] private _excluded;
    address[] private _senders;
    address[] private _excludedSenders;
    FuzzSelector[] private _selectors;

    function targetContract(address target) internal {
        _targets.push(target);
    }

    function targetSelector(FuzzSelector memory selector) internal {
        _selectors.push(selector);
    }

    function excludeContract(address excluded) internal {
        _excluded.push(excluded);
    }

    function targetSender(address sender) internal {
        _senders.push(sender);
    }

    function excludeSender(address sender) internal {
        _excludedSenders.push(sender);
    }

    function targetContracts() public view returns (address[] memory) {
        return _targets;
    }

    function targetSelectors() public view returns (FuzzSelector[] memory) {
        return _selectors;
    }

    function excludeContracts() public view returns (address[] memory) {
        return _excluded;
    }

    function targetSenders() public view returns (address[] memory) {
        return _senders;
    }

    function excludeSenders() public view returns (address[] memory) {
        return _excludedSenders;
    }
}
