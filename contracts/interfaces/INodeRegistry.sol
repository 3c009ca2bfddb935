// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The nodes: who owns them, what they offer, how to find them.
/// @notice UUPS. Ids are dense, start at 1 and are never reused. The endpoint stands in the event only; the manifest
/// digest commits to the node's TLS key, prices of reads and everything else a client pins.
interface INodeRegistry {
    /// @dev Four slots; `signer` and `payee` are written only where they differ from the owner.
    /// @param owner Holds the node; bonds first.
    /// @param since Time of registration, seconds.
    /// @param flags Reserved, 0.
    /// @param signer Hot key of the agent; 0 = the owner.
    /// @param payee Who is paid by new deals; 0 = the owner.
    /// @param manifest SHA-256 digest of the node's manifest.
    struct Node {
        address owner;
        uint40 since;
        uint8 flags;
        address signer;
        address payee;
        bytes32 manifest;
    }

    /// @dev One slot.
    /// @param price Wei per GiB and period.
    /// @param capacity GiB offered; 0 = the offer is withdrawn and not listed.
    /// @param region ISO 3166-1 numeric code the node declares; a hint.
    /// @param listIndex Place in the service's list, counted from 1; 0 = not listed.
    /// @param updatedAt Seconds.
    /// @param flags Reserved, 0.
    struct Offer {
        uint64 price;
        uint48 capacity;
        uint16 region;
        uint32 listIndex;
        uint40 updatedAt;
        uint8 flags;
    }

    /// @notice A node was registered.
    event NodeRegistered(uint32 indexed node, address indexed owner, bytes32 manifest, string endpoint);
    /// @notice A node's manifest or endpoint changed.
    event ManifestSet(uint32 indexed node, bytes32 manifest, string endpoint);
    /// @notice A node's offer for a service changed; capacity 0 withdraws it.
    event OfferSet(uint32 indexed node, uint16 indexed service, uint64 price, uint48 capacity, uint16 region);
    /// @notice A node's keys changed; what stands here is what signerOf and payeeOf answer now.
    event KeysSet(uint32 indexed node, address signer, address payee);
    /// @notice The owner offers the node to another; `to` = 0 takes the offer back.
    event NodeTransferStarted(uint32 indexed node, address indexed from, address indexed to);
    /// @notice The node has a new owner; signer and payee are the new owner until he sets them.
    event NodeTransferred(uint32 indexed node, address indexed from, address indexed to);

    /// @notice No node has this id.
    error UnknownNode(uint32 node);
    /// @notice Only the node's owner may call this.
    error NotNodeOwner(uint32 node, address caller);
    /// @notice Only the node's owner or its hot signer may call this.
    error NotNodeOperator(uint32 node, address caller);
    /// @notice The caller is not the one the node was offered to.
    error NotPendingOwner(uint32 node, address caller);
    /// @notice The node has stake of another staker: take that over first (StakeManager.acceptStaker).
    error NodeHasStake(uint32 node, address staker);
    /// @notice A manifest digest of zero commits to nothing.
    error EmptyManifest();
    /// @notice An endpoint is 1 to 256 bytes long.
    error InvalidEndpoint(uint256 length);
    /// @notice Service 0 names no service.
    error InvalidService();
    /// @notice The offer is not listed and capacity 0 would withdraw it.
    error NotListed(uint32 node, uint16 service);

    /// @notice Registers a node; the caller becomes its owner. Anyone.
    /// @param manifest SHA-256 digest of the manifest, not 0.
    /// @param endpoint Where clients reach the node, 1 to 256 bytes, e.g. "https://203.0.113.7:4433"; in the event only.
    /// @return node Its id.
    /// @dev Reverts EmptyManifest, InvalidEndpoint.
    function register(bytes32 manifest, string calldata endpoint) external returns (uint32 node);

    /// @notice Writes the node's offer for a service and lists it; capacity 0 withdraws and unlists it. Owner or signer.
    /// @param price Wei per GiB and period.
    /// @param capacity GiB.
    /// @param region ISO 3166-1 numeric code, 0 = not said.
    /// @dev Reverts UnknownNode, NotNodeOperator, InvalidService, NotListed.
    function setOffer(uint32 node, uint16 service, uint64 price, uint48 capacity, uint16 region) external;

    /// @notice Writes the node's manifest and endpoint. Owner or signer.
    /// @dev Reverts UnknownNode, NotNodeOperator, EmptyManifest, InvalidEndpoint.
    function setManifest(uint32 node, bytes32 manifest, string calldata endpoint) external;

    /// @notice Writes the node's hot signer and payee; 0 or the owner's own address = the owner. Owner only.
    /// @dev The payee holds for new deals only: live ones keep theirs. Reverts UnknownNode, NotNodeOwner.
    function setKeys(uint32 node, address signer, address payee) external;

    /// @notice Offers the node to another owner, who accepts with acceptNode; 0 takes the offer back. Owner only.
    /// @dev Reverts UnknownNode, NotNodeOwner.
    function transferNode(uint32 node, address to) external;

    /// @notice Takes over an offered node; resets signer and payee to the new owner. The one it was offered to.
    /// @dev A node with stake changes owner only together with its staker: reverts NodeHasStake unless stakerOf is 0 or
    /// the caller. Reverts UnknownNode, NotPendingOwner.
    function acceptNode(uint32 node) external;

    /// @notice The owner, 0 for an unknown node.
    function ownerOf(uint32 node) external view returns (address);

    /// @notice The key that signs for the node: its hot signer, else its owner; 0 for an unknown node.
    function signerOf(uint32 node) external view returns (address);

    /// @notice Who new deals pay: the payee, else the owner; 0 for an unknown node.
    function payeeOf(uint32 node) external view returns (address);

    /// @notice The whole record as stored (signer and payee 0 = the owner); all zero for an unknown node.
    function nodeOf(uint32 node) external view returns (Node memory);

    /// @notice The node's offer for a service; all zero if it never made one.
    function offerOf(uint32 node, uint16 service) external view returns (Offer memory);

    /// @notice Whom the node is offered to, 0 for nobody.
    function pendingOwnerOf(uint32 node) external view returns (address);

    /// @notice The highest id registered so far: ids are 1 to nodeCount.
    function nodeCount() external view returns (uint32);

    /// @notice How many nodes offer a service.
    function listedCount(uint16 service) external view returns (uint256);

    /// @notice A page of the nodes that offer a service.
    /// @param cursor 0, then `next` of the page before.
    /// @param limit At most so many ids.
    /// @return nodes Ids, in no promised order: a withdrawn offer is replaced by the last one, so read all pages at one block.
    /// @return next The next cursor; 0 after the last page.
    function nodesOf(uint16 service, uint256 cursor, uint256 limit)
        external
        view
        returns (uint32[] memory nodes, uint256 next);
}
