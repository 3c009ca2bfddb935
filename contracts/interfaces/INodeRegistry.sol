// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// UUPS. Ids are dense and never reused.
interface INodeRegistry {
    struct Node { address owner; uint40 since; uint8 flags; address signer; address payee; bytes32 manifest; } // signer/payee 0 = owner, then not written
    struct Offer { uint64 price; uint48 capacity; uint16 region; uint32 listIndex; uint40 updatedAt; uint8 flags; } // 208 bits; wei per GiB-period; GiB
    function register(bytes32 manifest, string calldata endpoint) external returns (uint32 node);               // anyone; becomes owner
    function setOffer(uint32 node, uint16 service, uint64 price, uint48 capacity, uint16 region) external;      // owner or signer
    function setManifest(uint32 node, bytes32 manifest, string calldata endpoint) external;                     // owner or signer
    function setKeys(uint32 node, address signer, address payee) external;                                      // owner; payee for new deals only
    function transferNode(uint32 node, address to) external;                                                    // owner; with stake, only together with the staker
    function acceptNode(uint32 node) external;                                                                  // the new owner; reverts unless stakerOf is 0 or the caller
    function ownerOf(uint32 node) external view returns (address);
    function signerOf(uint32 node) external view returns (address);
    function payeeOf(uint32 node) external view returns (address);
    function nodesOf(uint16 service, uint256 cursor, uint256 limit) external view returns (uint32[] memory, uint256 next); // uint32[8] a slot
}
