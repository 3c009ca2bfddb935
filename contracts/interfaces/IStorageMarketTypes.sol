// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Structs, events and errors of the storage market
/// @notice Units: money in wei of HOLE; a leaf is 1 KiB; a period is `block.timestamp / PERIOD`; rates are wei a period for the
/// whole agreement.
interface IStorageMarketTypes {
    // ------------------------------------------------------------------------------------------------------------- types

    /// @notice None: never opened. Lost: closed after its node's tenth miss in a row.
    enum Status {
        None,
        Open,
        Terminated,
        Closed,
        Lost
    }

    /// @notice One deal of a payer with a node: 3 slots.
    struct Agreement {
        bytes32 root; // Merkle-sum root over the pieces, 0 when it holds none
        uint32 node;
        uint24 position; // in the node's sum tree
        uint48 leaves;
        uint32 start; // first period it owes proofs for; moves on when an emptied deal is filled again
        uint32 end; // first period no longer paid
        uint32 settledTo; // first period not yet settled
        uint32 rateSince; // from this period on `rate`, before it `oldRate`
        uint16 nonce; // of the next Change
        Status status;
        uint96 rate; // wei a period
        uint96 oldRate; // wei a period
        uint64 collateralPerLeaf; // wei, as it was in the catalog when opened
    }

    /// @notice What a node owes in sum: 1 slot.
    struct Ledger {
        uint48 leaves; // of its agreements not yet closed: what a sample is drawn from
        uint16 count; // agreements not yet closed
        uint32 lastProven; // latest period with its bit set
        uint8 misses; // in a row, reported
        uint32 missedTo; // no period before this one can be reported or proven
        uint32 endedAt; // first period after the tenth miss; 0 while the node is in service
        uint16 freed; // head of the list of freed positions, plus 1
        uint16 positions; // positions ever used
        uint8 depth; // levels of the sum tree
        uint16 round; // runs of three misses so far: names the fund of the last
    }

    /// @notice A deal. Its EIP-712 digest is the agreement's id. The node signs it, and the payer it or a batch that holds it.
    struct Terms {
        address payer;
        uint32 node;
        address payee; // must be the registry's payee of the node
        bytes32 root;
        bytes32 pieces; // digest of the list of pieces: signed and emitted, not stored
        uint48 leaves;
        uint96 rate; // wei a period
        uint32 start;
        uint32 end;
        uint96 prepaid; // wei, at least rate * (end - start) + repairShare
        uint96 repairShare; // wei kept in the lock beyond the rate: pays for a replacement
        address repairer; // who is paid from a failed node's fund when this agreement replaces a lost piece; 0: nobody
        uint64 salt;
    }

    /// @notice New content or price of a deal, signed by both. The rate counts from the next period. Like Terms, which open before
    /// their start or never, it is good for a bounded time: a node holds the new bytes until then and may drop them after.
    struct Change {
        uint256 id;
        bytes32 root;
        bytes32 pieces;
        uint48 leaves;
        uint96 rate; // wei a period
        uint32 end;
        uint96 prepaid; // wei added to the lock
        uint16 nonce; // the agreement's
        uint32 lastPeriod; // the last period in which it may be applied
    }

    /// @notice A payer's standing order to replace lost pieces while he is away.
    struct Policy {
        address payer;
        bytes32 manifest;
        uint96 maxRate; // wei per GiB-period, as offers are quoted
        uint96 budget; // wei beyond what lost locks give back, in sum
        bytes32 allowedNodes; // OpenZeppelin StandardMerkleTree root over (uint256 node); 0: any registered node
        uint40 expiry; // unix seconds
        uint64 nonce;
    }

    /// @notice What the faults of one run of misses left for repair: 1 slot. At the tenth miss all is fixed, and with it the share of a leaf.
    struct Fund {
        uint96 amount; // wei in the market's own hub account
        uint48 leaves; // the node's at the last fault, less those paid since: they share the amount
        uint32 since; // period of the last fault; before the tenth miss only deals unchanged since an earlier one share
        uint40 endedAt; // unix seconds, 0 before the tenth miss
        uint16 takenBps; // of the node's reserve, by the faults of this run
    }

    /// @notice What a lost agreement has been paid from its node's fund.
    struct Loss {
        uint48 repaired; // leaves paid to repairers, or all once the remainder is paid
        uint16 round; // of its node, set when it closes
        uint96 returned; // wei its lock gave back when it closed, still free for replacements by policy
    }

    // ------------------------------------------------------------------------------------------------------------ events

    /// @notice A deal was opened; `terms` are as signed.
    event Opened(uint256 indexed id, address indexed payer, uint32 indexed node, Terms terms);
    /// @notice A row of a batch was not opened; `reason` is the revert data.
    event Skipped(uint256 indexed id, bytes reason);
    /// @notice A deal was changed; `change` is as signed.
    event Changed(uint256 indexed id, uint32 indexed node, Change change);
    event Terminated(uint256 indexed id, address indexed by, uint32 end);
    event Closed(uint256 indexed id, uint32 indexed node, Status status, uint96 refunded);
    event DrawStarted(uint32 indexed period, uint40 point);
    event Drawn(uint32 indexed period, uint168 seed, uint8 samples);
    event DrawVoided(uint32 indexed period);
    event Proven(uint32 indexed node, uint32 indexed period);
    event Settled(uint256 indexed id, uint32 to, uint96 amount);
    event Missed(uint32 indexed node, uint32 indexed period, uint8 misses, address reporter);
    /// @notice Stake was taken: `taken` in all, `funded` of it reached the node's repair fund or, after its own notice, the payer.
    event Faulted(uint32 indexed node, uint96 taken, uint96 funded);
    event NodeEnded(uint32 indexed node, uint16 round, uint32 endedAt);
    event PolicyUsed(
        bytes32 indexed policy, uint256 indexed lostId, uint256 indexed newId, bytes32 piece, uint96 charged
    );
    event PolicyCancelled(bytes32 indexed policy);
    event Repaired(
        uint256 indexed lostId, uint256 indexed newId, bytes32 piece, address indexed repairer, uint96 amount
    );
    event RemainderPaid(uint256 indexed lostId, address indexed payer, uint96 amount);

    // ------------------------------------------------------------------------------------------------------------ errors

    error UnknownAgreement(uint256 id);
    error AgreementExists(uint256 id);
    error AgreementEnded(uint256 id);
    error NotEnded(uint256 id, uint32 end);
    error PayerSignatureInvalid();
    error NodeSignatureInvalid();
    error StartOutOfRange(uint32 start, uint32 current);
    error EndOutOfRange(uint32 end);
    error ContentInvalid();
    error PrepaidTooLow(uint256 required, uint256 given);
    error PayeeMismatch(address expected);
    error ServiceClosed();
    error BondTooLow(uint256 required, uint256 active);
    error NodeFull(uint32 node);
    error NodeHasEnded(uint32 node);
    error NodeIsProving(uint32 node, uint32 period);
    error NonceMismatch(uint16 expected);
    error ChangeExpired(uint32 lastPeriod);
    error PeriodUndecided(uint32 period);
    error NotParty(address caller);
    error OnlySelf();
    error NotDrawable(uint32 period, uint32 current);
    error AlreadyDrawn(uint32 period);
    error DrawPending(uint40 point);
    error DrawVoid(uint32 period);
    error NotDrawn(uint32 period);
    error WindowOpen(uint32 period);
    error WindowClosed(uint32 period);
    error AlreadyProven(uint32 node, uint32 period);
    error NothingToProve(uint32 node, uint32 period);
    error TrailingAnswers(uint256 bytesLeft);
    error NotMissed(uint32 node, uint32 period);
    error NotInForce(uint256 id, uint32 period);
    error PolicyExpired(uint40 expiry);
    error PolicyExceeded(uint256 allowed, uint256 asked);
    error NodeNotAllowed(uint32 node);
    error PayerMismatch(address expected);
    error NotLost(uint256 id);
    error PieceMismatch();
    error AlreadyRepaired(uint256 id, bytes32 piece);
    error NoRepairer(uint256 id);
    error NotProvenYet(uint256 id);
    error NotBefore(uint256 timestamp);
    error NothingLeft(uint256 id);
}
