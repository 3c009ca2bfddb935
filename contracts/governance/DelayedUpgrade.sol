// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Protocol} from "../libraries/Protocol.sol";
import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";

/// @title Base of every upgradeable contract: an upgrade is announced, waits longer than any exit, and then may run.
/// @notice The wait is a constant of the running implementation and the timelock an immutable of it, so no sequence of
/// admin calls shortens it: whoever disagrees has left before new code runs. An announcement that nobody executes
/// lapses, so that none stays loaded for ever.
/// @dev Behind an ERC-1967 proxy. State by ERC-7201; the inheriting contract keeps its own in its own namespace.
abstract contract DelayedUpgrade is Initializable, UUPSUpgradeable {
    /// @notice The one announced upgrade.
    struct Announcement {
        address implementation; // 160  0 = none
        uint40 readyAt; //          40  from when it may be executed, for UPGRADE_WINDOW
        bytes32 codehash; //       256  of the code that may be executed
    }

    // keccak256(abi.encode(uint256(keccak256("blackhole.DelayedUpgrade")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE = 0xd4abd5635252b2382ec32501c20ee745d9c54077ebf5c08f4e92a29260a45d00;

    // Bytes of code of a delegating key's account: 0xef0100 and an address. No implementation is that small.
    uint256 private constant DELEGATION = 23;

    address private immutable _admin;

    /// @notice The upgrade to `implementation` with this code hash may be executed from `readyAt` on.
    event UpgradeAnnounced(address indexed implementation, bytes32 codehash, uint40 readyAt);
    /// @notice The announced upgrade was withdrawn.
    event UpgradeCancelled(address indexed implementation);

    /// @notice Only the timelock announces, cancels and executes upgrades.
    error NotUpgradeAdmin(address caller);
    /// @notice The timelock must not be the zero address, an announced code hash not that of an empty account, and an
    /// implementation no key's account with delegated code (EIP-7702): the key could exchange that code at once.
    error InvalidUpgrade();
    /// @notice This implementation is not the announced one.
    error UpgradeNotAnnounced(address implementation);
    /// @notice The upgrade may be executed from `readyAt` on.
    error UpgradeNotReady(uint40 readyAt);
    /// @notice The announcement lapsed at `lapsedAt`: announce again.
    error UpgradeLapsed(uint256 lapsedAt);
    /// @notice The implementation's code is not the announced code.
    error UpgradeCodeChanged(bytes32 announced, bytes32 found);

    /// @param admin the timelock, for the life of this implementation
    constructor(address admin) {
        if (admin == address(0)) revert InvalidUpgrade();
        _admin = admin;
        _disableInitializers();
    }

    /// @notice Announces the upgrade to `implementation`, whose code must hash to `codehash` when it is executed. It
    /// replaces an earlier announcement and starts its own wait.
    /// @dev The timelock. Reverts NotUpgradeAdmin, InvalidUpgrade.
    function announceUpgrade(address implementation, bytes32 codehash) external onlyProxy {
        _requireAdmin();
        // The hash of an account without code would let anything pass that is deployed and gone again.
        if (implementation == address(0) || codehash == 0 || codehash == keccak256("")) revert InvalidUpgrade();
        uint40 readyAt = uint40(block.timestamp + upgradeDelay());
        Announcement storage announced = _announcement();
        announced.implementation = implementation;
        announced.readyAt = readyAt;
        announced.codehash = codehash;
        emit UpgradeAnnounced(implementation, codehash, readyAt);
    }

    /// @notice Withdraws the announcement.
    /// @dev The timelock. Reverts NotUpgradeAdmin, UpgradeNotAnnounced.
    function cancelUpgrade() external onlyProxy {
        _requireAdmin();
        address implementation = _announcement().implementation;
        if (implementation == address(0)) revert UpgradeNotAnnounced(address(0));
        _clear();
        emit UpgradeCancelled(implementation);
    }

    /// @notice What is announced; all zero when nothing is.
    function announcedUpgrade() external view returns (Announcement memory) {
        return _announcement();
    }

    /// @notice The timelock: who announces and executes upgrades.
    function upgradeAdmin() public view returns (address) {
        return _admin;
    }

    /// @notice Seconds between announcement and execution: EXIT + 7 days.
    function upgradeDelay() public pure returns (uint256) {
        return Protocol.UPGRADE_DELAY;
    }

    /// @dev Called by upgradeToAndCall. Clears the announcement first: it is good for one execution.
    function _authorizeUpgrade(address implementation) internal override {
        _requireAdmin();
        Announcement memory announced = _announcement();
        if (implementation == address(0) || implementation != announced.implementation) {
            revert UpgradeNotAnnounced(implementation);
        }
        if (block.timestamp < announced.readyAt) revert UpgradeNotReady(announced.readyAt);
        uint256 lapsesAt = announced.readyAt + Protocol.UPGRADE_WINDOW;
        if (block.timestamp >= lapsesAt) revert UpgradeLapsed(lapsesAt);
        if (implementation.codehash != announced.codehash) {
            revert UpgradeCodeChanged(announced.codehash, implementation.codehash);
        }
        if (implementation.code.length == DELEGATION) revert InvalidUpgrade();
        _clear();
    }

    function _requireAdmin() private view {
        if (msg.sender != _admin) revert NotUpgradeAdmin(msg.sender);
    }

    function _clear() private {
        Announcement storage announced = _announcement();
        announced.implementation = address(0);
        announced.readyAt = 0;
        announced.codehash = 0;
    }

    function _announcement() private pure returns (Announcement storage announced) {
        bytes32 slot = STORAGE;
        assembly ("memory-safe") {
            announced.slot := slot
        }
    }
}
