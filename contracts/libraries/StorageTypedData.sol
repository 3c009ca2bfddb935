// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IStorageMarketTypes} from "../interfaces/IStorageMarketTypes.sol";

/// @title EIP-712 hashes of the storage market
/// @dev Every field of Terms, Change and Policy is one word, so their ABI encoding is their EIP-712 encoding.
library StorageTypedData {
    bytes32 internal constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 internal constant NAME_HASH = keccak256("Blackhole StorageMarket");
    bytes32 internal constant VERSION_HASH = keccak256("1");
    bytes32 internal constant TERMS_TYPEHASH = keccak256(
        "Terms(address payer,uint32 node,address payee,bytes32 root,bytes32 pieces,uint48 leaves,uint96 rate,uint32 start,uint32 end,uint96 prepaid,uint96 repairShare,address repairer,uint64 salt)"
    );
    bytes32 internal constant BATCH_TYPEHASH = keccak256("TermsBatch(bytes32[] ids)");
    bytes32 internal constant CHANGE_TYPEHASH = keccak256(
        "Change(uint256 id,bytes32 root,bytes32 pieces,uint48 leaves,uint96 rate,uint32 end,uint96 prepaid,uint16 nonce,uint32 lastPeriod)"
    );
    bytes32 internal constant POLICY_TYPEHASH = keccak256(
        "Policy(address payer,bytes32 manifest,uint96 maxRate,uint96 budget,bytes32 allowedNodes,uint40 expiry,uint64 nonce)"
    );

    function domainSeparator() internal view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, block.chainid, address(this)));
    }

    function digest(IStorageMarketTypes.Terms calldata t) internal view returns (bytes32) {
        uint256 from;
        assembly ("memory-safe") {
            from := t
        }
        return typed(_hash(TERMS_TYPEHASH, from, 13));
    }

    function digest(bytes32[] memory ids) internal view returns (bytes32) {
        return typed(keccak256(abi.encode(BATCH_TYPEHASH, keccak256(abi.encodePacked(ids)))));
    }

    function digest(IStorageMarketTypes.Change calldata c) internal view returns (bytes32) {
        uint256 from;
        assembly ("memory-safe") {
            from := c
        }
        return typed(_hash(CHANGE_TYPEHASH, from, 9));
    }

    function digest(IStorageMarketTypes.Policy calldata p) internal view returns (bytes32) {
        uint256 from;
        assembly ("memory-safe") {
            from := p
        }
        return typed(_hash(POLICY_TYPEHASH, from, 7));
    }

    /// @dev Hash of a struct whose fields are one word each, as they stand in calldata. A field with bits beyond its type gives
    /// a hash that no wallet signs.
    function _hash(bytes32 typehash, uint256 from, uint256 words) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let m := mload(0x40)
            mstore(m, typehash)
            calldatacopy(add(m, 32), from, mul(32, words))
            hash := keccak256(m, add(32, mul(32, words)))
        }
    }

    function typed(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domainSeparator(), structHash));
    }
}
