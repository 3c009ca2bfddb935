// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {INodeRegistry} from "../../../contracts/interfaces/INodeRegistry.sol";
import {VaultFixture} from "./VaultFixture.sol";

contract NodeRegistryTest is VaultFixture {
    address internal signer = makeAddr("signer");
    address internal heir = makeAddr("heir");

    function setUp() public {
        deployAll();
    }

    function register(address from) private returns (uint32 id) {
        vm.prank(from);
        return registry.register(keccak256(abi.encode(from)), "node.example:4433");
    }

    function offer(uint32 id, address from, uint48 capacity) private {
        vm.prank(from);
        registry.setOffer(id, SERVICE, 7, capacity, 276);
    }

    // ------------------------------------------------------------------------------------------------ register

    function test_register_givesDenseIdsAndTheCallerAsOwnerSignerAndPayee() public {
        assertEq(node, 1);
        vm.expectEmit(address(registry));
        emit INodeRegistry.NodeRegistered(2, stranger, keccak256("m"), "e");
        vm.prank(stranger);
        assertEq(registry.register(keccak256("m"), "e"), 2);
        assertEq(registry.nodeCount(), 2);
        assertEq(registry.ownerOf(2), stranger);
        assertEq(registry.signerOf(2), stranger);
        assertEq(registry.payeeOf(2), stranger);
        INodeRegistry.Node memory stored = registry.nodeOf(2);
        assertEq(stored.since, vm.getBlockTimestamp());
        assertEq(stored.manifest, keccak256("m"));
        assertEq(stored.signer, address(0));
    }

    function test_register_refusesAnEmptyManifestAndBadEndpoints() public {
        vm.expectRevert(INodeRegistry.EmptyManifest.selector);
        registry.register(0, "e");
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.InvalidEndpoint.selector, 0));
        registry.register("m", "");
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.InvalidEndpoint.selector, 257));
        registry.register("m", string(new bytes(257)));
        registry.register("m", string(new bytes(256)));
    }

    function test_unknownNode_answersZeroAndRefusesWrites() public {
        assertEq(registry.ownerOf(9), address(0));
        assertEq(registry.signerOf(9), address(0));
        assertEq(registry.payeeOf(9), address(0));
        bytes memory unknown = abi.encodeWithSelector(INodeRegistry.UnknownNode.selector, 9);
        vm.expectRevert(unknown);
        registry.setOffer(9, SERVICE, 1, 1, 1);
        vm.expectRevert(unknown);
        registry.setManifest(9, "m", "e");
        vm.expectRevert(unknown);
        registry.setKeys(9, signer, signer);
        vm.expectRevert(unknown);
        registry.transferNode(9, heir);
        vm.expectRevert(unknown);
        registry.acceptNode(9);
    }

    // ------------------------------------------------------------------------------------------ keys, manifest

    function test_setKeys_namesSignerAndPayeeAndZeroOrOwnerMeansTheOwner() public {
        vm.expectEmit(address(registry));
        emit INodeRegistry.KeysSet(node, signer, owner);
        vm.prank(owner);
        registry.setKeys(node, signer, address(0));
        assertEq(registry.signerOf(node), signer);
        assertEq(registry.payeeOf(node), owner);
        vm.prank(owner);
        registry.setKeys(node, owner, heir);
        assertEq(registry.signerOf(node), owner);
        assertEq(registry.nodeOf(node).signer, address(0));
        assertEq(registry.payeeOf(node), heir);
    }

    function test_setKeys_isTheOwnersAlone() public {
        vm.prank(owner);
        registry.setKeys(node, signer, address(0));
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotNodeOwner.selector, node, signer));
        vm.prank(signer);
        registry.setKeys(node, signer, signer);
    }

    function test_setManifest_ownerOrSignerOnly() public {
        vm.prank(owner);
        registry.setKeys(node, signer, address(0));
        vm.prank(signer);
        registry.setManifest(node, "m2", "e2");
        assertEq(registry.nodeOf(node).manifest, "m2");
        vm.prank(owner);
        registry.setManifest(node, "m3", "e2");
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotNodeOperator.selector, node, stranger));
        vm.prank(stranger);
        registry.setManifest(node, "m4", "e2");
        vm.startPrank(owner);
        vm.expectRevert(INodeRegistry.EmptyManifest.selector);
        registry.setManifest(node, 0, "e");
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.InvalidEndpoint.selector, 0));
        registry.setManifest(node, "m", "");
        vm.stopPrank();
    }

    // ------------------------------------------------------------------------------------------------- offers

    function test_setOffer_listsWritesAndWithdraws() public {
        vm.expectEmit(address(registry));
        emit INodeRegistry.OfferSet(node, SERVICE, 7, 100, 276);
        offer(node, owner, 100);
        INodeRegistry.Offer memory stored = registry.offerOf(node, SERVICE);
        assertEq(stored.price, 7);
        assertEq(stored.capacity, 100);
        assertEq(stored.region, 276);
        assertEq(stored.listIndex, 1);
        assertEq(stored.updatedAt, vm.getBlockTimestamp());
        offer(node, owner, 200);
        assertEq(registry.listedCount(SERVICE), 1);
        assertEq(registry.offerOf(node, SERVICE).capacity, 200);
        offer(node, owner, 0);
        assertEq(registry.listedCount(SERVICE), 0);
        assertEq(registry.offerOf(node, SERVICE).listIndex, 0);
    }

    function test_setOffer_refusesStrangersServiceZeroAndWithdrawingWhatIsNotListed() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotNodeOperator.selector, node, stranger));
        offer(node, stranger, 1);
        vm.expectRevert(INodeRegistry.InvalidService.selector);
        vm.prank(owner);
        registry.setOffer(node, 0, 1, 1, 1);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotListed.selector, node, SERVICE));
        offer(node, owner, 0);
    }

    function test_zeroSignerIsNobody() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotNodeOperator.selector, node, address(0)));
        offer(node, address(0), 1);
    }

    function test_nodesOf_pagesThroughAllOfThem() public {
        for (uint256 i = 0; i < 20; ++i) {
            offer(register(stranger), stranger, 1);
        }
        uint256 cursor = 0;
        uint256 seen = 0;
        uint256 pages = 0;
        do {
            uint32[] memory page;
            (page, cursor) = registry.nodesOf(SERVICE, cursor, 6);
            for (uint256 i = 0; i < page.length; ++i) {
                assertEq(page[i], 2 + seen);
                ++seen;
            }
            ++pages;
        } while (cursor != 0);
        assertEq(seen, 20);
        assertEq(pages, 4);
        (uint32[] memory none, uint256 next) = registry.nodesOf(SERVICE, 99, 10);
        assertEq(none.length, 0);
        assertEq(next, 0);
        (none, next) = registry.nodesOf(SERVICE, 0, type(uint256).max);
        assertEq(none.length, 20);
        assertEq(next, 0);
    }

    /// @dev Whatever is listed and withdrawn, in whatever order, the list is exactly the offers with capacity, once each.
    function testFuzz_list_isExactlyTheOpenOffers(uint256 seed) public {
        uint256 size = 18;
        for (uint256 i = 1; i < size; ++i) {
            register(owner);
        }
        bool[] memory listed = new bool[](size + 1);
        uint256 count = 0;
        for (uint256 step = 0; step < 60; ++step) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint32 id = uint32(1 + seed % size);
            if (listed[id] && seed >> 200 & 1 == 1) {
                offer(id, owner, 0);
                listed[id] = false;
                --count;
            } else {
                offer(id, owner, 1 + uint48(step));
                if (!listed[id]) ++count;
                listed[id] = true;
            }
        }
        (uint32[] memory ids, uint256 next) = registry.nodesOf(SERVICE, 0, 100);
        assertEq(next, 0);
        assertEq(ids.length, count);
        assertEq(registry.listedCount(SERVICE), count);
        for (uint256 i = 0; i < ids.length; ++i) {
            assertTrue(listed[ids[i]], "listed twice, or withdrawn");
            listed[ids[i]] = false;
            assertEq(registry.offerOf(ids[i], SERVICE).listIndex, i + 1);
        }
    }

    // ----------------------------------------------------------------------------------------------- transfer

    function test_transfer_isTwoStepsAndResetsTheKeys() public {
        vm.startPrank(owner);
        registry.setKeys(node, signer, signer);
        registry.transferNode(node, heir);
        vm.stopPrank();
        assertEq(registry.ownerOf(node), owner);
        assertEq(registry.pendingOwnerOf(node), heir);
        vm.expectEmit(address(registry));
        emit INodeRegistry.NodeTransferred(node, owner, heir);
        vm.prank(heir);
        registry.acceptNode(node);
        assertEq(registry.ownerOf(node), heir);
        assertEq(registry.signerOf(node), heir);
        assertEq(registry.payeeOf(node), heir);
        assertEq(registry.pendingOwnerOf(node), address(0));
    }

    function test_transfer_refusesOthersAndAnOfferTakenBack() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotNodeOwner.selector, node, stranger));
        vm.prank(stranger);
        registry.transferNode(node, stranger);
        vm.prank(owner);
        registry.transferNode(node, heir);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotPendingOwner.selector, node, stranger));
        vm.prank(stranger);
        registry.acceptNode(node);
        vm.prank(owner);
        registry.transferNode(node, address(0));
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotPendingOwner.selector, node, heir));
        vm.prank(heir);
        registry.acceptNode(node);
    }

    function test_transfer_withStakeOnlyTogetherWithTheStaker() public {
        bond(100 * HOLE);
        vm.prank(owner);
        registry.transferNode(node, heir);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeHasStake.selector, node, owner));
        vm.prank(heir);
        registry.acceptNode(node);
        vm.prank(owner);
        vault.transferStaker(node, heir);
        vm.startPrank(heir);
        vault.acceptStaker(node);
        registry.acceptNode(node);
        vm.stopPrank();
        assertEq(registry.ownerOf(node), heir);
        assertEq(vault.stakerOf(node), heir);
    }

    function test_initialize_onceOnly() public {
        vm.expectRevert();
        registry.initialize();
    }
}
