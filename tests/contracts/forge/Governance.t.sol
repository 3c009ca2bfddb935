// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {DelayedUpgrade} from "../../../contracts/governance/DelayedUpgrade.sol";
import {Deployer} from "../../../contracts/governance/Deployer.sol";
import {Timelock} from "../../../contracts/governance/Timelock.sol";
import {Test} from "./Test.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";

contract Versioned is DelayedUpgrade {
    uint256 public immutable version;
    uint256 public count;

    constructor(address admin, uint256 version_) DelayedUpgrade(admin) {
        version = version_;
    }

    function initialize(uint256 count_) external initializer {
        count = count_;
    }

    function migrate(uint256 count_) external reinitializer(2) {
        count = count_;
    }
}

contract DelayedUpgradeTest is Test {
    uint256 private constant START = 1_800_000_000;
    uint256 private constant DELAY = 28 days;

    address private timelock = makeAddr("timelock");
    address private stranger = makeAddr("stranger");
    Versioned private proxy;
    Versioned private next;

    function setUp() public {
        vm.warp(START);
        Versioned first = new Versioned(timelock, 1);
        next = new Versioned(timelock, 2);
        proxy = Versioned(address(new ERC1967Proxy(address(first), abi.encodeCall(Versioned.initialize, (5)))));
    }

    function _announce() private {
        vm.prank(timelock);
        proxy.announceUpgrade(address(next), address(next).codehash);
    }

    function _execute() private {
        vm.prank(timelock);
        proxy.upgradeToAndCall(address(next), "");
    }

    function test_announcedUpgradeRunsAfterTheDelay() public {
        vm.expectEmit(address(proxy));
        emit DelayedUpgrade.UpgradeAnnounced(address(next), address(next).codehash, uint40(START + DELAY));
        _announce();
        DelayedUpgrade.Announcement memory a = proxy.announcedUpgrade();
        assertEq(a.implementation, address(next));
        assertEq(a.readyAt, START + DELAY);
        assertEq(a.codehash, address(next).codehash);
        vm.warp(START + DELAY - 1);
        vm.prank(timelock);
        vm.expectRevert(abi.encodeWithSelector(DelayedUpgrade.UpgradeNotReady.selector, START + DELAY));
        proxy.upgradeToAndCall(address(next), "");
        vm.warp(START + DELAY);
        vm.prank(timelock);
        proxy.upgradeToAndCall(address(next), abi.encodeCall(Versioned.migrate, (9)));
        assertEq(proxy.version(), 2);
        assertEq(proxy.count(), 9);
        assertEq(proxy.announcedUpgrade().implementation, address(0));
    }

    function test_delayIsExitAndAWeek() public view {
        assertEq(proxy.upgradeDelay(), DELAY);
        assertEq(proxy.upgradeAdmin(), timelock);
    }

    function test_unannouncedUpgradeIsRefused() public {
        vm.prank(timelock);
        vm.expectRevert(abi.encodeWithSelector(DelayedUpgrade.UpgradeNotAnnounced.selector, address(next)));
        proxy.upgradeToAndCall(address(next), "");
    }

    function test_announcementIsGoodForOneExecution() public {
        _announce();
        vm.warp(START + DELAY);
        _execute();
        vm.prank(timelock);
        vm.expectRevert(abi.encodeWithSelector(DelayedUpgrade.UpgradeNotAnnounced.selector, address(next)));
        proxy.upgradeToAndCall(address(next), "");
    }

    function test_announcingAgainStartsTheWaitAgain() public {
        _announce();
        vm.warp(START + DELAY - 1);
        _announce();
        vm.warp(START + DELAY);
        vm.prank(timelock);
        vm.expectRevert(abi.encodeWithSelector(DelayedUpgrade.UpgradeNotReady.selector, START + 2 * DELAY - 1));
        proxy.upgradeToAndCall(address(next), "");
    }

    function test_announcementLapses() public {
        _announce();
        vm.warp(START + DELAY + 14 days);
        vm.prank(timelock);
        vm.expectRevert(abi.encodeWithSelector(DelayedUpgrade.UpgradeLapsed.selector, START + DELAY + 14 days));
        proxy.upgradeToAndCall(address(next), "");
        vm.warp(START + DELAY + 14 days - 1);
        _execute();
        assertEq(proxy.version(), 2);
    }

    function test_cancelledUpgradeIsRefused() public {
        vm.prank(timelock);
        vm.expectRevert(abi.encodeWithSelector(DelayedUpgrade.UpgradeNotAnnounced.selector, address(0)));
        proxy.cancelUpgrade();
        _announce();
        vm.prank(timelock);
        vm.expectEmit(address(proxy));
        emit DelayedUpgrade.UpgradeCancelled(address(next));
        proxy.cancelUpgrade();
        vm.warp(START + DELAY);
        vm.prank(timelock);
        vm.expectRevert(abi.encodeWithSelector(DelayedUpgrade.UpgradeNotAnnounced.selector, address(next)));
        proxy.upgradeToAndCall(address(next), "");
    }

    function test_onlyTheTimelock() public {
        bytes memory refused = abi.encodeWithSelector(DelayedUpgrade.NotUpgradeAdmin.selector, stranger);
        bytes32 hash = address(next).codehash;
        vm.startPrank(stranger);
        vm.expectRevert(refused);
        proxy.announceUpgrade(address(next), hash);
        vm.expectRevert(refused);
        proxy.cancelUpgrade();
        vm.expectRevert(refused);
        proxy.upgradeToAndCall(address(next), "");
    }

    function test_announcementNeedsCode() public {
        vm.startPrank(timelock);
        vm.expectRevert(DelayedUpgrade.InvalidUpgrade.selector);
        proxy.announceUpgrade(address(0), bytes32(uint256(1)));
        vm.expectRevert(DelayedUpgrade.InvalidUpgrade.selector);
        proxy.announceUpgrade(address(next), 0);
        vm.expectRevert(DelayedUpgrade.InvalidUpgrade.selector);
        proxy.announceUpgrade(address(next), keccak256(""));
        vm.expectRevert(DelayedUpgrade.InvalidUpgrade.selector);
        new Versioned(address(0), 1);
    }

    function test_attack_codeChangedAfterTheAnnouncementIsRefused() public {
        _announce();
        bytes32 announced = address(next).codehash;
        Versioned other = new Versioned(timelock, 3);
        vm.etch(address(next), address(other).code);
        vm.warp(START + DELAY);
        vm.prank(timelock);
        vm.expectRevert(
            abi.encodeWithSelector(DelayedUpgrade.UpgradeCodeChanged.selector, announced, address(other).codehash)
        );
        proxy.upgradeToAndCall(address(next), "");
    }

    /// @dev A key's account whose code is a delegation (EIP-7702): its hash stays while what the key delegates to next runs
    /// behind the proxy without any announcement.
    function test_attack_aKeysDelegatedCodeIsNoImplementation() public {
        address key = makeAddr("key");
        vm.etch(key, abi.encodePacked(hex"ef0100", address(next)));
        vm.prank(timelock);
        proxy.announceUpgrade(key, key.codehash);
        vm.warp(START + DELAY);
        vm.prank(timelock);
        vm.expectRevert(DelayedUpgrade.InvalidUpgrade.selector);
        proxy.upgradeToAndCall(key, "");
    }

    function test_implementationItselfIsInert() public {
        vm.expectRevert();
        next.initialize(1);
        bytes32 hash = address(next).codehash;
        vm.startPrank(timelock);
        vm.expectRevert(UUPSUpgradeable.UUPSUnauthorizedCallContext.selector);
        next.announceUpgrade(address(next), hash);
    }

    function test_storageIsTheNamespacedSlot() public {
        _announce();
        bytes32 slot =
            keccak256(abi.encode(uint256(keccak256("blackhole.DelayedUpgrade")) - 1)) & ~bytes32(uint256(0xff));
        assertEq(uint256(vm.load(address(proxy), slot)), uint256(uint160(address(next))) | (START + DELAY) << 160);
    }
}

/// @dev Drives an upgradeable contract with every admin call in any order and remembers when what was announced.
contract UpgradeHandler is Test {
    address private immutable _timelock;
    Versioned public immutable proxy;
    Versioned[3] private _implementations;
    mapping(address => uint256) public announcedAt;
    bool public violated;
    uint256 public upgrades;

    constructor(Versioned proxy_, address timelock) {
        proxy = proxy_;
        _timelock = timelock;
        for (uint256 i; i < 3; ++i) {
            _implementations[i] = new Versioned(timelock, i + 2);
        }
    }

    function announce(uint256 which) external {
        address implementation = address(_implementations[which % 3]);
        vm.prank(_timelock);
        proxy.announceUpgrade(implementation, implementation.codehash);
        announcedAt[implementation] = vm.getBlockTimestamp();
    }

    function cancel() external {
        vm.prank(_timelock);
        proxy.cancelUpgrade();
    }

    function wait_(uint256 time) external {
        skip(bound(time, 0, 30 days));
    }

    function execute(uint256 which) external {
        address implementation = address(_implementations[which % 3]);
        vm.prank(_timelock);
        proxy.upgradeToAndCall(implementation, "");
        ++upgrades;
        uint256 announced = announcedAt[implementation];
        if (announced == 0 || vm.getBlockTimestamp() < announced + 28 days) violated = true;
    }
}

contract DelayedUpgradeInvariants is Test {
    UpgradeHandler private handler;

    function setUp() public {
        vm.warp(1_800_000_000);
        address timelock = makeAddr("timelock");
        Versioned first = new Versioned(timelock, 1);
        Versioned proxy =
            Versioned(address(new ERC1967Proxy(address(first), abi.encodeCall(Versioned.initialize, (5)))));
        handler = new UpgradeHandler(proxy, timelock);
        bytes4[] memory selectors = new bytes4[](4);
        selectors[0] = UpgradeHandler.announce.selector;
        selectors[1] = UpgradeHandler.cancel.selector;
        selectors[2] = UpgradeHandler.wait_.selector;
        selectors[3] = UpgradeHandler.execute.selector;
        targetContract(address(handler));
        targetSelector(FuzzSelector(address(handler), selectors));
    }

    /// Statement 18.
    function invariant_noUpgradeRunsWithinTheDelay() public view {
        assertFalse(handler.violated());
        assertEq(handler.proxy().count(), 5);
    }
}

contract TimelockTest is Test {
    Timelock private timelock;
    address private proposer = makeAddr("proposer");

    function setUp() public {
        vm.warp(1_800_000_000);
        address[] memory proposers = new address[](1);
        proposers[0] = proposer;
        timelock = new Timelock(2 days, proposers, new address[](1)); // anyone executes
    }

    function _operate(bytes memory call) private {
        uint256 delay = timelock.getMinDelay();
        vm.prank(proposer);
        timelock.schedule(address(timelock), 0, call, 0, 0, delay);
        skip(delay);
        timelock.execute(address(timelock), 0, call, 0, 0);
    }

    function operate(bytes calldata call) external {
        _operate(call);
    }

    function test_delayGrowsAndReturnsToTheFloorOnly() public {
        assertEq(timelock.floor(), 2 days);
        _operate(abi.encodeCall(timelock.updateDelay, (9 days)));
        assertEq(timelock.getMinDelay(), 9 days);
        _operate(abi.encodeCall(timelock.updateDelay, (2 days)));
        vm.expectRevert(abi.encodeWithSelector(Timelock.DelayBelowFloor.selector, 2 days - 1, 2 days));
        this.operate(abi.encodeCall(timelock.updateDelay, (2 days - 1)));
    }

    function test_onlyTheTimelockAdministersItself() public {
        vm.expectRevert(abi.encodeWithSelector(TimelockController.TimelockUnauthorizedCaller.selector, address(this)));
        timelock.updateDelay(3 days);
        assertTrue(timelock.hasRole(timelock.DEFAULT_ADMIN_ROLE(), address(timelock)));
        assertFalse(timelock.hasRole(timelock.DEFAULT_ADMIN_ROLE(), address(this)));
    }

    function test_aGovernorJoinsByAScheduledCall() public {
        address governor = makeAddr("governor");
        bytes32 role = timelock.PROPOSER_ROLE();
        _operate(abi.encodeCall(timelock.grantRole, (role, governor)));
        assertTrue(timelock.hasRole(role, governor));
    }
}

contract Child {
    uint256 public immutable value;
    address public immutable creator;

    constructor(uint256 value_) payable {
        if (value_ == 0) revert("zero");
        value = value_;
        creator = msg.sender;
    }
}

contract DeployerTest is Test {
    Deployer private deployer = new Deployer();
    address private alice = makeAddr("alice");
    address private bob = makeAddr("bob");

    function _code(uint256 value) private pure returns (bytes memory) {
        return abi.encodePacked(type(Child).creationCode, abi.encode(value));
    }

    function test_addressDependsOnSenderAndSaltNotOnCode() public {
        address foreseen = deployer.addressOf(alice, "salt");
        uint256 id = vm.snapshotState();
        vm.prank(alice);
        vm.expectEmit(address(deployer));
        emit Deployer.Deployed(alice, "salt", foreseen);
        assertEq(deployer.deploy("salt", _code(1)), foreseen);
        assertEq(Child(foreseen).value(), 1);
        vm.revertToState(id);
        vm.prank(alice);
        assertEq(deployer.deploy("salt", _code(2)), foreseen);
        assertEq(Child(foreseen).value(), 2);
    }

    function test_attack_nobodyTakesAnothersAddress() public {
        address foreseen = deployer.addressOf(alice, "salt");
        vm.prank(bob);
        address taken = deployer.deploy("salt", _code(1));
        assertNotEq(taken, foreseen);
        assertEq(foreseen.code.length, 0);
    }

    function test_aSaltIsUsedOnce() public {
        vm.startPrank(alice);
        address first = deployer.deploy("salt", _code(1));
        vm.expectRevert(abi.encodeWithSelector(Deployer.AlreadyDeployed.selector, first));
        deployer.deploy("salt", _code(1));
        assertNotEq(deployer.deploy("other", _code(1)), first);
    }

    function test_failedConstructorLeavesTheSaltFree() public {
        vm.startPrank(alice);
        vm.expectRevert(bytes("zero"));
        this.tryDeploy(_code(0));
        vm.stopPrank();
        assertEq(this.tryDeploy(_code(3)), deployer.addressOf(address(this), "salt"));
    }

    function tryDeploy(bytes calldata code) external returns (address) {
        return deployer.deploy("salt", code);
    }

    function test_valueReachesTheConstructor() public {
        vm.deal(alice, 5);
        vm.prank(alice);
        assertEq(deployer.deploy{value: 5}("salt", _code(1)).balance, 5);
    }
}
