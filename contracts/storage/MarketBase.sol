// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputeManager} from "../interfaces/IDisputeManager.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IPaymentHub} from "../interfaces/IPaymentHub.sol";
import {IProofVerifier} from "../interfaces/IProofVerifier.sol";
import {IRandomness} from "../interfaces/IRandomness.sol";
import {IServiceCatalog} from "../interfaces/IServiceCatalog.sol";
import {IStakeManager} from "../interfaces/IStakeManager.sol";
import {IStorageMarketTypes} from "../interfaces/IStorageMarketTypes.sol";
import {PeriodBits} from "../libraries/PeriodBits.sol";
import {Protocol} from "../libraries/Protocol.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title What every part of the storage market shares: addresses, storage, time
abstract contract MarketBase is IStorageMarketTypes {
    using PeriodBits for mapping(uint256 => uint256);

    /// @notice Service id of storage.
    uint16 public constant SERVICE = Protocol.STORAGE;

    // forgefmt: disable-next-item
    /// @dev draws: the last four drawn periods u32 each, newest lowest | period under way u32 << 128 | its point u40 << 160.
    /// @custom:storage-location erc7201:blackhole.storage.StorageMarket
    struct MarketStorage {
        uint256 draws;
        mapping(uint32 period => uint256) seeds;            // seed u168 | samples u8 | drawnBlock u40 | drawnAt u40
        mapping(uint256 nodeAndWord => uint256) bits;       // PeriodBits
        mapping(uint256 nodeLevelIndex => uint256) sums;    // SumTree
        mapping(uint256 nodeAndPosition => uint256) ids;    // id, or the next freed position plus 1
        mapping(uint32 node => Ledger) ledgers;
        mapping(uint256 id => Agreement) agreements;
        mapping(uint256 id => address) repairers;
        mapping(uint256 nodeAndRound => Fund) funds;
        mapping(uint256 lostId => Loss) losses;
        mapping(bytes32 lostIdAndPiece => uint256) replacements;
        mapping(bytes32 lostIdAndPiece => bool) repaired;
        mapping(bytes32 policy => uint96) spent;
    }

    // keccak256(abi.encode(uint256(keccak256("blackhole.storage.StorageMarket")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE_SLOT = 0x0a07cabb5cf956f60d1dde9a6441e5ed7d032c940c7fcc20cf4bc7cf6a115100;

    /// @dev The point of a draw whose word was lost.
    uint40 internal constant VOID = type(uint40).max;

    /// @notice The bank; its token is HOLE.
    IPaymentHub public immutable hub;
    /// @notice The vault.
    IStakeManager public immutable stakes;
    /// @notice Who signs for a node and who is paid.
    INodeRegistry public immutable registry;
    /// @notice Terms of service 1.
    IServiceCatalog public immutable catalog;
    /// @notice Where faults go.
    IDisputeManager public immutable disputes;
    /// @notice Source of seeds.
    IRandomness public immutable randomness;
    /// @notice Checks answers.
    IProofVerifier public immutable verifier;
    /// @notice Seconds of a period.
    uint32 public immutable period;
    /// @notice Seconds a window lasts at least.
    uint32 public immutable proveWindow;
    /// @notice Blocks a window lasts at least.
    uint32 public immutable proveBlocks;

    /// @notice Addresses and times of an implementation.
    struct Setup {
        IPaymentHub hub;
        IStakeManager stakes;
        INodeRegistry registry;
        IServiceCatalog catalog;
        IDisputeManager disputes;
        IRandomness randomness;
        IProofVerifier verifier;
        uint32 period; // s
        uint32 proveWindow; // s, at most period / 2
        uint32 proveBlocks;
    }

    /// @notice The window is longer than half a period, or one of the times is zero.
    error InvalidTimes();

    constructor(Setup memory s) {
        if (s.period == 0 || s.proveWindow == 0 || s.proveWindow > s.period / 2) revert InvalidTimes();
        hub = s.hub;
        stakes = s.stakes;
        registry = s.registry;
        catalog = s.catalog;
        disputes = s.disputes;
        randomness = s.randomness;
        verifier = s.verifier;
        period = s.period;
        proveWindow = s.proveWindow;
        proveBlocks = s.proveBlocks;
    }

    function _market() internal pure returns (MarketStorage storage $) {
        assembly ("memory-safe") {
            $.slot := STORAGE_SLOT
        }
    }

    // -------------------------------------------------------------------------------------------------------------- time

    function _current() internal view returns (uint32) {
        return uint32(block.timestamp / period);
    }

    /// @dev Whether the window of a drawn period is open. `seed` is its word in storage, not zero.
    function _isOpen(uint256 seed) internal view returns (bool) {
        unchecked {
            return block.timestamp <= uint40(seed) + uint256(proveWindow)
                || block.number <= uint40(seed >> 40) + uint256(proveBlocks);
        }
    }

    /// @dev First period not decided for everybody. Windows close in the order of their draws, so those open are the newest drawn.
    function _firstUndecided() internal view returns (uint32 first) {
        uint256 draws = _market().draws;
        first = _current();
        unchecked {
            uint32 last = first - 1;
            // The period before this one can still be drawn, unless its draw was lost.
            bool void = uint32(draws >> 128) == last && uint40(draws >> 160) == VOID;
            if (uint32(draws) != last && !void) first = last;
            for (uint256 i; i < 4; ++i) {
                uint32 drawn = uint32(draws);
                if (drawn == 0 || !_isOpen(_market().seeds[drawn])) break;
                first = drawn;
                draws >>= 32;
            }
        }
    }

    /// @dev The period that keeps a node's agreements from changing, 0 if none: its draw is under way, or drawn and unproven.
    function _proving(uint32 node, Ledger memory ledger) internal view returns (uint32) {
        if (ledger.leaves == 0 || ledger.endedAt != 0) return 0;
        MarketStorage storage $ = _market();
        uint256 draws = $.draws;
        unchecked {
            uint32 pending = uint32(draws >> 128);
            if (pending != 0 && pending == _current() - 1 && pending >= ledger.missedTo) {
                if (pending != uint32(draws) && uint40(draws >> 160) != VOID) return pending;
            }
            for (uint256 i; i < 4; ++i) {
                uint32 drawn = uint32(draws);
                // Before `missedTo` the node owed nothing.
                if (drawn == 0 || drawn < ledger.missedTo || !_isOpen($.seeds[drawn])) return 0;
                if (!$.bits.get(node, drawn)) return drawn;
                draws >>= 32;
            }
        }
        return 0;
    }

    function _requireNotProving(uint32 node, Ledger memory ledger) internal view {
        uint32 p = _proving(node, ledger);
        if (p != 0) revert NodeIsProving(node, p);
    }

    // -------------------------------------------------------------------------------------------------------- agreements

    /// @dev One place that unpacks a ledger, one that packs it: the compiler writes either out wherever it stands.
    function _ledger(uint32 node) internal view returns (Ledger memory) {
        return _market().ledgers[node];
    }

    function _store(uint32 node, Ledger memory ledger) internal {
        _market().ledgers[node] = ledger;
    }

    function _endOf(Agreement storage a, Ledger memory ledger) internal view returns (uint32 end) {
        end = a.end;
        if (ledger.endedAt != 0 && ledger.endedAt < end && _isLive(a.status)) end = ledger.endedAt;
    }

    function _isLive(Status status) internal pure returns (bool) {
        return status == Status.Open || status == Status.Terminated;
    }

    /// @dev Lock and reserve outlast the end by two periods: proof and settlement of the last one.
    function _until(uint32 end) internal view returns (uint40) {
        uint256 until = (uint256(end) + 2) * period;
        // Beyond the type is beyond what vault and bank take; cut off it would name a near date.
        return until < type(uint40).max ? uint40(until) : type(uint40).max;
    }

    function _positionKey(uint32 node, uint256 position) internal pure returns (uint256) {
        return uint256(node) << 32 | position;
    }

    function _requireLive(uint256 id, Agreement storage a) internal view {
        if (!_isLive(a.status)) revert UnknownAgreement(id);
    }

    /// @dev The agreement holds exactly this piece at the end of this path.
    function _requireUnder(Agreement storage a, bytes32 piece, uint48 leaves, bytes memory path) internal view {
        (bytes32 root, uint256 total,) = verifier.climb(piece, leaves, path);
        if (root != a.root || total != a.leaves) revert PieceMismatch();
    }

    function _fundKey(uint32 node, uint16 round) internal pure returns (uint256) {
        return uint256(node) << 16 | round;
    }

    // ------------------------------------------------------------------------------------------------------------- money

    /// @dev Pays what a live deal has proven before min(decided, end). That its node has ended needs no look: from then on it has
    /// no bits. Works on the deal's second slot as one word, because settling is what happens most often:
    /// node u32 | position u24 | leaves u48 | start u32 | end u32 | settledTo u32 | rateSince u32 | nonce u16 | status u8.
    function _settleTo(uint256 id, Agreement storage a, uint256 decided) internal returns (uint96 amount) {
        uint256 head;
        assembly ("memory-safe") {
            head := sload(add(a.slot, 1))
        }
        if (!_isLive(Status(head >> 248))) return 0;
        uint256 to = uint32(head >> 136);
        if (decided < to) to = decided;
        uint256 from = uint32(head >> 168);
        if (from >= to) return 0;
        assembly ("memory-safe") {
            sstore(add(a.slot, 1), or(and(head, not(shl(168, 0xffffffff))), shl(168, to)))
        }
        amount = uint96(_due(a, uint32(head), from, to, uint32(head >> 200)));
        emit Settled(id, uint32(to), amount);
        if (amount != 0) _release(id, amount);
    }

    function _due(Agreement storage a, uint32 node, uint256 from, uint256 to, uint256 since)
        private
        view
        returns (uint256 due)
    {
        mapping(uint256 => uint256) storage bits = _market().bits;
        if (from < since) {
            uint256 middle = since < to ? since : to;
            due = bits.count(node, from, middle) * a.oldRate;
            from = middle;
        }
        if (from < to) due += bits.count(node, from, to) * a.rate;
    }

    /// @dev A lock covers what is owed, unless its payer took it back after expiry and grace; then what is left is paid.
    function _release(uint256 id, uint96 amount) private {
        try hub.release(id, amount) {}
        catch {
            uint96 left = _lockOf(id).amount;
            if (left > amount) left = amount;
            if (left != 0) hub.release(id, left);
        }
    }

    function _lockOf(uint256 id) internal view returns (IPaymentHub.Lock memory) {
        return hub.lockOf(address(this), id);
    }

    // ------------------------------------------------------------------------------------------------------------- stake

    function _service() internal view returns (IServiceCatalog.Service memory) {
        return catalog.service(SERVICE);
    }

    function _stakeOf(uint32 node) internal view returns (IStakeManager.Stake memory) {
        return stakes.stakeOf(node, SERVICE);
    }

    function _reserve(uint32 node, int256 delta, uint40 until) internal {
        // Fits: 48 bits of leaves times 64 bits of wei.
        stakes.reserve(node, SERVICE, int128(delta), until);
    }

    /// @dev Takes up to `amount` of a node's reserve; what comes back is moved to the market's hub account and returned.
    function _fault(uint32 node, uint256 amount, address reporter) internal returns (uint96 funded) {
        if (amount == 0) return 0;
        if (amount > type(uint96).max) amount = type(uint96).max;
        uint96 taken = disputes.fault(node, SERVICE, uint96(amount), reporter, address(this));
        if (taken == 0) return 0;
        IERC20 token = IERC20(hub.token());
        uint256 received = token.balanceOf(address(this));
        if (received != 0) {
            token.approve(address(hub), received);
            hub.deposit(address(this), received);
        }
        funded = uint96(received);
        emit Faulted(node, taken, funded);
    }
}
