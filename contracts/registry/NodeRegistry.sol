// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {DelayedUpgrade} from "../governance/DelayedUpgrade.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IStakeManager} from "../interfaces/IStakeManager.sol";
import {Protocol} from "../libraries/Protocol.sol";

/// @title Who the nodes are and what they offer. See {INodeRegistry} for what each call requires.
contract NodeRegistry is INodeRegistry, DelayedUpgrade {
    /// @notice Asked for a node's staker when the node changes hands.
    IStakeManager public immutable vault;

    /// @custom:storage-location erc7201:blackhole.storage.NodeRegistry
    struct RegistryStorage {
        uint32 count;
        mapping(uint32 node => Node) nodes;
        mapping(uint32 node => address) pendingOwners;
        mapping(uint32 node => mapping(uint16 service => Offer)) offers;
        // The nodes that offer a service, eight ids a word.
        mapping(uint16 service => uint256) listed;
        mapping(uint16 service => mapping(uint256 word => uint256)) lists;
    }

    // keccak256(abi.encode(uint256(keccak256("blackhole.storage.NodeRegistry")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE_SLOT = 0x0202135e50cb3330195c6dfc8b803f83ca68a2b3f3d5807bebc60999f9493100;

    constructor(address timelock_, IStakeManager vault_) DelayedUpgrade(timelock_) {
        vault = vault_;
    }

    /// @notice Marks the proxy as initialized; there is nothing to set. Once, by the deployment.
    function initialize() external initializer {}

    /// @inheritdoc INodeRegistry
    function register(bytes32 manifest, string calldata endpoint) external returns (uint32 node) {
        _checkManifest(manifest, endpoint);
        RegistryStorage storage $ = _storage();
        node = ++$.count;
        Node storage stored = $.nodes[node];
        stored.owner = msg.sender;
        stored.since = uint40(block.timestamp);
        stored.manifest = manifest;
        emit NodeRegistered(node, msg.sender, manifest, endpoint);
    }

    /// @inheritdoc INodeRegistry
    function setOffer(uint32 node, uint16 service, uint64 price, uint48 capacity, uint16 region) external {
        _checkOperator(node);
        if (service == 0) revert InvalidService();
        RegistryStorage storage $ = _storage();
        Offer storage offer = $.offers[node][service];
        uint32 index = offer.listIndex;
        if (capacity == 0) {
            if (index == 0) revert NotListed(node, service);
            _unlist($, service, index);
            index = 0;
        } else if (index == 0) {
            index = _list($, service, node);
        }
        $.offers[node][service] = Offer(price, capacity, region, index, uint40(block.timestamp), 0);
        emit OfferSet(node, service, price, capacity, region);
    }

    /// @inheritdoc INodeRegistry
    function setManifest(uint32 node, bytes32 manifest, string calldata endpoint) external {
        _checkOperator(node);
        _checkManifest(manifest, endpoint);
        _storage().nodes[node].manifest = manifest;
        emit ManifestSet(node, manifest, endpoint);
    }

    /// @inheritdoc INodeRegistry
    function setKeys(uint32 node, address signer, address payee) external {
        Node storage stored = _ownedBy(node, msg.sender);
        stored.signer = signer == msg.sender ? address(0) : signer;
        stored.payee = payee == msg.sender ? address(0) : payee;
        emit KeysSet(node, signer == address(0) ? msg.sender : signer, payee == address(0) ? msg.sender : payee);
    }

    /// @inheritdoc INodeRegistry
    function transferNode(uint32 node, address to) external {
        _ownedBy(node, msg.sender);
        _storage().pendingOwners[node] = to;
        emit NodeTransferStarted(node, msg.sender, to);
    }

    /// @inheritdoc INodeRegistry
    function acceptNode(uint32 node) external {
        RegistryStorage storage $ = _storage();
        Node storage stored = $.nodes[node];
        address from = stored.owner;
        if (from == address(0)) revert UnknownNode(node);
        if (msg.sender != $.pendingOwners[node]) revert NotPendingOwner(node, msg.sender);
        address staker = vault.stakerOf(node);
        if (staker != address(0) && staker != msg.sender) revert NodeHasStake(node, staker);
        delete $.pendingOwners[node];
        stored.owner = msg.sender;
        // The old owner's hot key must not sign for the new owner's stake.
        stored.signer = address(0);
        stored.payee = address(0);
        emit NodeTransferred(node, from, msg.sender);
        emit KeysSet(node, msg.sender, msg.sender);
    }

    /// @inheritdoc INodeRegistry
    function ownerOf(uint32 node) external view returns (address) {
        return _storage().nodes[node].owner;
    }

    /// @inheritdoc INodeRegistry
    function signerOf(uint32 node) public view returns (address) {
        Node storage stored = _storage().nodes[node];
        address signer = stored.signer;
        return signer == address(0) ? stored.owner : signer;
    }

    /// @inheritdoc INodeRegistry
    function payeeOf(uint32 node) external view returns (address) {
        Node storage stored = _storage().nodes[node];
        address payee = stored.payee;
        return payee == address(0) ? stored.owner : payee;
    }

    /// @inheritdoc INodeRegistry
    function nodeOf(uint32 node) external view returns (Node memory) {
        return _storage().nodes[node];
    }

    /// @inheritdoc INodeRegistry
    function offerOf(uint32 node, uint16 service) external view returns (Offer memory) {
        return _storage().offers[node][service];
    }

    /// @inheritdoc INodeRegistry
    function pendingOwnerOf(uint32 node) external view returns (address) {
        return _storage().pendingOwners[node];
    }

    /// @inheritdoc INodeRegistry
    function nodeCount() external view returns (uint32) {
        return _storage().count;
    }

    /// @inheritdoc INodeRegistry
    function listedCount(uint16 service) external view returns (uint256) {
        return _storage().listed[service];
    }

    /// @inheritdoc INodeRegistry
    function nodesOf(uint16 service, uint256 cursor, uint256 limit)
        external
        view
        returns (uint32[] memory nodes, uint256 next)
    {
        RegistryStorage storage $ = _storage();
        uint256 length = $.listed[service];
        uint256 size = cursor < length ? length - cursor : 0;
        if (limit < size) {
            size = limit;
            next = cursor + size;
        }
        nodes = new uint32[](size);
        uint256 word;
        for (uint256 i = 0; i < size; ++i) {
            uint256 index = cursor + i;
            if (i == 0 || index % 8 == 0) word = $.lists[service][index / 8];
            nodes[i] = uint32(word >> (index % 8 * 32));
        }
    }

    /// @dev Appends a node to a service's list; places count from 1.
    function _list(RegistryStorage storage $, uint16 service, uint32 node) private returns (uint32 place) {
        uint256 index = $.listed[service]++;
        _write($, service, index, node);
        return uint32(index + 1);
    }

    /// @dev The last of the list moves into the freed place.
    function _unlist(RegistryStorage storage $, uint16 service, uint32 place) private {
        uint256 last = --$.listed[service];
        uint32 moved = uint32($.lists[service][last / 8] >> (last % 8 * 32));
        _write($, service, last, 0);
        if (place != last + 1) {
            _write($, service, place - 1, moved);
            $.offers[moved][service].listIndex = place;
        }
    }

    function _write(RegistryStorage storage $, uint16 service, uint256 index, uint32 node) private {
        uint256 shift = index % 8 * 32;
        uint256 word = $.lists[service][index / 8];
        $.lists[service][index / 8] = word & ~(uint256(type(uint32).max) << shift) | uint256(node) << shift;
    }

    function _ownedBy(uint32 node, address caller) private view returns (Node storage stored) {
        stored = _storage().nodes[node];
        address owner = stored.owner;
        if (owner == address(0)) revert UnknownNode(node);
        if (caller != owner) revert NotNodeOwner(node, caller);
    }

    function _checkOperator(uint32 node) private view {
        Node storage stored = _storage().nodes[node];
        address owner = stored.owner;
        if (owner == address(0)) revert UnknownNode(node);
        if (msg.sender != owner && msg.sender != signerOf(node)) revert NotNodeOperator(node, msg.sender);
    }

    function _checkManifest(bytes32 manifest, string calldata endpoint) private pure {
        if (manifest == 0) revert EmptyManifest();
        uint256 length = bytes(endpoint).length;
        if (length == 0 || length > Protocol.ENDPOINT_MAX) revert InvalidEndpoint(length);
    }

    function _storage() private pure returns (RegistryStorage storage $) {
        assembly ("memory-safe") {
            $.slot := STORAGE_SLOT
        }
    }
}
