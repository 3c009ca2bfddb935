// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IServiceCatalog} from "../interfaces/IServiceCatalog.sol";
import {IStakeManager} from "../interfaces/IStakeManager.sol";
import {BondHistory} from "../libraries/BondHistory.sol";
import {Protocol} from "../libraries/Protocol.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title The vault. See {IStakeManager} for what each call requires.
/// @dev Rounds that are over are settled by whatever touches the stake next, oldest first, so no order of calls moves
/// one round's money to another, and a freeze ends by itself. At most three rounds of a stake are ever unsettled: a
/// round opens ROUND after the one before and settles all that are MAX_FREEZE old.
contract StakeManager is IStakeManager {
    using SafeERC20 for IERC20;
    using BondHistory for BondHistory.Trace;

    /// @dev One slot: the staker of a node and all its stake, active and exiting over all services.
    struct Account {
        address staker;
        uint96 total;
    }

    /// @dev Numbers of rounds count from 1.
    struct Rounds {
        uint32 last;
        uint32 settled;
    }

    /// @notice HOLE.
    address public immutable token;
    /// @notice Read at a node's first bond only.
    INodeRegistry public immutable registry;
    /// @notice Read at a service's first reserve only.
    IServiceCatalog public immutable catalog;
    /// @notice The DisputeManager's proxy.
    address public immutable disputes;

    mapping(uint32 node => Account) private _accounts;
    mapping(uint32 node => address) private _pendingStakers;
    mapping(uint32 node => mapping(uint16 service => Stake)) private _stakes;
    // Freed by the staker himself and not yet given back by the verifier: deals closed late give back this one first.
    mapping(uint32 node => mapping(uint16 service => uint96)) private _unreserved;
    mapping(uint32 node => mapping(uint16 service => Rounds)) private _rounds;
    mapping(uint32 node => mapping(uint16 service => mapping(uint32 number => Round))) private _roundAt;
    mapping(uint256 claim => Hold) private _holds;
    mapping(uint256 claim => Award) private _awards;
    mapping(uint16 service => address) private _verifiers;
    mapping(address staker => BondHistory.Trace) private _bonds;

    /// @dev The graph is circular (vault, registry, disputes proxy): addresses are known by salt before deployment.
    constructor(address token_, INodeRegistry registry_, IServiceCatalog catalog_, address disputes_) {
        if (
            token_ == address(0) || address(registry_) == address(0) || address(catalog_) == address(0)
                || disputes_ == address(0)
        ) revert ZeroAddress();
        token = token_;
        registry = registry_;
        catalog = catalog_;
        disputes = disputes_;
    }

    modifier onlyDisputes() {
        if (msg.sender != disputes) revert NotDisputes(msg.sender);
        _;
    }

    modifier onlyStaker(uint32 node) {
        if (msg.sender != _accounts[node].staker) revert NotStaker(node, msg.sender);
        _;
    }

    // ------------------------------------------------------------------------------------------------ stakers

    /// @inheritdoc IStakeManager
    function stakerOf(uint32 node) external view returns (address) {
        return _accounts[node].staker;
    }

    /// @inheritdoc IStakeManager
    function pendingStakerOf(uint32 node) external view returns (address) {
        return _pendingStakers[node];
    }

    /// @inheritdoc IStakeManager
    function bondOf(uint32 node) external view returns (uint96) {
        return _accounts[node].total;
    }

    /// @inheritdoc IStakeManager
    function transferStaker(uint32 node, address to) external onlyStaker(node) {
        _pendingStakers[node] = to;
        emit StakerTransferStarted(node, msg.sender, to);
    }

    /// @inheritdoc IStakeManager
    function acceptStaker(uint32 node) external {
        if (msg.sender != _pendingStakers[node]) revert NotPendingStaker(node, msg.sender);
        Account storage account = _accounts[node];
        address from = account.staker;
        uint96 total = account.total;
        delete _pendingStakers[node];
        account.staker = msg.sender;
        _lowerVotes(from, total);
        _raiseVotes(msg.sender, total);
        emit StakerChanged(node, from, msg.sender);
    }

    /// @inheritdoc IStakeManager
    function bond(uint32 node, uint16 service, uint96 amount) external {
        if (amount == 0) revert ZeroAmount();
        Stake storage stake = _touch(node, service);
        Account storage account = _accounts[node];
        address staker = account.staker;
        if (staker == address(0)) {
            if (registry.ownerOf(node) != msg.sender) revert NotStaker(node, msg.sender);
            account.staker = msg.sender;
            emit StakerChanged(node, address(0), msg.sender);
        } else if (staker != msg.sender) {
            revert NotStaker(node, msg.sender);
        }
        account.total += amount;
        stake.active += amount;
        _raiseVotes(msg.sender, amount);
        emit Bonded(node, service, msg.sender, amount);
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IStakeManager
    function requestExit(uint32 node, uint16 service, uint96 amount) external onlyStaker(node) {
        if (amount == 0) revert ZeroAmount();
        Stake storage stake = _touch(node, service);
        _requireCovered(stake, amount);
        stake.active -= amount;
        uint96 exiting = stake.exiting + amount;
        uint40 exitAt = uint40(block.timestamp + Protocol.EXIT);
        stake.exiting = exiting;
        stake.exitAt = exitAt;
        emit ExitRequested(node, service, amount, exiting, exitAt);
    }

    /// @inheritdoc IStakeManager
    function cancelExit(uint32 node, uint16 service) external onlyStaker(node) {
        Stake storage stake = _touch(node, service);
        uint96 amount = stake.exiting;
        if (amount == 0) revert NoExit();
        stake.exiting = 0;
        stake.exitAt = 0;
        stake.active += amount;
        emit ExitCancelled(node, service, amount);
    }

    /// @inheritdoc IStakeManager
    function withdraw(uint32 node, uint16 service, address to) external onlyStaker(node) returns (uint96 amount) {
        if (to == address(0)) revert ZeroAddress();
        Stake storage stake = _touch(node, service);
        uint96 exiting = stake.exiting;
        if (exiting == 0) revert NoExit();
        if (block.timestamp < stake.exitAt) revert ExitPending(stake.exitAt);
        // Not even free active stake answers for a claim in its place: faults, one after the other, can take all of that.
        uint96 kept = stake.frozen;
        if (kept >= exiting) revert ExitFrozen(kept);
        amount = exiting - kept;
        stake.exiting = kept;
        if (kept == 0) stake.exitAt = 0;
        _lowerTotal(node, amount);
        emit Withdrawn(node, service, msg.sender, to, amount);
        IERC20(token).safeTransfer(to, amount);
    }

    /// @inheritdoc IStakeManager
    function unreserve(uint32 node, uint16 service) external onlyStaker(node) {
        Stake storage stake = _stakes[node][service];
        uint96 reserved = stake.reserved;
        if (reserved == 0) revert ZeroAmount();
        uint256 freeableAt = stake.reservedUntil + Protocol.UNRESERVE_DELAY;
        if (block.timestamp < freeableAt) revert ReserveLive(freeableAt);
        stake.reserved = 0;
        stake.reservedUntil = 0;
        _unreserved[node][service] += reserved;
        emit Unreserved(node, service, reserved);
    }

    /// @inheritdoc IStakeManager
    function setReservable(uint32 node, uint16 service, bool reservable) external onlyStaker(node) {
        _stakes[node][service].closed = !reservable;
        emit ReservableSet(node, service, reservable);
    }

    // ----------------------------------------------------------------------------------------------- verifiers

    /// @inheritdoc IStakeManager
    function reserve(uint32 node, uint16 service, int128 delta, uint40 until) external {
        address verifier = _verifiers[service];
        if (verifier == address(0)) {
            // Written once in the catalog, so remembered here: neither its upgrade nor its gas matters any more.
            if (msg.sender != catalog.verifierOf(service)) revert NotVerifier(service, msg.sender);
            _verifiers[service] = msg.sender;
        } else if (msg.sender != verifier) {
            revert NotVerifier(service, msg.sender);
        }
        Stake storage stake;
        uint96 reserved;
        if (delta < 0) {
            // Saturates: closing an agreement must not revert.
            stake = _stakes[node][service];
            uint256 less = uint256(-int256(delta));
            // What the staker freed meanwhile is not freed a second time, out of what later agreements reserved.
            uint96 freed = _unreserved[node][service];
            if (freed != 0) {
                uint96 again = less < freed ? uint96(less) : freed;
                _unreserved[node][service] = freed - again;
                less -= again;
            }
            reserved = stake.reserved;
            reserved = less < reserved ? reserved - uint96(less) : 0;
        } else {
            if (until < block.timestamp || until > block.timestamp + Protocol.RESERVE_MAX) {
                revert InvalidReserveEnd(until);
            }
            stake = _touch(node, service);
            if (stake.closed) revert ReserveClosed(node, service);
            uint256 more = uint256(int256(delta));
            _requireCovered(stake, more);
            reserved = stake.reserved + uint96(more);
            if (until > stake.reservedUntil) stake.reservedUntil = until;
        }
        stake.reserved = reserved;
        if (reserved == 0) stake.reservedUntil = 0;
        emit Reserved(node, service, delta, reserved, stake.reservedUntil);
    }

    // ------------------------------------------------------------------------------------------------ disputes

    /// @inheritdoc IStakeManager
    function fault(uint32 node, uint16 service, uint96 amount, uint16 bountyBps, address reporter, address remedy)
        external
        onlyDisputes
        returns (uint96 taken)
    {
        if (bountyBps > Protocol.FAULT_BOUNTY_BPS_MAX) {
            revert BountyTooHigh(bountyBps, Protocol.FAULT_BOUNTY_BPS_MAX);
        }
        if (remedy == address(0)) revert ZeroAddress();
        Stake storage stake = _touch(node, service);
        taken = stake.reserved < stake.active ? stake.reserved : stake.active;
        if (amount < taken) taken = amount;
        if (taken == 0) return 0;
        stake.active -= taken;
        _lowerTotal(node, taken);
        (uint96 burned, uint96 bounty, uint96 rest) = _split(taken, bountyBps, reporter);
        emit Faulted(node, service, remedy, taken, burned, bounty, reporter);
        _payOut(burned, bounty, reporter, rest, remedy);
    }

    /// @inheritdoc IStakeManager
    function freeze(uint256 claim, uint32 node, uint16 service, uint96 amount) external onlyDisputes {
        if (amount == 0) revert ZeroAmount();
        Hold storage hold = _holds[claim];
        if (hold.state != HoldState.None) revert ClaimExists(claim);
        Stake storage stake = _stakes[node][service];
        // Whether or not anything is frozen: this is what bounds the number of unsettled rounds.
        _settleRounds(node, service, stake);
        Rounds storage rounds = _rounds[node][service];
        uint32 number = rounds.last;
        Round storage round = _roundAt[node][service][number];
        if (number == 0 || block.timestamp >= round.since + Protocol.ROUND) {
            rounds.last = ++number;
            round = _roundAt[node][service][number];
            round.since = uint40(block.timestamp);
        }
        uint40 until = uint40(round.since + Protocol.MAX_FREEZE);
        round.held += amount;
        stake.frozen += amount;
        _holds[claim] = Hold(node, service, number, amount, until, HoldState.Frozen);
        emit Frozen(claim, node, service, number, amount, until);
    }

    /// @inheritdoc IStakeManager
    function award(uint256 claim, uint96 amount, uint16 bountyBps, address victim, address reporter)
        external
        onlyDisputes
    {
        if (amount == 0) revert ZeroAmount();
        if (victim == address(0)) revert ZeroAddress();
        if (bountyBps > Protocol.CLAIM_BOUNTY_BPS_MAX) {
            revert BountyTooHigh(bountyBps, Protocol.CLAIM_BOUNTY_BPS_MAX);
        }
        Hold storage hold = _holds[claim];
        if (hold.state != HoldState.Frozen) revert InvalidClaimState(claim, hold.state);
        // From `until` on the round may be settled, so nothing can be booked into it.
        if (block.timestamp >= hold.until) revert RoundOver(hold.until);
        uint96 held = hold.amount;
        if (amount > held) revert AwardTooHigh(amount, held);
        Round storage round = _roundAt[hold.node][hold.service][hold.round];
        round.held -= held;
        round.awards += amount;
        if (amount < held) _stakes[hold.node][hold.service].frozen -= held - amount;
        hold.amount = amount;
        hold.state = HoldState.Awarded;
        _awards[claim] = Award(victim, reporter, bountyBps);
        emit Awarded(claim, amount, victim, reporter, bountyBps);
    }

    /// @inheritdoc IStakeManager
    function pay(uint256 claim) external returns (uint96 paid) {
        Hold storage hold = _holds[claim];
        if (hold.state != HoldState.Awarded) revert InvalidClaimState(claim, hold.state);
        if (block.timestamp < hold.until) revert RoundOpen(hold.until);
        _settleRounds(hold.node, hold.service, _stakes[hold.node][hold.service]);
        Round storage round = _roundAt[hold.node][hold.service][hold.round];
        hold.state = HoldState.Paid;
        // Both sides shrink, so every share is the same fraction and the last one takes what rounding left.
        uint96 amount = hold.amount;
        uint96 share = uint96(uint256(amount) * round.stake / round.awards);
        round.awards -= amount;
        round.stake -= share;
        return _payShare(claim, share);
    }

    /// @inheritdoc IStakeManager
    function lapse(uint256 claim) external {
        Hold storage hold = _holds[claim];
        if (hold.state != HoldState.Frozen) revert InvalidClaimState(claim, hold.state);
        if (msg.sender != disputes && block.timestamp < hold.until) revert RoundOpen(hold.until);
        hold.state = HoldState.Lapsed;
        uint96 amount = hold.amount;
        Round storage round = _roundAt[hold.node][hold.service][hold.round];
        if (!round.settled) {
            round.held -= amount;
            _stakes[hold.node][hold.service].frozen -= amount;
        }
        emit Lapsed(claim, amount);
    }

    // --------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IStakeManager
    function stakeOf(uint32 node, uint16 service) public view returns (Stake memory stake) {
        stake = _stakes[node][service];
        Rounds memory rounds = _rounds[node][service];
        for (uint32 number = rounds.settled + 1; number <= rounds.last; ++number) {
            Round memory round = _roundAt[node][service][number];
            if (block.timestamp < round.since + Protocol.MAX_FREEZE) break;
            (uint96 fromExiting, uint96 fromActive) = _due(round.awards, stake.exiting, stake.active);
            stake.exiting -= fromExiting;
            stake.active -= fromActive;
            stake.frozen -= round.awards + round.held;
            if (stake.exiting == 0) stake.exitAt = 0;
        }
    }

    /// @inheritdoc IStakeManager
    function freeOf(uint32 node, uint16 service) external view returns (uint96) {
        Stake memory stake = stakeOf(node, service);
        return _saturatingSub(stake.active, uint256(stake.reserved) + stake.frozen);
    }

    /// @inheritdoc IStakeManager
    function unreservedOf(uint32 node, uint16 service) external view returns (uint96) {
        return _unreserved[node][service];
    }

    /// @inheritdoc IStakeManager
    function verifierOf(uint16 service) external view returns (address) {
        return _verifiers[service];
    }

    /// @inheritdoc IStakeManager
    function roundsOf(uint32 node, uint16 service) external view returns (uint32 last, uint32 settled) {
        Rounds memory rounds = _rounds[node][service];
        return (rounds.last, rounds.settled);
    }

    /// @inheritdoc IStakeManager
    function roundOf(uint32 node, uint16 service, uint32 round) external view returns (Round memory) {
        return _roundAt[node][service][round];
    }

    /// @inheritdoc IStakeManager
    function holdOf(uint256 claim) external view returns (Hold memory) {
        return _holds[claim];
    }

    /// @inheritdoc IStakeManager
    function awardOf(uint256 claim) external view returns (Award memory) {
        return _awards[claim];
    }

    /// @inheritdoc IStakeManager
    function clock() public view returns (uint48) {
        return uint48(block.timestamp);
    }

    /// @inheritdoc IStakeManager
    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() external pure returns (string memory) {
        return "mode=timestamp";
    }

    /// @inheritdoc IStakeManager
    function getBond(address staker) external view returns (uint256) {
        return _bonds[staker].latest();
    }

    /// @inheritdoc IStakeManager
    function getPastBond(address staker, uint256 timepoint) external view returns (uint256) {
        if (timepoint >= clock()) revert FutureLookup(timepoint, clock());
        return _bonds[staker].lookup(timepoint);
    }

    // ------------------------------------------------------------------------------------------------ internal

    /// @dev The stake with the rounds that are over settled. Nothing frozen means no award waits in one.
    function _touch(uint32 node, uint16 service) private returns (Stake storage stake) {
        stake = _stakes[node][service];
        if (stake.frozen != 0) _settleRounds(node, service, stake);
    }

    function _settleRounds(uint32 node, uint16 service, Stake storage stake) private {
        Rounds storage rounds = _rounds[node][service];
        (uint32 last, uint32 settled) = (rounds.last, rounds.settled);
        if (settled == last) return;
        uint32 number = settled;
        while (number < last) {
            Round storage round = _roundAt[node][service][number + 1];
            if (block.timestamp < round.since + Protocol.MAX_FREEZE) break;
            ++number;
            round.settled = true;
            uint96 awards = round.awards;
            (uint96 fromExiting, uint96 fromActive) = _due(awards, stake.exiting, stake.active);
            uint96 taken = fromExiting + fromActive;
            stake.frozen -= awards + round.held;
            if (taken != 0) {
                round.stake = taken;
                stake.active -= fromActive;
                stake.exiting -= fromExiting;
                if (stake.exiting == 0) stake.exitAt = 0;
                _lowerTotal(node, taken);
            }
            emit RoundSettled(node, service, number, awards, taken);
        }
        if (number != settled) rounds.settled = number;
    }

    /// @dev What a round takes, the exit bucket first.
    function _due(uint96 awards, uint96 exiting, uint96 active)
        private
        pure
        returns (uint96 fromExiting, uint96 fromActive)
    {
        fromExiting = awards < exiting ? awards : exiting;
        fromActive = awards - fromExiting;
        if (fromActive > active) fromActive = active;
    }

    /// @dev Reverts unless the active stake covers `more` beside what is reserved and frozen. With `more` = 0 it fails too
    /// where a slash left less than the reserve: what is short backs nothing new, a longer duty neither.
    function _requireCovered(Stake storage stake, uint256 more) private view {
        uint256 active = stake.active;
        uint256 bound = uint256(stake.reserved) + stake.frozen;
        if (bound + more > active) revert InsufficientFreeStake(bound < active ? active - bound : 0, more);
    }

    /// @dev Stake leaves a node: so do its votes, and with the last of it the staker.
    function _lowerTotal(uint32 node, uint96 amount) private {
        Account storage account = _accounts[node];
        (address staker, uint96 total) = (account.staker, account.total - amount);
        _lowerVotes(staker, amount);
        if (total == 0) {
            delete _accounts[node];
            // An offer of a role that is gone must not take over the next staker's stake.
            delete _pendingStakers[node];
            emit StakerChanged(node, staker, address(0));
        } else {
            account.total = total;
        }
    }

    function _raiseVotes(address staker, uint96 amount) private {
        BondHistory.Trace storage trace = _bonds[staker];
        trace.set(trace.latest() + amount);
    }

    function _lowerVotes(address staker, uint96 amount) private {
        BondHistory.Trace storage trace = _bonds[staker];
        trace.set(trace.latest() - amount);
    }

    /// @dev Burned and bounty round down; the rest is what is left, so the three add up.
    function _split(uint96 amount, uint16 bountyBps, address reporter)
        private
        pure
        returns (uint96 burned, uint96 bounty, uint96 rest)
    {
        burned = uint96(uint256(amount) * Protocol.BURN_BPS / Protocol.BPS);
        if (reporter != address(0)) bounty = uint96(uint256(amount) * bountyBps / Protocol.BPS);
        rest = amount - burned - bounty;
    }

    function _payShare(uint256 claim, uint96 share) private returns (uint96 paid) {
        Award memory to = _awards[claim];
        uint96 burned;
        uint96 bounty;
        (burned, bounty, paid) = _split(share, to.bountyBps, to.reporter);
        emit Paid(claim, to.victim, share, burned, bounty, paid, to.reporter);
        _payOut(burned, bounty, to.reporter, paid, to.victim);
    }

    function _payOut(uint96 burned, uint96 bounty, address reporter, uint96 rest, address to) private {
        if (burned != 0) ERC20Burnable(token).burn(burned);
        if (bounty != 0) IERC20(token).safeTransfer(reporter, bounty);
        if (rest != 0) IERC20(token).safeTransfer(to, rest);
    }

    function _saturatingSub(uint96 a, uint256 b) private pure returns (uint96) {
        return b < a ? uint96(a - b) : 0;
    }
}
