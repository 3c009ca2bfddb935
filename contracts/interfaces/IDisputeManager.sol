// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The two doors to slashing: faults (objective, no judge) and claims (bonded, optimistic, then one arbitrator).
/// @notice UUPS. It can only ask: how much a fault or an award takes, when a freeze ends and what is burned are bounded
/// by the vault; whose bond goes to whom by the hub's locks.
///
/// A claim: open (freezes stake, bond) → conceded, or silent for CONTEST: awarded in full · contested with the same
/// bond → ruled within RULING, or lapsed. Each side loses its bond by the share it was wrong: the claimant for what was
/// claimed and not awarded, the contester for what was awarded.
interface IDisputeManager {
    enum State {
        None,
        Open,
        Contested,
        Awarded,
        Rejected,
        Lapsed
    }

    /// @dev Four slots.
    /// @param claimant The payer of the receipt; gets the award.
    /// @param amount Claimed, wei.
    /// @param node Whose stake is claimed.
    /// @param service In which service.
    /// @param deadline Open: to contest; Contested: to rule; both inclusive, seconds.
    /// @param bond Wei, the same from both sides.
    /// @param subject keccak256(abi.encode(source, receipt)); one claim a subject, ever.
    /// @param arbitrator Who rules on this claim: the arbitrator when it was opened.
    /// @param award Wei booked in the vault.
    struct Claim {
        address claimant;
        uint96 amount;
        uint32 node;
        uint16 service;
        State state;
        uint40 deadline;
        uint96 bond;
        bytes32 subject;
        address arbitrator;
        uint96 award;
    }

    /// @notice A claim was opened and its stake frozen; `evidence` is a digest of what the claimant publishes.
    event ClaimOpened(
        uint256 indexed claim,
        address indexed claimant,
        uint32 indexed node,
        uint16 service,
        address source,
        bytes32 receipt,
        uint96 amount,
        uint96 bond,
        uint40 deadline,
        bytes32 evidence
    );
    /// @notice The staker admitted a claim.
    event ClaimConceded(uint256 indexed claim, address indexed staker);
    /// @notice A claim was contested; the arbitrator rules until `deadline`.
    event ClaimContested(uint256 indexed claim, address indexed contester, bytes32 evidence, uint40 deadline);
    /// @notice The arbitrator ruled; `reasons` is a digest of what he publishes.
    event ClaimRuled(uint256 indexed claim, address indexed arbitrator, uint96 award, bytes32 reasons);
    /// @notice A claim ended.
    event ClaimClosed(uint256 indexed claim, State state, uint96 award);
    /// @notice Claims opened from now on are ruled by another arbitrator.
    event ArbitratorSet(address indexed arbitrator);

    /// @notice Only the Timelock may call this.
    error NotTimelock(address caller);
    /// @notice Only the service's verifier may report its faults, or be the source of a claim.
    error NotVerifier(uint16 service, address caller);
    /// @notice Only the receipt's payer may claim on it.
    error NotReceiptPayer(bytes32 receipt, address caller);
    /// @notice Only the node's staker may concede.
    error NotStaker(uint32 node, address caller);
    /// @notice Only the claim's arbitrator may rule.
    error NotArbitrator(uint256 claim, address caller);
    /// @notice The arbitrator does not rule for this contract.
    error InvalidArbitrator(address arbitrator);
    /// @notice Only receipts of the HOLE hub back claims.
    error WrongHub(address hub);
    /// @notice The node has no stake.
    error NoStake(uint32 node);
    /// @notice The amount is zero.
    error ZeroAmount();
    /// @notice A claim is at most what was settled on its receipt.
    error AmountAboveSettled(uint96 amount, uint96 settled);
    /// @notice There was a claim on this receipt already.
    error AlreadyClaimed(bytes32 subject, uint256 claim);
    /// @notice The claim is not in the state this needs.
    error InvalidState(uint256 claim, State state);
    /// @notice Too late: the deadline has passed.
    error DeadlinePassed(uint40 deadline);
    /// @notice Too early: the deadline has not passed.
    error DeadlinePending(uint40 deadline);
    /// @notice An award is at most the claim.
    error AwardAboveClaim(uint96 award, uint96 amount);

    // -------------------------------------------------------------------------------------------------- faults

    /// @notice Takes up to `amount` wei of what the node has reserved in the service, with the catalog's bounty (at most
    /// FAULT_BOUNTY_BPS_MAX) to the reporter and the rest, less what is burned, to the remedy. The service's verifier.
    /// @return taken Wei the vault took; 0 if there was nothing.
    /// @dev Reverts NotVerifier, and as the vault does if remedy is 0.
    function fault(uint32 node, uint16 service, uint96 amount, address reporter, address remedy)
        external
        returns (uint96 taken);

    // -------------------------------------------------------------------------------------------------- claims

    /// @notice Claims `amount` wei of a node's stake for a receipt, freezes it in the vault, and locks the claimant's
    /// bond in the hub for the node's staker, under the claimant's hub allowance to this contract. The receipt's payer,
    /// once a receipt, ever.
    /// @param source The contract that knows the receipt: the verifier of the receipt's service, with `hub()` the HOLE hub.
    /// @param receipt E.g. an agreement's id.
    /// @param amount At most what was settled on the receipt.
    /// @param evidence Digest of what the claimant publishes.
    /// @dev Reverts ZeroAmount, WrongHub, NotReceiptPayer, NotVerifier, AmountAboveSettled, AlreadyClaimed, NoStake, and
    /// as the hub does for want of allowance or balance.
    function open(address source, bytes32 receipt, uint96 amount, bytes32 evidence) external returns (uint256 claim);

    /// @notice Admits an open claim: it is awarded in full, the claimant gets his bond back. The node's staker.
    /// @dev Shields nothing: 30 % burns, and all claims of the round share. Reverts InvalidState, NotStaker, DeadlinePassed.
    function concede(uint256 claim) external;

    /// @notice Contests an open claim until its deadline with the same bond, locked in the hub for the claimant under the
    /// caller's allowance. Anyone: delegators defend their pool.
    /// @dev Reverts InvalidState, DeadlinePassed, and as the hub does for want of allowance or balance.
    function contest(uint256 claim, bytes32 evidence) external;

    /// @notice Rules on a contested claim until its deadline: books the award into the vault, or lapses the claim if it
    /// is 0, and settles both bonds. The claim's arbitrator.
    /// @param award Wei, at most the claim.
    /// @param reasons Digest of what the arbitrator publishes.
    /// @dev Reverts InvalidState, NotArbitrator, DeadlinePassed, AwardAboveClaim.
    function rule(uint256 claim, uint96 award, bytes32 reasons) external;

    /// @notice Ends a claim whose deadline has passed: uncontested it is awarded in full, unless its round is over too,
    /// then it lapses (so call within the round: at least five days); contested and not ruled it lapses and both sides
    /// get their bonds back. Anyone.
    /// @dev Reverts InvalidState, DeadlinePending.
    function finalise(uint256 claim) external;

    // --------------------------------------------------------------------------------------------- parameters

    /// @notice Names the arbitrator of claims opened from now on. The Timelock.
    /// @dev Reverts NotTimelock, InvalidArbitrator (its disputes() is another contract).
    function setArbitrator(address arbitrator_) external;

    // -------------------------------------------------------------------------------------------------- views

    /// @notice State and award of a claim: pulled by whoever depends on it, nobody is called back.
    function rulingOf(uint256 claim) external view returns (State state, uint96 award);

    /// @notice A claim; all zero if there is none.
    function claimOf(uint256 claim) external view returns (Claim memory);

    /// @notice Who contested a claim, 0 if nobody.
    function contesterOf(uint256 claim) external view returns (address);

    /// @notice The claim on a receipt, 0 if there never was one.
    function claimOn(address source, bytes32 receipt) external view returns (uint256);

    /// @notice Claims ever opened: their ids are 1 to claimCount.
    function claimCount() external view returns (uint256);

    /// @notice The bond each side of a claim of `amount` wei posts: CLAIM_BOND_BPS of it, at least CLAIM_BOND_MIN.
    function bondFor(uint96 amount) external pure returns (uint96);

    /// @notice The ids of a claim's two locks in the hub (module = this contract).
    function lockIdsOf(uint256 claim) external pure returns (uint256 claimantLock, uint256 contesterLock);

    /// @notice The arbitrator of claims opened now.
    function arbitrator() external view returns (address);
}

/// @title What a contract must answer, beside {IReceipts}, to be the source of claims.
interface IClaimSource {
    /// @notice The hub whose money its receipts count.
    function hub() external view returns (address);
}
