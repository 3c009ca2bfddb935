// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The storage market: deals, possession proofs, settlement, faults, repair. Verifier of service 1.
/// @notice Units: money in wei of HOLE; a leaf is 1 KiB; a period is `block.timestamp / PERIOD`; rates are wei a period for the
/// whole agreement. Every signature is over an EIP-712 digest of the domain "Blackhole StorageMarket", version "1". Money moves only
/// inside PaymentHub: an agreement's prepaid money is the hub's lock of the same id, its payer and payee stand there.
interface IStorageMarket {
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
        uint32 start; // first period paid
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
        uint16 round; // times this node failed and was emptied: names its fund
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

    /// @notice New content or price of a deal, signed by both. The rate counts from the next period.
    struct Change {
        uint256 id;
        bytes32 root;
        bytes32 pieces;
        uint48 leaves;
        uint96 rate; // wei a period
        uint32 end;
        uint96 prepaid; // wei added to the lock
        uint16 nonce; // the agreement's
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

    /// @notice What a node's faults left for repair: 1 slot. At the tenth miss `leaves` and `endedAt` are fixed, and with them the share of a leaf.
    struct Fund {
        uint96 amount; // wei in the market's own hub account
        uint48 leaves;
        uint40 endedAt; // unix seconds, 0 before the tenth miss
    }

    /// @notice What a lost agreement has been paid from its node's fund.
    struct Loss {
        uint48 repaired; // leaves paid to repairers, or all once the remainder is paid
        uint16 round; // of its node, set when it closes
    }

    // ------------------------------------------------------------------------------------------------------------ events

    event Opened(
        uint256 indexed id,
        address indexed payer,
        uint32 indexed node,
        address payee,
        bytes32 root,
        bytes32 pieces,
        uint48 leaves,
        uint96 rate,
        uint32 start,
        uint32 end,
        uint96 prepaid,
        uint96 repairShare,
        address repairer
    );
    /// @notice A row of a batch was not opened; `reason` is the revert data.
    event Skipped(uint256 indexed id, bytes reason);
    event Changed(
        uint256 indexed id,
        uint32 indexed node,
        bytes32 root,
        bytes32 pieces,
        uint48 leaves,
        uint96 rate,
        uint32 end,
        uint96 prepaid,
        uint16 nonce
    );
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

    // ------------------------------------------------------------------------------------------------------------- deals

    /// @notice Opens a deal. Anyone may call with both signatures.
    /// @dev Requires, in this order: an unused id; payer and node signatures; `payee` the registry's; now < start <= now + 2
    /// periods; start < end; root and leaves not zero; prepaid >= rate * (end - start) + repairShare; the service open to new deals;
    /// the node's active bond at least the minimum; the node not ended, not between a draw and its proof, not full. Locks `prepaid`
    /// under the payer's hub allowance and reserves leaves * collateralPerLeaf of the node's stake: what those two revert with passes through.
    /// @param t the deal
    /// @param payerSig the payer's, over the digest of `t`: 65 bytes, 64 bytes EIP-2098, or ERC-1271
    /// @param nodeSig the registry's signer of the node, over the same digest: 65 or 64 bytes
    /// @return id digest of `t`
    function open(Terms calldata t, bytes calldata payerSig, bytes calldata nodeSig) external returns (uint256 id);

    /// @notice Opens many deals under one signature of the payer. Anyone may call; calling again opens what was skipped.
    /// @dev All rows must name the payer of the first. A row that cannot open is skipped and emitted with its reason.
    /// @param t the deals
    /// @param payerSig the payer's, over TermsBatch(bytes32[] ids), the ids of `t` in order
    /// @param nodeSigs one a row
    /// @return ids id a row, 0 where skipped
    function openMany(Terms[] calldata t, bytes calldata payerSig, bytes[] calldata nodeSigs)
        external
        returns (uint256[] memory ids);

    /// @notice Opens a replacement for one piece of a lost deal while the payer is away. Anyone may call with a policy of the payer.
    /// @dev Requires of the lost deal: its payer is the policy's, and its node has ended, has a reported miss, or the deal is terminated. The
    /// new deal holds exactly the lost piece, with another node out of `allowedNodes`, at <= maxRate a GiB, once a (lost deal, piece). What the lost lock
    /// holds beyond its remaining periods is refunded and locked anew; the rest is charged to the policy's budget. Reverts as `open` besides.
    /// @param t the new deal; its `payer` is the policy's
    /// @param p the payer's policy
    /// @param lostId the lost deal
    /// @param proof abi.encode(bytes32 piece, bytes lostPath, bytes32[] nodeProof): the piece's path under the lost root, steps as in
    /// docs/proof-format.md, and the node's proof under `allowedNodes`
    /// @param policySig the payer's, over the digest of `p`
    /// @param nodeSig the new node's, over the digest of `t`
    /// @return id digest of `t`
    function openByPolicy(
        Terms calldata t,
        Policy calldata p,
        uint256 lostId,
        bytes calldata proof,
        bytes calldata policySig,
        bytes calldata nodeSig
    ) external returns (uint256 id);

    /// @notice Uses up a policy. Only its payer.
    function cancelPolicy(Policy calldata p) external;

    /// @notice Replaces content, rate or end of a deal. Anyone may call with both signatures.
    /// @dev Settles first. Reverts while a period before the current one is undecided, while the node is proving, after the deal's end, when the node has ended,
    /// when the nonce is another, when `end` is not after the current period, when the lock with `prepaid` does not cover what is owed to the new end.
    /// Root and leaves are both zero or both not. Reserve and content change at once, the rate from the next period.
    function change(Change calldata c, bytes calldata payerSig, bytes calldata nodeSig) external;

    /// @notice Ends a deal NOTICE periods from now. The payer, or the node's owner or signer; the node forfeits its fault share to the payer.
    /// @dev Voids Changes signed before. Reverts unless the deal is open and not at its end.
    function terminate(uint256 id) external;

    /// @notice Closes a deal that is over: settles, frees the reserve and the position, refunds the rest. Anyone may call.
    /// @dev Reverts before its end, while a period of it is undecided, or while the node is proving. A deal that is over keeps its
    /// leaves in the sample until it is closed, so a node closes it before the next draw or keeps the bytes.
    function close(uint256 id) external;

    // ------------------------------------------------------------------------------------------------------------ proofs

    /// @notice Draws the seed of a period, in the period after it only. Anyone may call, twice.
    /// @dev The first call names a future point of randomness, the second stores its word. When the word was lost in between the second
    /// call voids the period for ever: unpaid, and no fault. Reverts in any other period, when drawn or void, while the point is in the future,
    /// or while the window of the fourth period before is open.
    function draw(uint32 period) external;

    /// @notice Proves that a node holds the sampled leaves of a period. Anyone may call.
    /// @dev Reverts unless the period is drawn and its window open, the node in service with leaves it owed in that period, the
    /// bit not set and every answer right, in order, with nothing behind the last. Resets the node's misses.
    /// @param answers the answers of docs/proof-format.md, sample after sample
    function prove(uint32 node, uint32 period, bytes calldata answers) external;

    /// @notice Pays deals for the proven periods whose window has closed. Anyone may call; a deal with nothing due is passed over.
    function settle(uint256[] calldata ids) external;

    /// @notice Counts a period that a node owed and did not prove. Anyone may call, once a node and period, after the window, in rising order.
    /// @dev The third, sixth and ninth miss in a row take the catalog's share of the node's reserve, the tenth all of it and ends the node's
    /// deals. Reverts when the period was not drawn, its window is open, it was proven, counted or is before the last proof, or the node has ended.
    /// @param id any deal of the node that was in force in that period and is not closed
    function reportMissed(uint32 node, uint32 period, uint256 id) external;

    // ------------------------------------------------------------------------------------------------------------ repair

    /// @notice Pays the repairer of a replacement from the fund of the node that lost the piece, by leaves. Anyone may call, once a (lost deal, piece).
    /// @dev The lost deal is terminated, or its node has ended. The new deal is of the same payer, with another node, names a repairer and has a
    /// proven period behind a closed window.
    /// @param piece root of the piece
    /// @param leaves leaves of the piece
    /// @param lostPath steps from the piece to the lost deal's root (docs/proof-format.md)
    /// @param newPath steps from the piece to the new deal's root
    function claimRepair(
        uint256 lostId,
        uint256 newId,
        bytes32 piece,
        uint48 leaves,
        bytes calldata lostPath,
        bytes calldata newPath
    ) external;

    /// @notice Pays a lost deal's payer what repairers did not claim, 60 days after the node's tenth miss. Anyone may call, once.
    function claimRemainder(uint256 lostId) external;

    // ------------------------------------------------------------------------------------------------------------- views

    /// @notice Periods in [from, to) with the node's bit set.
    function provenPeriods(uint32 node, uint32 from, uint32 to) external view returns (uint256);

    /// @notice A deal as stored; all zero for an unknown id.
    function agreementOf(uint256 id) external view returns (Agreement memory);

    /// @notice First period a deal is no longer paid for: its end, or its node's if that came first.
    function endOf(uint256 id) external view returns (uint32);

    /// @notice A node's ledger as stored.
    function ledgerOf(uint32 node) external view returns (Ledger memory);

    /// @notice Leaves of a node: what samples are drawn from.
    function treeTotal(uint32 node) external view returns (uint48);

    /// @notice The deal at a position of a node's sum tree, 0 when free.
    function idAt(uint32 node, uint24 position) external view returns (uint256);

    /// @notice The deal and the offset in it of one of a node's leaves. Reverts when the node has fewer.
    function leafAt(uint32 node, uint48 index) external view returns (uint256 id, uint48 offset);

    /// @notice Index of the leaf that answer `i` of a node must show: keccak256(abi.encode(seed, node, i)) % treeTotal(node).
    /// @dev Reverts when the period is not drawn or the node holds nothing.
    function sampleOf(uint32 node, uint32 period, uint256 i) external view returns (uint48 index);

    /// @notice Seed of a period and the samples it asks for; zero when not drawn.
    function seedOf(uint32 period) external view returns (uint168 seed, uint8 samples);

    /// @notice When a period was drawn and when its window closes: after `closesAt` (unix seconds) and after block `closesBlock`. Zero when not drawn.
    function windowOf(uint32 period) external view returns (uint40 drawnAt, uint40 closesAt, uint40 closesBlock);

    /// @notice The draw under way: its period, and its point of randomness (0: none; type(uint40).max: void).
    function pendingDraw() external view returns (uint32 period, uint40 point);

    /// @notice Whether a node's deals may change now: false from a draw until its proof or the window's end.
    function isProving(uint32 node) external view returns (bool);

    /// @notice First period that is not yet decided: every earlier one is proven or not, for ever.
    function firstUndecided() external view returns (uint32);

    /// @notice Whether a node proved a period.
    function bitOf(uint32 node, uint32 period) external view returns (bool);

    /// @notice block.timestamp / PERIOD.
    function currentPeriod() external view returns (uint32);

    /// @notice A node's fund of a round. The running round is ledgerOf(node).round.
    function fundOf(uint32 node, uint16 round) external view returns (Fund memory);

    /// @notice What a lost deal was paid from its node's fund.
    function lossOf(uint256 id) external view returns (Loss memory);

    /// @notice Who is paid when deal `id` replaces a lost piece.
    function repairerOf(uint256 id) external view returns (address);

    /// @notice The replacement opened by policy for a piece of a lost deal, 0: none.
    function replacementOf(uint256 lostId, bytes32 piece) external view returns (uint256);

    /// @notice Wei charged to a policy's budget; type(uint96).max when cancelled.
    function spentOf(bytes32 policy) external view returns (uint96);

    /// @notice EIP-712 domain separator.
    function domainSeparator() external view returns (bytes32);

    /// @notice EIP-712 digest of a deal: its id.
    function termsDigest(Terms calldata t) external view returns (bytes32);

    /// @notice EIP-712 digest of TermsBatch(bytes32[] ids).
    function batchDigest(bytes32[] calldata ids) external view returns (bytes32);

    /// @notice EIP-712 digest of a change.
    function changeDigest(Change calldata c) external view returns (bytes32);

    /// @notice EIP-712 digest of a policy.
    function policyDigest(Policy calldata p) external view returns (bytes32);
}
