// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {PeriodBits} from "../../../contracts/libraries/PeriodBits.sol";
import {SumTree} from "../../../contracts/libraries/SumTree.sol";
import {Test} from "./Test.sol";

/// @dev Bits of periods and the sum tree against what they mean.
contract MarketLibrariesTest is Test {
    using PeriodBits for mapping(uint256 => uint256);
    using SumTree for mapping(uint256 => uint256);

    mapping(uint256 => uint256) private _bits;
    mapping(uint256 => uint256) private _sums;
    mapping(uint256 => uint256) private _other;

    // A popcount across words once paid 261 periods for 5.
    function testFuzz_bits_are_counted_exactly_between_two_periods(uint256 seed, uint256 from, uint256 to) public {
        uint32 first = uint32(bound(seed, 0, type(uint32).max - 1000));
        bool[1000] memory set;
        for (uint256 i = 0; i < 40; ++i) {
            uint256 place = uint256(keccak256(abi.encode(seed, i))) % 1000;
            set[place] = true;
            _bits.set(7, first + uint32(place));
        }
        _bits.set(8, first);
        from = bound(from, 0, 1000);
        to = bound(to, 0, 1000);
        uint256 expected;
        for (uint256 i = from; i < to; ++i) {
            if (set[i]) ++expected;
        }
        assertEq(_bits.count(7, first + from, first + to), expected);
    }

    function test_a_full_word_is_256_and_five_bits_across_words_are_five() public {
        for (uint32 p = 256; p < 512; ++p) {
            _bits.set(1, p);
        }
        assertEq(_bits.count(1, 256, 512), 256);
        assertEq(_bits.count(1, 0, 1024), 256);
        assertEq(_bits.count(1, 511, 513), 1);
        for (uint32 p = 254; p < 259; ++p) {
            _bits.set(2, p);
        }
        assertEq(_bits.count(2, 254, 259), 5);
        assertEq(_bits.count(2, 0, type(uint32).max / 4096), 5);
        assertEq(_bits.count(2, 259, 254), 0);
    }

    function testFuzz_popcount(uint256 x) public pure {
        uint256 expected;
        for (uint256 i = 0; i < 256; ++i) {
            expected += x >> i & 1;
        }
        assertEq(PeriodBits.popcount(x), expected);
        assertEq(PeriodBits.popcount(type(uint256).max), 256);
    }

    /// @dev Forty positions with moves: the total, every leaf's place, and a neighbour's tree untouched.
    function testFuzz_the_tree_finds_every_leaf(uint256 seed) public {
        uint256 depth;
        uint256 total;
        uint256[40] memory leaves;
        for (uint256 i = 0; i < 40; ++i) {
            depth = _sums.grow(3, depth, i, total);
            uint256 more = uint256(keccak256(abi.encode(seed, i))) % 5;
            _sums.move(3, depth, i, more, 0);
            leaves[i] = more;
            total += more;
        }
        for (uint256 i = 0; i < 40; ++i) {
            uint256 position = uint256(keccak256(abi.encode(seed, i, "move"))) % 40;
            uint256 more = uint256(keccak256(abi.encode(seed, i, "to"))) % 7;
            _sums.move(3, depth, position, more, leaves[position]);
            total = total + more - leaves[position];
            leaves[position] = more;
        }
        assertEq(depth, 3);
        uint256 index;
        for (uint256 i = 0; i < 40; ++i) {
            for (uint256 j = 0; j < leaves[i]; ++j) {
                (uint256 position, uint256 offset, uint256 found) = _sums.find(3, depth, total, index++);
                assertEq(found, leaves[i]);
                assertEq(position, i);
                assertEq(offset, j);
            }
        }
        assertEq(index, total);
        vm.expectRevert(SumTree.IndexBeyondTotal.selector);
        this.find(depth, total);
    }

    function find(uint256 depth, uint256 index) external view returns (uint256, uint256, uint256) {
        return _sums.find(3, depth, index, index);
    }

    function test_the_tree_has_15625_positions_and_sums_of_48_bits() public {
        uint256 depth;
        for (uint256 level = 0; level < 7; ++level) {
            depth = _other.grow(1, depth, 5 ** level, 0);
        }
        assertEq(depth, 7);
        assertEq(SumTree.MAX_DEPTH, 6);
        assertEq(_sums.grow(2, 6, 15_624, 0), 6);
        assertEq(_sums.grow(2, 6, 15_625, 0), 7);
        _sums.move(2, 6, 15_624, type(uint48).max, 0);
        (uint256 position, uint256 offset,) = _sums.find(2, 6, type(uint48).max, type(uint48).max - 1);
        assertEq(position, 15_624);
        assertEq(offset, type(uint48).max - 1);
        _sums.move(2, 6, 15_624, 0, type(uint48).max);
        _sums.move(2, 6, 15_623, 1, 0);
        (position,,) = _sums.find(2, 6, 1, 0);
        assertEq(position, 15_623);
    }
}
