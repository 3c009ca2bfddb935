// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IBlake3Chunk} from "../../../contracts/interfaces/IBlake3Chunk.sol";
import {IProofVerifier} from "../../../contracts/interfaces/IProofVerifier.sol";
import {Blake3Chunk} from "../../../contracts/storage/Blake3Chunk.sol";
import {ProofVerifier} from "../../../contracts/storage/ProofVerifier.sol";
import {Test} from "./Test.sol";

/// @dev Answers of tests/vectors/proof.json, whole and spoilt in every place.
contract ProofVerifierTest is Test {
    ProofVerifier private _verifier;
    string private _json;

    function setUp() public {
        _verifier = new ProofVerifier(new Blake3Chunk());
        _json = vm.readFile("tests/vectors/proof.json");
    }

    function _vector(uint256 agreement, uint256 answer)
        private
        view
        returns (bytes32 root, uint256 leaves, uint256 offset, bytes memory data)
    {
        string memory place = string.concat(".agreements[", vm.toString(agreement), "]");
        root = vm.parseJsonBytes32(_json, string.concat(place, ".root"));
        leaves = vm.parseJsonUint(_json, string.concat(place, ".leaves"));
        place = string.concat(place, ".answers[", vm.toString(answer), "]");
        offset = vm.parseJsonUint(_json, string.concat(place, ".offset"));
        data = vm.parseJsonBytes(_json, string.concat(place, ".answer"));
    }

    function test_every_vector_verifies_and_says_its_length() public view {
        uint256[6] memory counts = [uint256(1), 1, 2, 4, 9, 7];
        for (uint256 i = 0; i < 6; ++i) {
            for (uint256 j = 0; j < counts[i]; ++j) {
                (bytes32 root, uint256 leaves, uint256 offset, bytes memory data) = _vector(i, j);
                assertEq(_verifier.verify(root, leaves, offset, data), data.length);
                assertEq(_verifier.verify(root, leaves, offset, bytes.concat(data, "more")), data.length);
            }
        }
    }

    function test_every_changed_byte_fails() public view {
        for (uint256 j = 0; j < 9; j += 4) {
            (bytes32 root, uint256 leaves, uint256 offset, bytes memory data) = _vector(4, j);
            for (uint256 i = 0; i < data.length; ++i) {
                bytes memory spoilt = bytes.concat(data);
                spoilt[i] ^= bytes1(uint8(1 << (i & 7)));
                (bool ok,) =
                    address(_verifier).staticcall(abi.encodeCall(IProofVerifier.verify, (root, leaves, offset, spoilt)));
                assertFalse(ok, vm.toString(i));
            }
        }
    }

    function test_every_shortened_answer_fails() public view {
        (bytes32 root, uint256 leaves, uint256 offset, bytes memory data) = _vector(4, 4);
        for (uint256 i = 0; i < data.length; i += 7) {
            bytes memory cut = new bytes(i);
            for (uint256 k = 0; k < i; ++k) {
                cut[k] = data[k];
            }
            (bool ok,) =
                address(_verifier).staticcall(abi.encodeCall(IProofVerifier.verify, (root, leaves, offset, cut)));
            assertFalse(ok, vm.toString(i));
        }
    }

    function test_another_offset_root_or_total_fails() public {
        (bytes32 root, uint256 leaves, uint256 offset, bytes memory data) = _vector(4, 2);
        for (uint256 i = 0; i < leaves; ++i) {
            (bool ok,) = address(_verifier).staticcall(abi.encodeCall(IProofVerifier.verify, (root, leaves, i, data)));
            assertEq(ok, i == offset);
        }
        vm.expectRevert(IProofVerifier.WrongPiece.selector);
        _verifier.verify(root, leaves + 1, offset, data);
        vm.expectRevert(IProofVerifier.WrongPiece.selector);
        _verifier.verify(keccak256("root"), leaves, offset, data);
    }

    function test_what_is_wrong_is_named() public {
        (bytes32 root, uint256 leaves, uint256 offset, bytes memory data) = _vector(1, 0);
        // piece 39 | block 39 | length 2 | chunk 1024 | siblings 1
        data[39] ^= 0x01;
        vm.expectRevert(IProofVerifier.WrongBlock.selector);
        _verifier.verify(root, leaves, offset, data);
        data[39] ^= 0x01;
        data[100] ^= 0x01;
        vm.expectRevert(IProofVerifier.WrongChunk.selector);
        _verifier.verify(root, leaves, offset, data);
        data[100] ^= 0x01;
        data[0] ^= 0x01;
        vm.expectRevert(IProofVerifier.WrongPiece.selector);
        _verifier.verify(root, leaves, offset, data);
        data[0] ^= 0x01;
        vm.expectRevert(IProofVerifier.WrongPosition.selector);
        _verifier.verify(root, leaves, 1, data);
        data[data.length - 1] = 0x01;
        vm.expectRevert(IProofVerifier.MalformedAnswer.selector);
        _verifier.verify(root, leaves, offset, data);
        vm.expectRevert(IBlake3Chunk.MalformedChunk.selector);
        _verifier.verify(root, leaves, offset, bytes.concat(data, bytes32(0)));
    }

    function test_a_side_is_0_or_1() public {
        bytes memory path = new bytes(39);
        _verifier.climb(0, 1, path);
        path[0] = 0x01;
        _verifier.climb(0, 1, path);
        path[0] = 0x02;
        vm.expectRevert(IProofVerifier.MalformedAnswer.selector);
        _verifier.climb(0, 1, path);
        vm.expectRevert(IProofVerifier.MalformedAnswer.selector);
        _verifier.climb(0, 1, new bytes(40));
    }

    function test_a_sum_beyond_48_bits_is_no_sum() public {
        bytes memory path = bytes.concat(new bytes(33), hex"ffffffffffff");
        vm.expectRevert(IProofVerifier.MalformedAnswer.selector);
        _verifier.climb(0, 1, path);
    }
}

/// @dev BLAKE3's own test vectors (input bytes count up modulo 251) for blocks of one chunk, and the shapes that are none.
contract Blake3ChunkTest is Test {
    Blake3Chunk private _blake3;

    function setUp() public {
        _blake3 = new Blake3Chunk();
    }

    function _input(uint256 length) private pure returns (bytes memory data) {
        data = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            data[i] = bytes1(uint8(i % 251));
        }
    }

    function test_official_vectors_of_one_chunk() public view {
        assertEq(_blake3.rootOf(0, 1, 1, _input(1)), 0x2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213);
        assertEq(
            _blake3.rootOf(0, 1, 1023, _input(1023)), 0x10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11
        );
        assertEq(
            _blake3.rootOf(0, 1, 1024, _input(1024)), 0x42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7
        );
    }

    function test_impossible_shapes_revert() public {
        bytes memory full = _input(1024);
        _refused(0, 0, 1024, full);
        _refused(1, 1, 1024, full);
        _refused(0, 1025, 1024, full);
        _refused(0, 1, 0, "");
        _refused(0, 1, 1025, _input(1025));
        _refused(0, 1, 1024, _input(1023));
        _refused(0, 1, 1024, _input(1056));
        _refused(0, 2, 1023, _input(1023 + 32));
        _refused(0, 2, 1024, full);
        _refused(type(uint256).max, 1, 1024, full);
        _blake3.rootOf(1, 2, 1023, _input(1023 + 32));
        _blake3.rootOf(2, 3, 1, _input(1 + 32));
        _blake3.rootOf(0, 3, 1024, _input(1024 + 64));
        _blake3.rootOf(0, 1024, 1024, _input(1024 + 320));
    }

    function _refused(uint256 index, uint256 count, uint256 length, bytes memory proof) private {
        vm.expectRevert(IBlake3Chunk.MalformedChunk.selector);
        _blake3.rootOf(index, count, length, proof);
    }
}
