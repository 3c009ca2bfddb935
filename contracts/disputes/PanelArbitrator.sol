// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IArbitrator} from "../interfaces/IArbitrator.sol";
import {IDisputeManager} from "../interfaces/IDisputeManager.sol";
import {Protocol} from "../libraries/Protocol.sol";

/// @title The first arbitrator: a panel of n members, k of whom must agree.
/// @notice Immutable but for its membership, which the Timelock sets. A member votes for an award and the digest of its
/// reasons; when k members of the panel as it stands agree on both, the panel rules. A member may change his vote until
/// then; a removed member's votes no longer count.
contract PanelArbitrator is IArbitrator {
    /// @dev A vote; `cast` because 0 is an award.
    struct Vote {
        uint96 award;
        bool cast;
        bytes32 reasons;
    }

    /// @notice Votes are counted by going through the members.
    uint256 public constant MAX_MEMBERS = Protocol.PANEL_MAX;

    /// @inheritdoc IArbitrator
    address public immutable disputes;
    /// @notice Sets the panel.
    address public immutable timelock;

    /// @notice How many members must agree.
    uint256 public threshold;
    address[] private _members;
    mapping(address account => bool) private _isMember;
    mapping(uint256 claim => mapping(address member => Vote)) private _votes;

    /// @notice The panel is now these members, of whom `threshold` must agree.
    event PanelSet(address[] members, uint256 threshold);
    /// @notice A member voted on a claim; the last vote of a member counts.
    event Voted(uint256 indexed claim, address indexed member, uint96 award, bytes32 reasons);

    /// @notice Only the Timelock may call this.
    error NotTimelock(address caller);
    /// @notice Only a member of the panel may vote.
    error NotMember(address caller);
    /// @notice A panel has 1 to MAX_MEMBERS members and a threshold of more than half of them.
    error InvalidPanel(uint256 members, uint256 threshold);
    /// @notice A member is zero or named twice.
    error InvalidMember(address member);
    /// @notice There is no such claim to rule on.
    error NotContested(uint256 claim, IDisputeManager.State state);
    /// @notice An award is at most the claim.
    error AwardAboveClaim(uint96 award, uint96 amount);

    constructor(address disputes_, address timelock_, address[] memory members_, uint256 threshold_) {
        disputes = disputes_;
        timelock = timelock_;
        _setPanel(members_, threshold_);
    }

    /// @notice Votes on a contested claim, and rules when that makes `threshold` equal votes. Members.
    /// @param award Wei, 0 to reject the claim.
    /// @param reasons Digest of what the panel publishes.
    /// @dev Reverts NotMember, NotContested, AwardAboveClaim, and as DisputeManager.rule does.
    function vote(uint256 claim, uint96 award, bytes32 reasons) external {
        if (!_isMember[msg.sender]) revert NotMember(msg.sender);
        IDisputeManager.Claim memory stored = IDisputeManager(disputes).claimOf(claim);
        if (stored.state != IDisputeManager.State.Contested) revert NotContested(claim, stored.state);
        if (award > stored.amount) revert AwardAboveClaim(award, stored.amount);
        _votes[claim][msg.sender] = Vote(award, true, reasons);
        emit Voted(claim, msg.sender, award, reasons);
        if (agreeing(claim, award, reasons) >= threshold) IDisputeManager(disputes).rule(claim, award, reasons);
    }

    /// @notice Replaces the panel. Votes of those who stay still count. The Timelock.
    /// @dev Reverts NotTimelock, InvalidPanel, InvalidMember.
    function setPanel(address[] calldata members_, uint256 threshold_) external {
        if (msg.sender != timelock) revert NotTimelock(msg.sender);
        for (uint256 i = 0; i < _members.length; ++i) {
            _isMember[_members[i]] = false;
        }
        _setPanel(members_, threshold_);
    }

    /// @notice The panel.
    function members() external view returns (address[] memory) {
        return _members;
    }

    /// @notice Whether an account is of the panel.
    function isMember(address account) external view returns (bool) {
        return _isMember[account];
    }

    /// @notice A member's last vote on a claim.
    function voteOf(uint256 claim, address member) external view returns (Vote memory) {
        return _votes[claim][member];
    }

    /// @notice How many members of the panel as it stands voted for this award with these reasons.
    function agreeing(uint256 claim, uint96 award, bytes32 reasons) public view returns (uint256 count) {
        for (uint256 i = 0; i < _members.length; ++i) {
            Vote storage cast = _votes[claim][_members[i]];
            if (cast.cast && cast.award == award && cast.reasons == reasons) ++count;
        }
    }

    function _setPanel(address[] memory members_, uint256 threshold_) private {
        uint256 size = members_.length;
        if (size == 0 || size > MAX_MEMBERS || threshold_ > size || 2 * threshold_ <= size) {
            revert InvalidPanel(size, threshold_);
        }
        for (uint256 i = 0; i < size; ++i) {
            address member = members_[i];
            if (member == address(0) || _isMember[member]) revert InvalidMember(member);
            _isMember[member] = true;
        }
        _members = members_;
        threshold = threshold_;
        emit PanelSet(members_, threshold_);
    }
}
