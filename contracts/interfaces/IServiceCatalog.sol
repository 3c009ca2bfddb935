// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The services of the market: one row an id.
/// @notice UUPS. Parameters only; their bounds are constants of the implementation, so no vote can pass them. Live
/// agreements keep the collateral they were opened with; the shares of a fault hold for all from the change on.
interface IServiceCatalog {
    /// @dev Two slots.
    /// @param verifier The one contract that may reserve stake and report faults of this id; written once.
    /// @param faultBps Share of a node's reserve taken at misses 3, 6 and 9, in bps; at most FAULT_BPS_MAX.
    /// @param bountyBps Reporter's share of a slash, in bps; at most CLAIM_BOUNTY_BPS_MAX (faults: FAULT_BOUNTY_BPS_MAX).
    /// @param samples Leaves sampled a node and period, 1 to SAMPLES_MAX; counts from the next undrawn period.
    /// @param flags 1 open to new deals, 2 retired.
    /// @param closedUntil Entries are closed before this time (seconds); set by the Guardian.
    /// @param minBond Active stake a node needs to take a deal, in wei.
    /// @param collateralPerLeaf Stake reserved for each leaf (1 KiB), in wei; copied into each agreement.
    struct Service {
        address verifier;
        uint16 faultBps;
        uint16 bountyBps;
        uint16 samples;
        uint8 flags;
        uint40 closedUntil;
        uint96 minBond;
        uint64 collateralPerLeaf;
    }

    /// @notice A row was written; `row` is what is stored now.
    event ServiceSet(uint16 indexed id, address indexed verifier, Service row);
    /// @notice The Guardian closed new entries of a service until that time.
    event EntriesClosed(uint16 indexed id, uint40 until);
    /// @notice Another Guardian may close entries from now on.
    event GuardianSet(address indexed guardian);

    /// @notice Only the Timelock may call this.
    error NotTimelock(address caller);
    /// @notice Only the Guardian may call this.
    error NotGuardian(address caller);
    /// @notice The id is 0 (which names no service) or has no row yet.
    error UnknownService(uint16 id);
    /// @notice A verifier is written once: a new verifier is a new id.
    error VerifierIsFixed(uint16 id, address verifier);
    /// @notice A field is beyond the bound the implementation sets; `field` is its name.
    error OutOfBounds(bytes32 field, uint256 value, uint256 bound);
    /// @notice Entries close for at most CLOSE_MAX, and into the future.
    error InvalidClosing(uint40 until, uint256 latest);
    /// @notice Entries of a service close once in CLOSE_INTERVAL; the next time from `allowedAt` (seconds).
    error ClosedTooSoon(uint16 id, uint256 allowedAt);

    /// @notice The row of a service; all zero if there is none.
    function service(uint16 id) external view returns (Service memory);

    /// @notice The verifier of a service, 0 if there is none: what the vault asks for.
    function verifierOf(uint16 id) external view returns (address);

    /// @notice Whether new deals of this service may start now: open, not retired, not closed by the Guardian.
    function isOpen(uint16 id) external view returns (bool);

    /// @notice Who may close entries.
    function guardian() external view returns (address);

    /// @notice When the entries of a service were closed last (seconds), 0 if never.
    function lastClosedAt(uint16 id) external view returns (uint40);

    /// @notice Writes a row. Only the Timelock.
    /// @dev The verifier cannot change once written. `row.closedUntil` may only shorten a closing of the Guardian:
    /// a later value than the stored one keeps the stored one. Live agreements keep their `collateralPerLeaf`.
    /// Reverts NotTimelock, UnknownService (id 0), VerifierIsFixed, OutOfBounds.
    function setService(uint16 id, Service calldata row) external;

    /// @notice Closes new deals of a service until a time at most CLOSE_MAX away, once in CLOSE_INTERVAL. Only the
    /// Guardian. Closes entries only: proofs, settlement, exits and claims go on.
    /// @param until Seconds.
    /// @dev Reverts NotGuardian, UnknownService, InvalidClosing, ClosedTooSoon.
    function closeEntries(uint16 id, uint40 until) external;

    /// @notice Names another Guardian; 0 for none. Only the Timelock. Reverts NotTimelock.
    function setGuardian(address guardian_) external;
}
