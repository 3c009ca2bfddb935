// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Protocol} from "./Protocol.sol";

/// @title Reads packed vouchers: who signed a row, for which lane and how much.
/// @notice A row is u32 lane | u48 cumulative | r (32 bytes) | vs (32 bytes, EIP-2098).
/// @dev All rows of a redemption share payee, service and domain, so one buffer holds the typed data and each row only
/// writes its two fields.
library VoucherRows {
    /// @dev Bytes a row.
    uint256 internal constant SIZE = Protocol.VOUCHER_ROW;
    bytes32 internal constant TYPEHASH =
        keccak256("Voucher(address payee,uint16 service,uint32 lane,uint48 cumulative)");

    // secp256k1 order / 2: a signature with a higher s is its mirror, and only one of the two counts.
    uint256 private constant HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    // Buffer: 0x00 type hash, payee, service, lane, cumulative | 0xa0 "\x19\x01", domain, struct hash | 0x100 digest, v, r, s
    uint256 private constant BUFFER = 0x180;

    /// @dev The buffer for vouchers of one payee and service.
    function prepare(bytes32 domain, address payee, uint16 service) internal pure returns (uint256 buffer) {
        bytes32 typehash = TYPEHASH;
        assembly ("memory-safe") {
            buffer := mload(0x40)
            mstore(0x40, add(buffer, BUFFER))
            mstore(buffer, typehash)
            mstore(add(buffer, 0x20), and(payee, 0xffffffffffffffffffffffffffffffffffffffff))
            mstore(add(buffer, 0x40), and(service, 0xffff))
            mstore(add(buffer, 0xa0), shl(240, 0x1901))
            mstore(add(buffer, 0xa2), domain)
        }
    }

    /// @dev The lane and the cumulative amount of the row at calldata position `row`.
    function amounts(uint256 row) internal pure returns (uint256 lane, uint256 cumulative) {
        assembly ("memory-safe") {
            let word := calldataload(row)
            lane := shr(224, word)
            cumulative := and(shr(176, word), 0xffffffffffff)
        }
    }

    /// @dev The EIP-712 digest of a voucher.
    function digest(uint256 buffer, uint256 lane, uint256 cumulative) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            mstore(add(buffer, 0x60), lane)
            mstore(add(buffer, 0x80), cumulative)
            mstore(add(buffer, 0xc2), keccak256(buffer, 0xa0))
            hash := keccak256(add(buffer, 0xa0), 0x42)
        }
    }

    /// @dev Who signed the row at calldata position `row`; 0 when nobody did or s is high.
    function signer(uint256 buffer, uint256 row, uint256 lane, uint256 cumulative)
        internal
        view
        returns (uint256 account)
    {
        bytes32 hash = digest(buffer, lane, cumulative);
        assembly ("memory-safe") {
            let vs := calldataload(add(row, 42))
            let s := shr(1, shl(1, vs))
            // The precompile returns nothing for a point off the curve; then the zeroed word stays.
            mstore(0, 0)
            if iszero(gt(s, HALF_ORDER)) {
                let input := add(buffer, 0x100)
                mstore(input, hash)
                mstore(add(input, 0x20), add(27, shr(255, vs)))
                mstore(add(input, 0x40), calldataload(add(row, 10)))
                mstore(add(input, 0x60), s)
                pop(staticcall(gas(), 1, input, 0x80, 0, 0x20))
            }
            account := mload(0)
        }
    }
}
