// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IServiceCatalog} from "../../../contracts/interfaces/IServiceCatalog.sol";
import {Protocol} from "../../../contracts/libraries/Protocol.sol";
import {VaultFixture} from "./VaultFixture.sol";

contract ServiceCatalogTest is VaultFixture {
    uint16 internal constant OTHER = 2;

    function setUp() public {
        deployAll();
    }

    function set(IServiceCatalog.Service memory row) private {
        vm.prank(timelock);
        catalog.setService(OTHER, row);
    }

    function close(uint40 until) private {
        vm.prank(guardian);
        catalog.closeEntries(SERVICE, until);
    }

    function refused(IServiceCatalog.Service memory row, bytes32 field, uint256 value, uint256 limit) private {
        vm.expectRevert(abi.encodeWithSelector(IServiceCatalog.OutOfBounds.selector, field, value, limit));
        set(row);
    }

    function test_setService_writesTheRow() public {
        IServiceCatalog.Service memory row = serviceRow(address(verifier));
        vm.expectEmit(address(catalog));
        emit IServiceCatalog.ServiceSet(OTHER, address(verifier), row);
        set(row);
        assertEq(keccak256(abi.encode(catalog.service(OTHER))), keccak256(abi.encode(row)));
        assertEq(catalog.verifierOf(OTHER), address(verifier));
        assertTrue(catalog.isOpen(OTHER));
        row.flags = 3;
        set(row);
        assertFalse(catalog.isOpen(OTHER), "retired");
        row.flags = 0;
        set(row);
        assertFalse(catalog.isOpen(OTHER), "not open");
        assertFalse(catalog.isOpen(77), "unknown");
    }

    function test_setService_isTheTimelocksAlone() public {
        IServiceCatalog.Service memory row = serviceRow(address(verifier));
        vm.expectRevert(abi.encodeWithSelector(IServiceCatalog.NotTimelock.selector, guardian));
        vm.prank(guardian);
        catalog.setService(OTHER, row);
    }

    function test_setService_boundsAreConstants() public {
        IServiceCatalog.Service memory row = serviceRow(address(verifier));
        row.faultBps = uint16(Protocol.FAULT_BPS_MAX + 1);
        refused(row, "faultBps", row.faultBps, Protocol.FAULT_BPS_MAX);
        row = serviceRow(address(verifier));
        row.bountyBps = uint16(Protocol.CLAIM_BOUNTY_BPS_MAX + 1);
        refused(row, "bountyBps", row.bountyBps, Protocol.CLAIM_BOUNTY_BPS_MAX);
        row = serviceRow(address(verifier));
        row.samples = uint16(Protocol.SAMPLES_MAX + 1);
        refused(row, "samples", row.samples, Protocol.SAMPLES_MAX);
        row.samples = 0;
        refused(row, "samples", 0, 1);
        row = serviceRow(address(verifier));
        row.flags = 4;
        refused(row, "flags", 4, 3);
        row = serviceRow(address(verifier));
        row.minBond = uint96(Protocol.MIN_BOND_MAX + 1);
        refused(row, "minBond", row.minBond, Protocol.MIN_BOND_MAX);
        refused(serviceRow(address(0)), "verifier", 0, 1);
        vm.expectRevert(abi.encodeWithSelector(IServiceCatalog.UnknownService.selector, 0));
        vm.prank(timelock);
        catalog.setService(0, serviceRow(address(verifier)));
    }

    function test_setService_theVerifierIsWrittenOnce() public {
        vm.expectRevert(abi.encodeWithSelector(IServiceCatalog.VerifierIsFixed.selector, SERVICE, address(verifier)));
        vm.prank(timelock);
        catalog.setService(SERVICE, serviceRow(stranger));
    }

    function test_closeEntries_closesForAWhileAndTheTimelockMayOnlyShortenIt() public {
        uint40 until = now40() + 7 days;
        vm.expectEmit(address(catalog));
        emit IServiceCatalog.EntriesClosed(SERVICE, until);
        close(until);
        assertFalse(catalog.isOpen(SERVICE));
        IServiceCatalog.Service memory row = serviceRow(address(verifier));
        row.closedUntil = type(uint40).max;
        vm.prank(timelock);
        catalog.setService(SERVICE, row);
        assertEq(catalog.service(SERVICE).closedUntil, until, "not longer");
        skip(7 days);
        assertTrue(catalog.isOpen(SERVICE));
        vm.warp(until - 1);
        assertFalse(catalog.isOpen(SERVICE));
        row.closedUntil = 0;
        vm.prank(timelock);
        catalog.setService(SERVICE, row);
        assertTrue(catalog.isOpen(SERVICE));
    }

    function test_closeEntries_atMostSevenDaysOnceInSixty() public {
        uint40 start = now40();
        uint256 latest = start + 7 days;
        vm.expectRevert(abi.encodeWithSelector(IServiceCatalog.InvalidClosing.selector, latest + 1, latest));
        close(uint40(latest + 1));
        vm.expectRevert(abi.encodeWithSelector(IServiceCatalog.InvalidClosing.selector, start, latest));
        close(start);
        close(start + 1);
        assertEq(catalog.lastClosedAt(SERVICE), start);
        vm.warp(start + 60 days - 1);
        vm.expectRevert(abi.encodeWithSelector(IServiceCatalog.ClosedTooSoon.selector, SERVICE, start + 60 days));
        close(now40() + 1);
        vm.warp(start + 60 days);
        close(now40() + 1);
    }

    function test_closeEntries_isTheGuardiansAlone() public {
        vm.expectRevert(abi.encodeWithSelector(IServiceCatalog.NotGuardian.selector, timelock));
        vm.prank(timelock);
        catalog.closeEntries(SERVICE, now40() + 1);
        vm.expectRevert(abi.encodeWithSelector(IServiceCatalog.UnknownService.selector, OTHER));
        vm.prank(guardian);
        catalog.closeEntries(OTHER, now40() + 1);
    }

    function test_setGuardian_replacesAndRemoves() public {
        vm.expectRevert(abi.encodeWithSelector(IServiceCatalog.NotTimelock.selector, guardian));
        vm.prank(guardian);
        catalog.setGuardian(guardian);
        vm.prank(timelock);
        catalog.setGuardian(address(0));
        assertEq(catalog.guardian(), address(0));
        vm.expectRevert(abi.encodeWithSelector(IServiceCatalog.NotGuardian.selector, guardian));
        close(now40() + 1);
    }

    function test_initialize_onceOnly() public {
        vm.expectRevert();
        catalog.initialize(stranger);
    }
}
