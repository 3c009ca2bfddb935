// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The vault: HOLE that nodes put at risk, per (node, service).
/// @notice IMMUTABLE. Holds the stake. No pause, no owner, no parameter. It calls the token, reads the registry's owner
/// at the first bond and the catalog's verifier at a service's first reserve (a verifier is written once, and the vault
/// remembers it), and nobody else. Slashing is bounded here, not in the caller.
///
/// Always: balance >= sum of active + sum of exiting + sum of unpaid rounds.
///
/// Amounts are wei of HOLE, times are seconds.
interface IStakeManager {
    /// @dev Per (node, service), two slots.
    /// @param active Backs reserves; only this may be reserved or asked out.
    /// @param reserved What live agreements hold of `active`; above it only after a slash, and then nothing new is backed.
    /// @param reservedUntil The end the verifier named; UNRESERVE_DELAY later the staker frees the reserve himself.
    /// @param closed The staker takes no new reserves (setReservable).
    /// @param exiting The one exit bucket: asking again adds to it and restarts it.
    /// @param frozen Sum of open claims and unpaid awards; may exceed the stake.
    /// @param exitAt When the bucket may leave.
    struct Stake {
        uint96 active;
        uint96 reserved;
        uint40 reservedUntil;
        bool closed;
        uint96 exiting;
        uint96 frozen;
        uint40 exitAt;
    }

    /// @dev Per (node, service, round): the claims opened within ROUND of the first. The first touch of the stake at or
    /// after `since` + MAX_FREEZE settles it: min(awards, active + exiting) moves out into `stake`, exiting first, and
    /// the whole round is thawed. Each award is then paid award * stake / awards; both shrink with each payment, so the
    /// last one leaves no dust.
    /// @param awards Sum of awards not yet paid.
    /// @param stake Taken for them and not yet paid out.
    /// @param since When the first claim froze.
    /// @param settled Whether the stake has moved.
    /// @param held Sum of claims without an award, frozen until the round is settled.
    struct Round {
        uint96 awards;
        uint96 stake;
        uint40 since;
        bool settled;
        uint96 held;
    }

    enum HoldState {
        None,
        Frozen,
        Awarded,
        Paid,
        Lapsed
    }

    /// @dev Per claim.
    /// @param amount Frozen by this claim; after the award, the award.
    /// @param until Round's first freeze + MAX_FREEZE: no award from then on, the award is paid from then on.
    struct Hold {
        uint32 node;
        uint16 service;
        uint32 round;
        uint96 amount;
        uint40 until;
        HoldState state;
    }

    /// @dev Per claim, once awarded.
    struct Award {
        address victim;
        address reporter;
        uint16 bountyBps;
    }

    /// @notice Stake was added.
    event Bonded(uint32 indexed node, uint16 indexed service, address indexed staker, uint96 amount);
    /// @notice Stake was asked out; `exiting` is the whole bucket, which may leave at `exitAt`.
    event ExitRequested(uint32 indexed node, uint16 indexed service, uint96 amount, uint96 exiting, uint40 exitAt);
    /// @notice The exit bucket went back to active.
    event ExitCancelled(uint32 indexed node, uint16 indexed service, uint96 amount);
    /// @notice Stake left the vault.
    event Withdrawn(uint32 indexed node, uint16 indexed service, address indexed staker, address to, uint96 amount);
    /// @notice The staker offers his role; `to` = 0 takes the offer back.
    event StakerTransferStarted(uint32 indexed node, address indexed from, address indexed to);
    /// @notice The node's staker changed: from 0 at the first bond, to 0 when no stake is left.
    event StakerChanged(uint32 indexed node, address indexed from, address indexed to);
    /// @notice A reserve changed by `delta`; `reserved` and `until` are the values now.
    event Reserved(uint32 indexed node, uint16 indexed service, int256 delta, uint96 reserved, uint40 until);
    /// @notice The staker freed the reserve of a dead verifier.
    event Unreserved(uint32 indexed node, uint16 indexed service, uint96 amount);
    /// @notice The staker opened or closed the stake to new reserves.
    event ReservableSet(uint32 indexed node, uint16 indexed service, bool reservable);
    /// @notice A fault took stake: `taken` = burned + bounty + what the remedy got.
    event Faulted(
        uint32 indexed node,
        uint16 indexed service,
        address indexed remedy,
        uint96 taken,
        uint96 burned,
        uint96 bounty,
        address reporter
    );
    /// @notice A claim froze stake in a round until that time.
    event Frozen(
        uint256 indexed claim, uint32 indexed node, uint16 indexed service, uint32 round, uint96 amount, uint40 until
    );
    /// @notice A claim was awarded an amount, paid from the end of its round.
    event Awarded(uint256 indexed claim, uint96 amount, address victim, address reporter, uint16 bountyBps);
    /// @notice A round took its stake: `stake` of the `awards` booked.
    event RoundSettled(uint32 indexed node, uint16 indexed service, uint32 indexed round, uint96 awards, uint96 stake);
    /// @notice An award was paid: its share = burned + bounty + paid.
    event Paid(
        uint256 indexed claim,
        address indexed victim,
        uint96 share,
        uint96 burned,
        uint96 bounty,
        uint96 paid,
        address reporter
    );
    /// @notice A claim ended without an award.
    event Lapsed(uint256 indexed claim, uint96 amount);

    /// @notice The amount is zero.
    error ZeroAmount();
    /// @notice An address that must be somebody is zero.
    error ZeroAddress();
    /// @notice Only the node's staker may call this; before the first bond that is the node's owner.
    error NotStaker(uint32 node, address caller);
    /// @notice The caller is not the one the staker's role was offered to.
    error NotPendingStaker(uint32 node, address caller);
    /// @notice Only the service's verifier may call this.
    error NotVerifier(uint16 service, address caller);
    /// @notice Only the DisputeManager may call this.
    error NotDisputes(address caller);
    /// @notice Less is free (active, neither reserved nor frozen) than was asked.
    error InsufficientFreeStake(uint256 free, uint256 asked);
    /// @notice There is no exit under way.
    error NoExit();
    /// @notice The exit bucket may leave from `exitAt`.
    error ExitPending(uint40 exitAt);
    /// @notice Open claims and unpaid awards freeze the whole exit bucket.
    error ExitFrozen(uint96 frozen);
    /// @notice A reserve ends at most RESERVE_MAX ahead, and not in the past.
    error InvalidReserveEnd(uint40 until);
    /// @notice The staker takes no new reserves.
    error ReserveClosed(uint32 node, uint16 service);
    /// @notice The reserve may be freed by its staker from `freeableAt`.
    error ReserveLive(uint256 freeableAt);
    /// @notice A bounty is at most `max` bps here.
    error BountyTooHigh(uint16 bountyBps, uint256 max);
    /// @notice The claim's id was used before.
    error ClaimExists(uint256 claim);
    /// @notice The claim is not in the state this needs.
    error InvalidClaimState(uint256 claim, HoldState state);
    /// @notice An award is at most what the claim froze.
    error AwardTooHigh(uint96 award, uint96 amount);
    /// @notice The round is over: no award any more.
    error RoundOver(uint40 until);
    /// @notice The round is still open: payable, or for anyone to lapse, from `until`.
    error RoundOpen(uint40 until);
    /// @notice Votes are known for the past only.
    error FutureLookup(uint256 timepoint, uint48 clock);

    // ------------------------------------------------------------------------------------------------ stakers

    /// @notice Who bonds, exits and withdraws for a node: the owner at the first bond, cleared when no stake is left.
    function stakerOf(uint32 node) external view returns (address);

    /// @notice Whom the staker's role is offered to, 0 for nobody.
    function pendingStakerOf(uint32 node) external view returns (address);

    /// @notice All stake of a node, active and exiting over all services.
    function bondOf(uint32 node) external view returns (uint96);

    /// @notice Offers the staker's role to another, who accepts with acceptStaker; 0 takes the offer back. Staker only.
    /// @dev Reverts NotStaker.
    function transferStaker(uint32 node, address to) external;

    /// @notice Takes over an offered staker's role, with all stake and its votes. The one it was offered to.
    /// @dev Reverts NotPendingStaker.
    function acceptStaker(uint32 node) external;

    /// @notice Adds `amount` wei to the active stake, from the caller's tokens under his token allowance. The staker; at
    /// the first bond of a node its owner, who becomes the staker. Only adds: moves no timer.
    /// @dev Reverts ZeroAmount, NotStaker, and as the token does.
    function bond(uint32 node, uint16 service, uint96 amount) external;

    /// @notice Moves free active stake into the exit bucket and restarts it: all of it may leave EXIT from now. Staker.
    /// @dev Reverts ZeroAmount, NotStaker, InsufficientFreeStake (amount > active - reserved - frozen).
    function requestExit(uint32 node, uint16 service, uint96 amount) external;

    /// @notice Moves the whole exit bucket back to active. Staker.
    /// @dev Reverts NotStaker, NoExit.
    function cancelExit(uint32 node, uint16 service) external;

    /// @notice Sends the matured exit bucket to `to`, leaving only what open claims and unpaid awards freeze. Staker.
    /// @return amount Wei sent.
    /// @dev Reverts ZeroAddress, NotStaker, NoExit, ExitPending, ExitFrozen.
    function withdraw(uint32 node, uint16 service, address to) external returns (uint96 amount);

    /// @notice Frees a reserve whose verifier has not: from reservedUntil + UNRESERVE_DELAY. Staker. What the verifier
    /// gives back afterwards counts against this first, so it lowers no later reserve.
    /// @dev Reverts NotStaker, ZeroAmount (nothing reserved), ReserveLive.
    function unreserve(uint32 node, uint16 service) external;

    /// @notice Closes (false) or opens (true) the stake to new or longer reserves, whatever the verifier or the node's
    /// hot signer do; live ones run to their end. So no verifier can hold a reserve for ever. Staker.
    /// @dev Reverts NotStaker.
    function setReservable(uint32 node, uint16 service, bool reservable) external;

    // ----------------------------------------------------------------------------------------------- verifiers

    /// @notice Changes what agreements of a service reserve of a node's active stake. The service's verifier.
    /// @param delta Wei: more, less (never below 0), or 0 to move the end only.
    /// @param until The end this reserve names; the later of it and the one stored counts. Ignored if delta < 0.
    /// @dev Reverts NotVerifier, InvalidReserveEnd (past, or more than RESERVE_MAX ahead), ReserveClosed,
    /// InsufficientFreeStake (reserved + delta + frozen > active: after a slash not even the end moves until the staker has
    /// topped up). A lower reserve never reverts.
    function reserve(uint32 node, uint16 service, int128 delta, uint40 until) external;

    // ------------------------------------------------------------------------------------------------ disputes

    /// @notice Takes min(amount, reserved, active) for an objective fault: burns BURN_BPS, pays the bounty to the
    /// reporter (none if 0) and the rest to the remedy. Lowers active only; the reserve falls when its agreements close.
    /// DisputeManager.
    /// @return taken Wei taken, 0 if there is nothing.
    /// @dev Reverts NotDisputes, BountyTooHigh (> FAULT_BOUNTY_BPS_MAX), ZeroAddress (remedy).
    function fault(uint32 node, uint16 service, uint96 amount, uint16 bountyBps, address reporter, address remedy)
        external
        returns (uint96 taken);

    /// @notice Freezes stake for a claim, in the round under way or, ROUND after that one's first, in a new one.
    /// DisputeManager. Ids are used once.
    /// @dev Reverts NotDisputes, ZeroAmount, ClaimExists.
    function freeze(uint256 claim, uint32 node, uint16 service, uint96 amount) external;

    /// @notice Books an award into the claim's round and thaws what was claimed beyond it. DisputeManager, before the
    /// round ends.
    /// @dev Reverts NotDisputes, ZeroAmount, ZeroAddress (victim), BountyTooHigh (> CLAIM_BOUNTY_BPS_MAX),
    /// InvalidClaimState (not frozen), RoundOver, AwardTooHigh.
    function award(uint256 claim, uint96 amount, uint16 bountyBps, address victim, address reporter) external;

    /// @notice Pays an award from the end of its round, pro rata when the round's awards exceed the stake: burns
    /// BURN_BPS, pays the bounty and the rest to the victim. Anyone.
    /// @return paid Wei the victim got.
    /// @dev Reverts InvalidClaimState (not awarded), RoundOpen.
    function pay(uint256 claim) external returns (uint96 paid);

    /// @notice Ends a claim without award: the DisputeManager any time, anyone from the end of its round (by then its
    /// stake is free with or without this call).
    /// @dev Reverts InvalidClaimState (not frozen), RoundOpen.
    function lapse(uint256 claim) external;

    // --------------------------------------------------------------------------------------------------- views

    /// @notice The stake as it would be if touched now, rounds that are over settled.
    function stakeOf(uint32 node, uint16 service) external view returns (Stake memory);

    /// @notice Active stake neither reserved nor frozen: what a reserve or an exit can take now.
    function freeOf(uint32 node, uint16 service) external view returns (uint96);

    /// @notice What `unreserve` freed and the verifier has not given back yet.
    function unreservedOf(uint32 node, uint16 service) external view returns (uint96);

    /// @notice The service's verifier as the vault remembers it from the first reserve; 0 before.
    function verifierOf(uint16 service) external view returns (address);

    /// @notice The number of the last round (they count from 1), and how many are settled.
    function roundsOf(uint32 node, uint16 service) external view returns (uint32 last, uint32 settled);

    /// @notice A round as stored.
    function roundOf(uint32 node, uint16 service, uint32 round) external view returns (Round memory);

    /// @notice What a claim holds.
    function holdOf(uint256 claim) external view returns (Hold memory);

    /// @notice To whom an award goes.
    function awardOf(uint256 claim) external view returns (Award memory);

    /// @notice The time votes are counted in: seconds (ERC-6372).
    function clock() external view returns (uint48);

    /// @notice "mode=timestamp" (ERC-6372).
    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() external view returns (string memory);

    /// @notice Active + exiting stake of all nodes of a staker now.
    function getBond(address staker) external view returns (uint256);

    /// @notice The same at a past time: what VotingPower counts.
    /// @dev Reverts FutureLookup unless timepoint < clock().
    function getPastBond(address staker, uint256 timepoint) external view returns (uint256);
}
