// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IProofVerifier} from "../../../contracts/interfaces/IProofVerifier.sol";
import {Protocol} from "../../../contracts/libraries/Protocol.sol";
import {StorageMarket} from "../../../contracts/storage/StorageMarket.sol";
import {Content, MarketFixture} from "./MarketFixture.sol";
import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";

/// @dev Attacks that found money elsewhere, each by name.
contract MarketAttacksTest is MarketFixture {
    Content internal one;
    Content internal two;
    uint256 internal id;
    uint32 internal p;

    function setUp() public {
        deployAll();
        one = content("one", 3, 1, 2);
        two = content("two", 1);
        id = open(node, one);
        p = market.currentPeriod() + 1;
    }

    function _lockedFrom(bytes memory reason) private {
        Terms memory t = terms(node, two);
        (bytes memory a, bytes memory b) = (signPayer(t), signNode(t));
        vm.expectRevert(reason);
        market.open(t, a, b);
        Change memory c = change(id, two);
        (a, b) = signChange(c);
        vm.expectRevert(reason);
        market.change(c, a, b);
    }

    // A payer keeps a node's signature until the node has let the staged bytes go, and binds it to them then: every proof after
    // that fails, and ten misses take the whole reserve.
    function test_attack_a_change_kept_until_its_bytes_are_dropped() public {
        Change memory c = change(id, two);
        (bytes memory a, bytes memory b) = signChange(c);
        for (uint32 q = p; q <= c.lastPeriod; ++q) {
            period(node, q, true);
        }
        vm.expectRevert(abi.encodeWithSelector(ChangeExpired.selector, c.lastPeriod));
        market.change(c, a, b);
        period(node, c.lastPeriod + 1, true);
        assertEq(market.agreementOf(id).root, trees.rootOf(one), "bound to what it holds");
    }

    // A node that knows the seed must not move its sample by adding or removing leaves.
    function test_attack_seed_grinding_by_moving_the_sample() public {
        toPeriod(p + 1);
        market.draw(p);
        bytes memory reason = abi.encodeWithSelector(NodeIsProving.selector, node, p);
        // The block's hash is known before its seed is stored: locked from the first call on.
        _lockedFrom(reason);
        pass(Protocol.DRAW_DELAY + 1);
        _lockedFrom(reason);
        market.draw(p);
        _lockedFrom(reason);
        passWindow();
        open(node, two);
    }

    function test_attack_removing_pieces_after_the_seed() public {
        Terms memory t = terms(node, two);
        (t.end, t.prepaid) = (t.start + 1, RATE);
        uint256 short = open(t);
        contents[short] = two;
        period(node, p, true);
        drawn(p + 1);
        vm.expectRevert(abi.encodeWithSelector(NodeIsProving.selector, node, p + 1));
        market.close(short);
        prove(node, p + 1);
        market.close(short);
    }

    function test_attack_rerolling_a_missed_seed() public {
        toPeriod(p + 1);
        market.draw(p);
        (, uint40 point) = market.pendingDraw();
        vm.roll(point + 257);
        market.draw(p);
        pass(5);
        vm.expectRevert(abi.encodeWithSelector(DrawVoid.selector, p));
        market.draw(p);
        toPeriod(p + 2);
        vm.expectRevert(abi.encodeWithSelector(NotDrawable.selector, p, p + 2));
        market.draw(p);
        passWindow();
        settle(id);
        assertEq(locked(id), 10 * RATE, "a void period is unpaid");
        vm.expectRevert(abi.encodeWithSelector(NotDrawn.selector, p));
        market.reportMissed(node, p, id);
    }

    function test_attack_blockhash_older_than_256() public {
        toPeriod(p + 1);
        market.draw(p);
        (, uint40 point) = market.pendingDraw();
        vm.roll(point + 256);
        market.draw(p);
        (uint168 seed,) = market.seedOf(p);
        assertNotEq(uint256(seed), uint256(uint168(uint256(keccak256(abi.encode(bytes32(0), p))))));
        assertGt(seed, 0);
    }

    function test_attack_changed_leaf_path_sum_position_or_length() public {
        drawn(p);
        bytes memory right = answers(node, p);
        for (uint256 i = 0; i < right.length; ++i) {
            bytes memory wrong = bytes.concat(right);
            wrong[i] ^= 0x01;
            (bool ok,) = address(market).call(abi.encodeCall(market.prove, (node, p, wrong)));
            assertFalse(ok);
        }
        uint256 offset = market.sampleOf(node, p, 0);
        for (uint256 i = 0; i < 6; ++i) {
            if (i == offset) continue;
            bytes memory wrong = trees.answer(one, i);
            vm.expectRevert();
            market.prove(node, p, wrong);
        }
        market.prove(node, p, right);
    }

    function test_attack_popcount_across_words() public {
        // To the next word of 256 periods, less two.
        uint32 start = (market.currentPeriod() | 255) - 1;
        toPeriod(start - 1);
        Terms memory t = terms(other, two);
        (t.end, t.prepaid) = (start + 300, 300 * RATE);
        uint256 long = open(t);
        contents[long] = two;
        for (uint32 q = start; q < start + 5; ++q) {
            period(other, q, true);
        }
        toPeriod(start + 299);
        settle(long);
        assertEq(locked(long), 295 * RATE);
    }

    function test_attack_reserve_of_a_dead_verifier() public {
        uint256 until = vault.stakeOf(node, SERVICE).reservedUntil;
        vm.etch(address(market), hex"");
        address staker = keysOf[node].owner;
        vm.startPrank(staker);
        vm.warp(until + 60 days - 1);
        vm.expectRevert();
        vault.unreserve(node, SERVICE);
        vm.warp(until + 60 days);
        vault.unreserve(node, SERVICE);
        vault.requestExit(node, SERVICE, 1000 * HOLE);
        vm.warp(until + 60 days + 21 days);
        vault.withdraw(node, SERVICE, staker);
        vm.stopPrank();
        assertEq(token.balanceOf(staker), 1000 * HOLE);
        vm.prank(payer);
        hub.reclaimLock(address(market), id);
        assertEq(hub.balanceOf(payer), 1000 * HOLE);
    }

    function test_attack_signatures_replayed_across_chain_and_contract() public {
        StorageMarket twin = StorageMarket(
            address(
                new ERC1967Proxy(
                    address(new StorageMarket(setup(), timelock)), abi.encodeCall(StorageMarket.initialize, ())
                )
            )
        );
        Terms memory t = terms(other, two);
        (bytes memory a, bytes memory b) = (signPayer(t), signNode(t));
        vm.expectRevert(PayerSignatureInvalid.selector);
        twin.open(t, a, b);
        vm.chainId(2);
        vm.expectRevert(PayerSignatureInvalid.selector);
        market.open(t, a, b);
        vm.chainId(31337);
        market.open(t, a, b);
    }

    // The node signs after it has the bytes; a root alone opens nothing, and a deal without its bytes earns nothing.
    function test_attack_a_root_registered_but_never_uploaded() public {
        Terms memory t = terms(other, two);
        bytes memory sig = signPayer(t);
        vm.expectRevert(NodeSignatureInvalid.selector);
        market.open(t, sig, sig);
        uint256 empty = open(t);
        drawn(p);
        bytes memory invented = trees.answer(one, 0);
        vm.expectRevert(IProofVerifier.WrongPiece.selector);
        market.prove(other, p, invented);
        passWindow();
        settle(empty);
        assertEq(locked(empty), 10 * RATE);
    }

    function test_attack_typed_data_that_omits_a_field() public {
        bytes memory encoded = abi.encode(terms(node, one));
        Terms memory t = abi.decode(encoded, (Terms));
        bytes32 digest = market.termsDigest(t);
        for (uint256 i = 0; i < 13; ++i) {
            encoded[32 * i + 31] ^= 0x01;
            assertNotEq(market.termsDigest(abi.decode(encoded, (Terms))), digest, vm.toString(i));
            encoded[32 * i + 31] ^= 0x01;
        }
        encoded = abi.encode(change(id, one));
        digest = market.changeDigest(abi.decode(encoded, (Change)));
        for (uint256 i = 0; i < 9; ++i) {
            encoded[32 * i + 31] ^= 0x01;
            assertNotEq(market.changeDigest(abi.decode(encoded, (Change))), digest, vm.toString(i));
            encoded[32 * i + 31] ^= 0x01;
        }
        Policy memory q;
        encoded = abi.encode(q);
        digest = market.policyDigest(q);
        for (uint256 i = 0; i < 7; ++i) {
            encoded[32 * i + 31] ^= 0x01;
            assertNotEq(market.policyDigest(abi.decode(encoded, (Policy))), digest, vm.toString(i));
            encoded[32 * i + 31] ^= 0x01;
        }
        assertEq(market.termsDigest(t), _typed(_termsHash(t)));
    }

    function _termsHash(Terms memory t) private pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "Terms(address payer,uint32 node,address payee,bytes32 root,bytes32 pieces,uint48 leaves,uint96 rate,uint32 start,uint32 end,uint96 prepaid,uint96 repairShare,address repairer,uint64 salt)"
                ),
                t
            )
        );
    }

    function _typed(bytes32 structHash) private view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Blackhole StorageMarket"),
                keccak256("1"),
                block.chainid,
                address(market)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    // A caller who sends too little gas must not turn a payment into a note that it was made.
    function test_attack_settling_with_too_little_gas() public {
        period(node, p, true);
        uint256[] memory ids = new uint256[](1);
        ids[0] = id;
        bool paid;
        for (uint256 gas_ = 30_000; gas_ < 250_000; gas_ += 1_000) {
            uint256 snapshot = vm.snapshotState();
            (bool ok,) = address(market).call{gas: gas_}(abi.encodeCall(market.settle, (ids)));
            if (ok) {
                paid = true;
                assertEq(locked(id), 9 * RATE, vm.toString(gas_));
            }
            vm.revertToState(snapshot);
        }
        assertTrue(paid);
    }

    // A payer that answers ERC-1271 with a bomb only fails to sign.
    function test_attack_a_payer_that_returns_a_bomb() public {
        Bomb bomb = new Bomb();
        fundPayer(address(bomb));
        Terms memory t = terms(other, two);
        t.payer = address(bomb);
        (bytes memory a, bytes memory b) = (signPayer(t), signNode(t));
        vm.expectRevert(PayerSignatureInvalid.selector);
        market.open{gas: 5_000_000}(t, a, b);
    }

    // The half that holds the code of deals has no state of its own to harm, and nobody obeys it.
    function test_attack_calling_the_other_half_directly() public {
        StorageMarket half = StorageMarket(address(market.deals()));
        Terms memory t = terms(other, two);
        bytes memory a = signPayer(t);
        vm.expectRevert(PayerSignatureInvalid.selector);
        half.open(t, a, a);
        vm.expectRevert(abi.encodeWithSelector(UnknownAgreement.selector, id));
        half.terminate(id);
        vm.expectRevert(OnlySelf.selector);
        half.openRow(1, t, a);
    }
}

contract Bomb {
    fallback() external {
        assembly {
            return(0, 1000000)
        }
    }
}
