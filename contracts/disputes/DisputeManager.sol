// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {DelayedUpgrade} from "../governance/DelayedUpgrade.sol";
import {IArbitrator} from "../interfaces/IArbitrator.sol";
import {IClaimSource, IDisputeManager} from "../interfaces/IDisputeManager.sol";
import {IPaymentHub} from "../interfaces/IPaymentHub.sol";
import {IReceipts} from "../interfaces/IReceipts.sol";
import {IServiceCatalog} from "../interfaces/IServiceCatalog.sol";
import {IStakeManager} from "../interfaces/IStakeManager.sol";
import {Protocol} from "../libraries/Protocol.sol";

/// @title Faults and claims. See {IDisputeManager} for what each call requires.
contract DisputeManager is IDisputeManager, DelayedUpgrade {
    /// @notice Appoints the arbitrator.
    address public immutable timelock;
    /// @notice The HOLE hub: holds the bonds.
    IPaymentHub public immutable hub;
    /// @notice Holds the stake.
    IStakeManager public immutable vault;
    /// @notice Says who a service's verifier is.
    IServiceCatalog public immutable catalog;

    // Bonds are no payment of a service: their locks name service 0.
    uint16 private constant NO_SERVICE = 0;

    /// @custom:storage-location erc7201:blackhole.storage.DisputeManager
    struct DisputeStorage {
        uint256 count;
        address arbitrator;
        mapping(uint256 claim => Claim) claims;
        mapping(uint256 claim => address) contesters;
        mapping(bytes32 subject => uint256 claim) subjects;
    }

    // keccak256(abi.encode(uint256(keccak256("blackhole.storage.DisputeManager")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE_SLOT = 0xf0a7749d92518299f583f707a8697fc25aeac41f55d70d8dd886bbe1b3c0f800;

    constructor(address timelock_, IPaymentHub hub_, IStakeManager vault_, IServiceCatalog catalog_)
        DelayedUpgrade(timelock_)
    {
        timelock = timelock_;
        hub = hub_;
        vault = vault_;
        catalog = catalog_;
    }

    /// @notice Appoints the first arbitrator. Once, by the deployment.
    function initialize(address arbitrator_) external initializer {
        _setArbitrator(arbitrator_);
    }

    // -------------------------------------------------------------------------------------------------- faults

    /// @inheritdoc IDisputeManager
    function fault(uint32 node, uint16 service, uint96 amount, address reporter, address remedy)
        external
        returns (uint96 taken)
    {
        IServiceCatalog.Service memory row = catalog.service(service);
        if (msg.sender != row.verifier) revert NotVerifier(service, msg.sender);
        uint16 bountyBps = row.bountyBps;
        if (bountyBps > Protocol.FAULT_BOUNTY_BPS_MAX) bountyBps = uint16(Protocol.FAULT_BOUNTY_BPS_MAX);
        return vault.fault(node, service, amount, bountyBps, reporter, remedy);
    }

    // -------------------------------------------------------------------------------------------------- claims

    /// @inheritdoc IDisputeManager
    function open(address source, bytes32 receipt, uint96 amount, bytes32 evidence) external returns (uint256 claim) {
        if (amount == 0) revert ZeroAmount();
        (uint32 node, uint16 service) = _checkReceipt(source, receipt, amount);
        address staker = vault.stakerOf(node);
        if (staker == address(0)) revert NoStake(node);
        DisputeStorage storage $ = _storage();
        bytes32 subject = _subjectOf(source, receipt);
        claim = $.subjects[subject];
        if (claim != 0) revert AlreadyClaimed(subject, claim);
        claim = ++$.count;
        $.subjects[subject] = claim;
        Claim storage stored = $.claims[claim];
        stored.claimant = msg.sender;
        stored.amount = amount;
        stored.node = node;
        stored.service = service;
        stored.state = State.Open;
        stored.deadline = uint40(block.timestamp + Protocol.CONTEST);
        stored.bond = bondFor(amount);
        stored.subject = subject;
        stored.arbitrator = $.arbitrator;
        vault.freeze(claim, node, service, amount);
        _lockBond(2 * claim, msg.sender, staker, stored.bond);
        _emitOpened(claim, source, receipt, evidence);
    }

    /// @inheritdoc IDisputeManager
    function concede(uint256 claim) external {
        Claim storage stored = _inState(claim, State.Open);
        if (msg.sender != vault.stakerOf(stored.node)) revert NotStaker(stored.node, msg.sender);
        if (block.timestamp > stored.deadline) revert DeadlinePassed(stored.deadline);
        emit ClaimConceded(claim, msg.sender);
        _award(claim, stored, stored.amount);
        _giveBack(2 * claim, 0);
    }

    /// @inheritdoc IDisputeManager
    function contest(uint256 claim, bytes32 evidence) external {
        Claim storage stored = _inState(claim, State.Open);
        if (block.timestamp > stored.deadline) revert DeadlinePassed(stored.deadline);
        uint40 deadline = uint40(block.timestamp + Protocol.RULING);
        stored.state = State.Contested;
        stored.deadline = deadline;
        _storage().contesters[claim] = msg.sender;
        _lockBond(2 * claim + 1, msg.sender, stored.claimant, stored.bond);
        emit ClaimContested(claim, msg.sender, evidence, deadline);
    }

    /// @inheritdoc IDisputeManager
    function rule(uint256 claim, uint96 award, bytes32 reasons) external {
        Claim storage stored = _inState(claim, State.Contested);
        if (msg.sender != stored.arbitrator) revert NotArbitrator(claim, msg.sender);
        if (block.timestamp > stored.deadline) revert DeadlinePassed(stored.deadline);
        (uint96 amount, uint96 bond) = (stored.amount, stored.bond);
        if (award > amount) revert AwardAboveClaim(award, amount);
        emit ClaimRuled(claim, msg.sender, award, reasons);
        if (award == 0) {
            _drop(claim, stored, State.Rejected);
        } else {
            _award(claim, stored, award);
        }
        uint96 contesterLoses = uint96(uint256(bond) * award / amount);
        _giveBack(2 * claim, bond - contesterLoses);
        _giveBack(2 * claim + 1, contesterLoses);
    }

    /// @inheritdoc IDisputeManager
    function finalise(uint256 claim) external {
        Claim storage stored = _storage().claims[claim];
        State state = stored.state;
        if (state != State.Open && state != State.Contested) revert InvalidState(claim, state);
        if (block.timestamp <= stored.deadline) revert DeadlinePending(stored.deadline);
        if (state == State.Open && block.timestamp < vault.holdOf(claim).until) {
            _award(claim, stored, stored.amount);
        } else {
            _drop(claim, stored, State.Lapsed);
        }
        _giveBack(2 * claim, 0);
        if (state == State.Contested) _giveBack(2 * claim + 1, 0);
    }

    // --------------------------------------------------------------------------------------------- parameters

    /// @inheritdoc IDisputeManager
    function setArbitrator(address arbitrator_) external {
        if (msg.sender != timelock) revert NotTimelock(msg.sender);
        _setArbitrator(arbitrator_);
    }

    // -------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IDisputeManager
    function rulingOf(uint256 claim) external view returns (State state, uint96 award) {
        Claim storage stored = _storage().claims[claim];
        return (stored.state, stored.award);
    }

    /// @inheritdoc IDisputeManager
    function claimOf(uint256 claim) external view returns (Claim memory) {
        return _storage().claims[claim];
    }

    /// @inheritdoc IDisputeManager
    function contesterOf(uint256 claim) external view returns (address) {
        return _storage().contesters[claim];
    }

    /// @inheritdoc IDisputeManager
    function claimOn(address source, bytes32 receipt) external view returns (uint256) {
        return _storage().subjects[_subjectOf(source, receipt)];
    }

    /// @inheritdoc IDisputeManager
    function claimCount() external view returns (uint256) {
        return _storage().count;
    }

    /// @inheritdoc IDisputeManager
    function bondFor(uint96 amount) public pure returns (uint96) {
        uint256 share = (uint256(amount) * Protocol.CLAIM_BOND_BPS + Protocol.BPS - 1) / Protocol.BPS;
        return uint96(share < Protocol.CLAIM_BOND_MIN ? Protocol.CLAIM_BOND_MIN : share);
    }

    /// @inheritdoc IDisputeManager
    function lockIdsOf(uint256 claim) external pure returns (uint256 claimantLock, uint256 contesterLock) {
        return (2 * claim, 2 * claim + 1);
    }

    /// @inheritdoc IDisputeManager
    function arbitrator() external view returns (address) {
        return _storage().arbitrator;
    }

    // ------------------------------------------------------------------------------------------------ internal

    function _checkReceipt(address source, bytes32 receipt, uint96 amount)
        private
        view
        returns (uint32 node, uint16 service)
    {
        address payer;
        uint96 settled;
        (payer, node, service, settled,) = IReceipts(source).settledOf(receipt);
        // A verifier is known to the catalog; before that nothing the source says counts.
        if (service == 0 || source != catalog.verifierOf(service)) revert NotVerifier(service, source);
        address sourceHub = IClaimSource(source).hub();
        if (sourceHub != address(hub)) revert WrongHub(sourceHub);
        if (msg.sender != payer) revert NotReceiptPayer(receipt, msg.sender);
        if (amount > settled) revert AmountAboveSettled(amount, settled);
    }

    /// @dev On its own for the legacy pipeline's stack.
    function _emitOpened(uint256 claim, address source, bytes32 receipt, bytes32 evidence) private {
        Claim memory c = _storage().claims[claim];
        emit ClaimOpened(claim, c.claimant, c.node, c.service, source, receipt, c.amount, c.bond, c.deadline, evidence);
    }

    /// @dev The victim is also the reporter, so the catalog's bounty for claims stays with him.
    function _award(uint256 claim, Claim storage stored, uint96 award) private {
        stored.state = State.Awarded;
        stored.award = award;
        emit ClaimClosed(claim, State.Awarded, award);
        vault.award(claim, award, 0, stored.claimant, address(0));
    }

    function _drop(uint256 claim, Claim storage stored, State state) private {
        stored.state = state;
        emit ClaimClosed(claim, state, 0);
        // From the end of its round anyone may have lapsed it in the vault already.
        if (vault.holdOf(claim).state == IStakeManager.HoldState.Frozen) vault.lapse(claim);
    }

    function _lockBond(uint256 id, address payer, address payee, uint96 amount) private {
        hub.lock(id, payer, payee, NO_SERVICE, amount, uint40(block.timestamp + Protocol.MAX_FREEZE));
    }

    /// @dev Pays `lost` of a bond to its counterparty and gives the rest back. A claim nobody finalised for so long that
    /// the payer took his lock back himself has nothing left to give, and ends all the same.
    function _giveBack(uint256 id, uint96 lost) private {
        uint96 left = hub.lockOf(address(this), id).amount;
        if (lost > left) lost = left;
        if (lost != 0) hub.release(id, lost);
        if (left != lost) hub.refund(id, left - lost);
    }

    function _setArbitrator(address arbitrator_) private {
        if (arbitrator_.code.length == 0 || IArbitrator(arbitrator_).disputes() != address(this)) {
            revert InvalidArbitrator(arbitrator_);
        }
        _storage().arbitrator = arbitrator_;
        emit ArbitratorSet(arbitrator_);
    }

    function _inState(uint256 claim, State expected) private view returns (Claim storage stored) {
        stored = _storage().claims[claim];
        if (stored.state != expected) revert InvalidState(claim, stored.state);
    }

    function _subjectOf(address source, bytes32 receipt) private pure returns (bytes32) {
        return keccak256(abi.encode(source, receipt));
    }

    function _storage() private pure returns (DisputeStorage storage $) {
        assembly ("memory-safe") {
            $.slot := STORAGE_SLOT
        }
    }
}
