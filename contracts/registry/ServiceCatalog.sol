// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {DelayedUpgrade} from "../governance/DelayedUpgrade.sol";
import {IServiceCatalog} from "../interfaces/IServiceCatalog.sol";
import {Protocol} from "../libraries/Protocol.sol";

/// @title One row a service. See {IServiceCatalog} for what each call requires.
contract ServiceCatalog is IServiceCatalog, DelayedUpgrade {
    uint8 private constant OPEN = 1;
    uint8 private constant RETIRED = 2;

    /// @notice Writes rows and names the Guardian.
    address public immutable timelock;

    /// @custom:storage-location erc7201:blackhole.storage.ServiceCatalog
    struct CatalogStorage {
        mapping(uint16 id => Service) services;
        mapping(uint16 id => uint40) lastClosedAt;
        address guardian;
    }

    // keccak256(abi.encode(uint256(keccak256("blackhole.storage.ServiceCatalog")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE_SLOT = 0x553d039c628a63b9970db510de3c22d83461e622c2d45cb47e4dad91001ca600;

    constructor(address timelock_) DelayedUpgrade(timelock_) {
        timelock = timelock_;
    }

    /// @notice Names the first Guardian, 0 for none. Once, by the deployment.
    function initialize(address guardian_) external initializer {
        _setGuardian(guardian_);
    }

    modifier onlyTimelock() {
        if (msg.sender != timelock) revert NotTimelock(msg.sender);
        _;
    }

    /// @inheritdoc IServiceCatalog
    function setService(uint16 id, Service calldata row) external onlyTimelock {
        if (id == 0) revert UnknownService(id);
        if (row.verifier == address(0)) revert OutOfBounds("verifier", 0, 1);
        _bound("faultBps", row.faultBps, Protocol.FAULT_BPS_MAX);
        _bound("bountyBps", row.bountyBps, Protocol.CLAIM_BOUNTY_BPS_MAX);
        _bound("samples", row.samples, Protocol.SAMPLES_MAX);
        if (row.samples == 0) revert OutOfBounds("samples", 0, 1);
        _bound("flags", row.flags, OPEN | RETIRED);
        _bound("minBond", row.minBond, Protocol.MIN_BOND_MAX);
        Service storage stored = _storage().services[id];
        address verifier = stored.verifier;
        if (verifier != address(0) && verifier != row.verifier) revert VerifierIsFixed(id, verifier);
        // The Timelock may end a closing early; only the Guardian starts or lengthens one.
        uint40 closedUntil = stored.closedUntil;
        if (row.closedUntil < closedUntil) closedUntil = row.closedUntil;
        _storage().services[id] = row;
        stored.closedUntil = closedUntil;
        emit ServiceSet(id, row.verifier, stored);
    }

    /// @inheritdoc IServiceCatalog
    function closeEntries(uint16 id, uint40 until) external {
        CatalogStorage storage $ = _storage();
        if (msg.sender != $.guardian) revert NotGuardian(msg.sender);
        if ($.services[id].verifier == address(0)) revert UnknownService(id);
        uint256 latest = block.timestamp + Protocol.CLOSE_MAX;
        if (until <= block.timestamp || until > latest) revert InvalidClosing(until, latest);
        uint40 last = $.lastClosedAt[id];
        uint256 allowedAt = last + Protocol.CLOSE_INTERVAL;
        if (last != 0 && block.timestamp < allowedAt) revert ClosedTooSoon(id, allowedAt);
        $.lastClosedAt[id] = uint40(block.timestamp);
        $.services[id].closedUntil = until;
        emit EntriesClosed(id, until);
    }

    /// @inheritdoc IServiceCatalog
    function setGuardian(address guardian_) external onlyTimelock {
        _setGuardian(guardian_);
    }

    /// @inheritdoc IServiceCatalog
    function service(uint16 id) external view returns (Service memory) {
        return _storage().services[id];
    }

    /// @inheritdoc IServiceCatalog
    function verifierOf(uint16 id) external view returns (address) {
        return _storage().services[id].verifier;
    }

    /// @inheritdoc IServiceCatalog
    function isOpen(uint16 id) external view returns (bool) {
        Service storage row = _storage().services[id];
        return row.flags == OPEN && block.timestamp >= row.closedUntil;
    }

    /// @inheritdoc IServiceCatalog
    function guardian() external view returns (address) {
        return _storage().guardian;
    }

    /// @inheritdoc IServiceCatalog
    function lastClosedAt(uint16 id) external view returns (uint40) {
        return _storage().lastClosedAt[id];
    }

    function _setGuardian(address guardian_) private {
        _storage().guardian = guardian_;
        emit GuardianSet(guardian_);
    }

    function _bound(bytes32 field, uint256 value, uint256 bound) private pure {
        if (value > bound) revert OutOfBounds(field, value, bound);
    }

    function _storage() private pure returns (CatalogStorage storage $) {
        assembly ("memory-safe") {
            $.slot := STORAGE_SLOT
        }
    }
}
