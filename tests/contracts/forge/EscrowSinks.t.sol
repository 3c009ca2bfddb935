// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {FeeSplitter} from "../../../contracts/escrow/FeeSplitter.sol";
import {LaneReceipts} from "../../../contracts/escrow/LaneReceipts.sol";
import {HubTest} from "./HubTest.sol";

contract FeeSplitterTest is HubTest {
    FeeSplitter private splitter;
    address private treasury = makeAddr("treasury");

    function setUp() public override {
        super.setUp();
        splitter = new FeeSplitter(address(hub), treasury, 6000);
        vm.prank(timelock);
        hub.setFee(SERVICE, 500, address(splitter));
        vm.warp(START + 30 days);
    }

    function test_feesAreBurnedByShareAndCountedByEpoch() public {
        openLane(1000e6);
        redeem(voucher(payerKey, 0, 1000e6)); // 1,000 HOLE: 50 of fees
        uint256 supply = token.totalSupply();
        uint256 epoch = splitter.currentEpoch();
        vm.expectEmit(address(splitter));
        emit FeeSplitter.Split(epoch, 30e18, 20e18);
        vm.prank(stranger);
        (uint256 burnt, uint256 toTreasury) = splitter.split();
        assertEq(burnt, 30e18);
        assertEq(toTreasury, 20e18);
        assertEq(token.totalSupply(), supply - 30e18);
        assertEq(token.balanceOf(treasury), 20e18);
        assertEq(splitter.burned(epoch), 30e18);
        assertEq(hub.balanceOf(address(splitter)), 0);
        assertEq(token.balanceOf(address(splitter)), 0);
        vm.expectRevert(FeeSplitter.NothingToSplit.selector);
        splitter.split();
    }

    function test_epochsCountApart() public {
        hub.deposit(address(splitter), 100);
        splitter.split();
        uint256 epoch = splitter.currentEpoch();
        skip(7 days);
        assertEq(splitter.currentEpoch(), epoch + 1);
        hub.deposit(address(splitter), 50);
        splitter.split();
        hub.deposit(address(splitter), 10);
        splitter.split();
        assertEq(splitter.burned(epoch), 60);
        assertEq(splitter.burned(epoch + 1), 36);
    }

    function test_tokensSentPastTheHubAreNoFees() public {
        token.transfer(address(splitter), 1e18);
        vm.expectRevert(FeeSplitter.NothingToSplit.selector);
        splitter.split();
    }

    function test_nothingOrAllBurned() public {
        FeeSplitter none = new FeeSplitter(address(hub), treasury, 0);
        FeeSplitter all = new FeeSplitter(address(hub), treasury, 10_000);
        hub.deposit(address(none), 7);
        hub.deposit(address(all), 7);
        none.split();
        all.split();
        assertEq(token.balanceOf(treasury), 7);
        assertEq(all.burned(all.currentEpoch()), 7);
        assertEq(none.burned(none.currentEpoch()), 0);
    }

    function test_constructorRefusesNobodyAndMoreThanAll() public {
        vm.expectRevert(FeeSplitter.InvalidSplit.selector);
        new FeeSplitter(address(0), treasury, 1);
        vm.expectRevert(FeeSplitter.InvalidSplit.selector);
        new FeeSplitter(address(hub), address(0), 1);
        vm.expectRevert(FeeSplitter.InvalidSplit.selector);
        new FeeSplitter(address(hub), treasury, 10_001);
    }
}

contract LaneReceiptsTest is HubTest {
    LaneReceipts private receipts;

    function setUp() public override {
        super.setUp();
        receipts = new LaneReceipts(address(hub));
    }

    function test_settledIsWhatVouchersHavePaid() public {
        openLane(1);
        openLane(500);
        redeem(voucher(payerKey, 1, 120));
        bytes32 receipt = hub.laneReceipt(payee, SERVICE, 1);
        (address by, uint32 node, uint16 service, uint96 settled, uint96 prepaid) = receipts.settledOf(receipt);
        assertEq(by, payer);
        assertEq(node, 0);
        assertEq(service, SERVICE);
        assertEq(settled, 120 * MICRO);
        assertEq(prepaid, 500 * MICRO);
        assertEq(receipts.payeeOf(receipt), payee);
    }

    function test_unknownLaneIsNoReceipt() public view {
        (address by,,, uint96 settled, uint96 prepaid) = receipts.settledOf(hub.laneReceipt(payee, SERVICE, 1));
        assertEq(by, address(0));
        assertEq(settled, 0);
        assertEq(prepaid, 0);
    }

    function testFuzz_attack_aLaneHasOneReceipt(uint48 noise) public {
        openLane(500);
        redeem(voucher(payerKey, 0, 120));
        noise = uint48(bound(noise, 1, type(uint48).max));
        bytes32 alias_ = bytes32(uint256(hub.laneReceipt(payee, SERVICE, 0)) | uint256(noise) << 32);
        (address by,,, uint96 settled,) = receipts.settledOf(alias_);
        assertEq(by, address(0));
        assertEq(settled, 0);
    }

    function test_hubIsNeeded() public {
        vm.expectRevert(LaneReceipts.InvalidHub.selector);
        new LaneReceipts(address(0));
    }
}
