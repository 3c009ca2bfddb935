// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {PaymentHub} from "../../../contracts/escrow/PaymentHub.sol";
import {IPaymentHub} from "../../../contracts/interfaces/IPaymentHub.sol";
import {HubTest} from "./HubTest.sol";
import {Vm} from "./Test.sol";

contract PaymentHubRedeemTest is HubTest {
    function _expectPaid(bytes memory rows, uint256 micro, uint256 accepted) private {
        uint256 before = hub.balanceOf(payee);
        (uint256 gotMicro, uint256 gotAccepted) = redeem(rows);
        assertEq(gotMicro, micro, "micro");
        assertEq(gotAccepted, accepted, "accepted");
        assertEq(hub.balanceOf(payee) - before, micro * MICRO, "credit");
    }

    function test_anyoneRedeemsForThePayee() public {
        openLane(500);
        vm.prank(stranger);
        vm.expectEmit(address(hub));
        emit IPaymentHub.VoucherPaid(hub.laneReceipt(payee, SERVICE, 0), _payment(0, 120, 0));
        redeem(voucher(payerKey, 0, 120));
        assertEq(hub.balanceOf(payee), 120 * MICRO);
        assertLane(0, 500, 120);
    }

    /// @dev The second word of VoucherPaid.
    function _payment(uint32 lane, uint48 micro, uint16 bps) private view returns (bytes32) {
        return bytes32(abi.encodePacked(payer, lane, micro, bps));
    }

    /// @dev Every field at its widest says what it should, and none of them reaches into another.
    function test_theEventOfAVoucherSaysPayerPayeeServiceLaneGrossAndFee() public {
        vm.prank(timelock);
        hub.setFee(type(uint16).max, 500, sink);
        skip(30 days);
        // The last lane there is, and the most a lane takes.
        vm.record();
        hub.laneCount(payee, type(uint16).max);
        (bytes32[] memory reads,) = vm.accesses(address(hub));
        vm.store(address(hub), reads[0], bytes32(uint256(type(uint32).max)));
        uint48 most = type(uint48).max;
        hub.deposit(payer, most * MICRO);
        vm.prank(payer);
        uint32 lane = hub.openLane(payee, type(uint16).max, payer, most);
        assertEq(lane, type(uint32).max);
        bytes memory row = voucherFor(hub, payerKey, payee, type(uint16).max, lane, most);
        vm.recordLogs();
        hub.redeem(payee, type(uint16).max, row);
        Vm.Log memory log = vm.getRecordedLogs()[0];
        assertEq(log.topics[0], IPaymentHub.VoucherPaid.selector);
        assertEq(log.topics[1], hub.laneReceipt(payee, type(uint16).max, 0));
        assertEq(log.data, abi.encode(_payment(lane, most, 500)));
        assertEq(hub.balanceOf(sink), most * MICRO * 500 / 10_000);
        assertEq(hub.balanceOf(payee), most * MICRO - most * MICRO * 500 / 10_000);
    }

    function test_voucherIsCumulative() public {
        openLane(500);
        _expectPaid(voucher(payerKey, 0, 120), 120, 1);
        _expectPaid(voucher(payerKey, 0, 200), 80, 1);
        _expectPaid(voucher(payerKey, 0, 150), 0, 0);
        _expectPaid(voucher(payerKey, 0, 200), 0, 0);
        assertLane(0, 500, 200);
    }

    function test_sessionSignerAndPayerBothSign() public {
        vm.prank(payer);
        hub.openLane(payee, SERVICE, session, 500);
        _expectPaid(voucher(sessionKey, 0, 100), 100, 1);
        _expectPaid(voucher(payerKey, 0, 150), 50, 1);
        (, uint256 strangerKey) = makeAddrAndKey("stranger");
        _expectPaid(voucher(strangerKey, 0, 200), 0, 0);
    }

    function test_underfundedVoucherPaysPartAndTheRestLater() public {
        openLane(100);
        bytes memory row = voucher(payerKey, 0, 250);
        _expectPaid(row, 100, 1);
        assertLane(0, 100, 100);
        vm.prank(payer);
        hub.topUp(payee, SERVICE, 0, 50);
        _expectPaid(row, 50, 1);
        vm.prank(payer);
        hub.topUp(payee, SERVICE, 0, 1000);
        _expectPaid(row, 100, 1);
        _expectPaid(row, 0, 0);
        assertLane(0, 1150, 250);
    }

    function test_attack_oneBadRowDoesNotBlockABatch() public {
        openLane(500);
        openLane(500);
        openLane(500);
        openLane(500);
        bytes memory garbage = new bytes(74);
        garbage[3] = 0x02; // lane 2
        garbage[9] = 0x05; // 5 micro, no signature
        bytes memory unknown = voucher(payerKey, 77, 10);
        bytes memory wrongKey = voucher(sessionKey, 1, 10);
        bytes memory rows = bytes.concat(
            garbage, voucher(payerKey, 0, 10), unknown, wrongKey, voucher(payerKey, 3, 20), voucher(payerKey, 0, 15)
        );
        _expectPaid(rows, 35, 3);
        assertLane(0, 500, 15);
        assertLane(1, 500, 0);
        assertLane(2, 500, 0);
        assertLane(3, 500, 20);
    }

    /// @dev Whoever sends a batch chooses its gas. A row whose recovery ran out of it is skipped, never paid to nobody nor
    /// used up: with enough gas it pays afterwards.
    function test_attack_aBatchWithTooLittleGasLosesNoVoucher() public {
        bytes memory rows;
        for (uint32 lane = 0; lane < 3; ++lane) {
            rows = bytes.concat(rows, voucher(payerKey, openLane(500), 100));
        }
        bytes memory call = abi.encodeCall(hub.redeem, (payee, SERVICE, rows));
        bool skipped;
        for (uint256 gas_ = 5_000; gas_ < 120_000; gas_ += 250) {
            uint256 snapshot = vm.snapshotState();
            (bool ok,) = address(hub).call{gas: gas_}(call);
            uint256 paid = hub.balanceOf(payee);
            assertTrue(ok || paid == 0, "all or nothing of what was reverted");
            if (ok && paid != 300 * MICRO) skipped = true;
            hub.redeem(payee, SERVICE, rows);
            assertEq(hub.balanceOf(payee), 300 * MICRO);
            vm.revertToState(snapshot);
        }
        assertFalse(skipped, "63/64 of the gas is more than a recovery needs wherever the rest suffices to go on");
    }

    function test_emptyBatchPaysNothingAndOddLengthIsRefused() public {
        _expectPaid("", 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.MalformedVouchers.selector, 73));
        redeem(new bytes(73));
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.MalformedVouchers.selector, 75));
        redeem(new bytes(75));
    }

    function test_feeIsTakenAtCreditIntoTheSinksBalance() public {
        openLane(5000);
        vm.prank(timelock);
        hub.setFee(SERVICE, 333, sink);
        _expectPaid(voucher(payerKey, 0, 1000), 1000, 1);
        assertEq(hub.balanceOf(sink), 0);
        vm.warp(START + 30 days);
        uint256 gross = 1001 * MICRO;
        uint256 fee = gross * 333 / 10_000;
        vm.expectEmit(address(hub));
        emit IPaymentHub.VoucherPaid(hub.laneReceipt(payee, SERVICE, 0), _payment(0, 1001, 333));
        (uint256 micro,) = redeem(voucher(payerKey, 0, 2001));
        assertEq(micro, 1001);
        assertEq(hub.balanceOf(sink), fee);
        assertEq(hub.balanceOf(payee), 1000 * MICRO + gross - fee);
    }

    function test_payeeMayBeTheSink() public {
        openLane(100);
        vm.prank(timelock);
        hub.setFee(SERVICE, 500, payee);
        vm.warp(START + 30 days);
        _expectPaid(voucher(payerKey, 0, 100), 100, 1);
    }

    // ------------------------------------------------------------------------------------------------ replay

    function test_attack_voucherOfAnotherChainContractServiceLaneOrPayeePaysNothing() public {
        openLane(500);
        openLane(500);
        vm.prank(payer);
        hub.openLane(stranger, SERVICE, payer, 500);
        vm.prank(payer);
        hub.openLane(payee, 2, payer, 500);
        PaymentHub twin = new PaymentHub(address(token), MICRO, true, timelock, 0, sink);
        // Signed for the twin.
        _expectPaid(voucherFor(twin, payerKey, payee, SERVICE, 0, 10), 0, 0);
        bytes memory row = voucher(payerKey, 0, 10);
        // The same bytes for another lane.
        bytes memory moved = bytes.concat(row);
        moved[3] = 0x01;
        _expectPaid(moved, 0, 0);
        // For another payee, for another service.
        (uint256 micro,) = hub.redeem(stranger, SERVICE, row);
        assertEq(micro, 0);
        (micro,) = hub.redeem(payee, 2, row);
        assertEq(micro, 0);
        // On a fork of the chain.
        vm.chainId(12345);
        _expectPaid(row, 0, 0);
        vm.chainId(31337);
        _expectPaid(row, 10, 1);
    }

    function test_attack_everyFieldOfAVoucherIsInItsDigest() public view {
        bytes32 digest = hub.voucherDigest(payee, SERVICE, 3, 4);
        assertEq(digest, typed(hub, keccak256(abi.encode(VOUCHER, payee, SERVICE, uint32(3), uint48(4)))));
        assertNotEq(digest, hub.voucherDigest(payer, SERVICE, 3, 4), "payee");
        assertNotEq(digest, hub.voucherDigest(payee, 2, 3, 4), "service");
        assertNotEq(digest, hub.voucherDigest(payee, SERVICE, 4, 4), "lane");
        assertNotEq(digest, hub.voucherDigest(payee, SERVICE, 3, 5), "cumulative");
    }

    function test_attack_mirroredHighSIsNoSignature() public {
        openLane(500);
        bytes32 digest = hub.voucherDigest(payee, SERVICE, 0, 10);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(payerKey, digest);
        // The mirror point signs the same digest; recovered by hand it is the payer's, redeemed it is nothing. A high s
        // has no room for the parity bit when it exceeds 2^255, so the attack uses one below.
        bytes32 high = bytes32(CURVE_ORDER - uint256(s));
        uint8 flipped = v == 27 ? 28 : 27;
        assertEq(ecrecover(digest, flipped, r, high), payer);
        bytes32 vs = bytes32((uint256(high) & (type(uint256).max >> 1)) | (uint256(flipped - 27) << 255));
        _expectPaid(abi.encodePacked(uint32(0), uint48(10), r, vs), 0, 0);
        _expectPaid(voucher(payerKey, 0, 10), 10, 1);
    }

    /// Half the order lies just below 2^255. A key is made for which the signature with a chosen s (and nonce 1, so r
    /// is the generator's x) is right: between the two only the low-s rule can refuse it.
    function test_attack_highSWithinThePackedBitsIsNoSignature() public {
        assertEq(_redeemWithS(payee, CURVE_ORDER / 2), 10, "the highest low s counts");
        assertEq(_redeemWithS(stranger, CURVE_ORDER / 2 + 1), 0, "the lowest high s does not");
    }

    function _redeemWithS(address to, uint256 s) private returns (uint256 micro) {
        bytes32 digest = hub.voucherDigest(to, SERVICE, 0, 10);
        uint256 r = 0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798;
        // s = (digest + r * key) / nonce mod n
        uint256 difference = addmod(s, CURVE_ORDER - uint256(digest) % CURVE_ORDER, CURVE_ORDER);
        address rich = vm.addr(mulmod(difference, _inverse(r), CURVE_ORDER));
        assertEq(ecrecover(digest, 27, bytes32(r), bytes32(s)), rich);
        hub.deposit(rich, HOLE);
        vm.prank(rich);
        hub.openLane(to, SERVICE, rich, 100);
        (micro,) = hub.redeem(to, SERVICE, abi.encodePacked(uint32(0), uint48(10), r, s));
    }

    function _inverse(uint256 x) private view returns (uint256 y) {
        (bool ok, bytes memory out) = address(5).staticcall(abi.encode(32, 32, 32, x, CURVE_ORDER - 2, CURVE_ORDER));
        assertTrue(ok);
        y = abi.decode(out, (uint256));
    }

    function test_attack_lanesOfNobodyAreNotPaidByFailedRecovery() public {
        // r beyond the curve: recovery yields the zero address, which is also the signer of a lane that never was.
        openLane(500);
        bytes32 r = bytes32(type(uint256).max);
        _expectPaid(abi.encodePacked(uint32(0), uint48(10), r, bytes32(uint256(1))), 0, 0);
        _expectPaid(abi.encodePacked(uint32(5), uint48(10), r, bytes32(uint256(1))), 0, 0);
    }

    function test_dirtyUpperBitsOfCallDataAreRefused() public {
        bytes memory call = abi.encodeCall(hub.redeem, (payee, SERVICE, ""));
        call[4] = 0x01; // above the payee's 160 bits
        (bool ok,) = address(hub).call(call);
        assertFalse(ok);
    }

    // -------------------------------------------------------------------------------------------------- fuzz

    /// Statement 3: any order and repetition of any vouchers pays the highest of each lane once.
    function testFuzz_anyOrderAndRepetitionPaysTheHighestOnce(uint256 seed, uint8 count) public {
        uint48[3] memory deposits = [uint48(100), 1000, 50_000];
        for (uint256 i; i < 3; ++i) {
            openLane(deposits[i]);
        }
        uint48[3] memory highest;
        uint256 n = bound(count, 1, 24);
        bytes memory batch;
        for (uint256 i; i < n; ++i) {
            uint256 random = uint256(keccak256(abi.encode(seed, i)));
            uint32 lane = uint32(random % 3);
            uint48 cumulative = uint48(bound(random >> 8, 0, uint256(deposits[lane]) * 2));
            if (cumulative > highest[lane]) highest[lane] = cumulative;
            batch = bytes.concat(batch, voucher(payerKey, lane, cumulative));
            if (random % 5 == 0) {
                redeem(batch);
                if (random % 2 == 0) batch = "";
            }
        }
        redeem(batch);
        uint256 total;
        for (uint32 i; i < 3; ++i) {
            uint48 expected = highest[i] < deposits[i] ? highest[i] : deposits[i];
            assertLane(i, deposits[i], expected);
            total += expected;
        }
        assertEq(hub.balanceOf(payee), total * MICRO);
    }

    /// Statement 4: rows of noise between good ones change nothing about the good ones.
    function testFuzz_malformedRowsNeitherPayNorBlock(bytes32[7] memory noise, uint8 where) public {
        openLane(500);
        openLane(900);
        bytes memory bad = abi.encodePacked(uint32(0), uint48(uint256(noise[0])), noise[1], noise[2]);
        bytes memory wild = abi.encodePacked(uint80(uint256(noise[3])), noise[4], noise[5]);
        bytes memory good = voucher(payerKey, 1, 300);
        bytes memory rows = where % 3 == 0
            ? bytes.concat(good, bad, wild)
            : where % 3 == 1 ? bytes.concat(bad, good, wild) : bytes.concat(wild, bad, good);
        _expectPaid(rows, 300, 1);
        assertLane(0, 500, 0);
    }

    function testFuzz_aFlippedBitPaysNothing(uint256 position) public {
        openLane(500);
        bytes memory row = voucher(payerKey, 0, 300);
        position = bound(position, 0, 74 * 8 - 1);
        row[position / 8] ^= bytes1(uint8(1 << (position % 8)));
        _expectPaid(row, 0, 0);
    }

    function testFuzz_feesAddUpToTheGross(uint16 bps, uint48 a, uint48 b) public {
        hub.deposit(payer, 9e8 * HOLE);
        openLane(type(uint48).max);
        openLane(type(uint48).max);
        bps = uint16(bound(bps, 0, 500));
        a = uint48(bound(a, 1, type(uint48).max));
        b = uint48(bound(b, 1, type(uint48).max));
        vm.prank(timelock);
        hub.setFee(SERVICE, bps, sink);
        vm.warp(START + 30 days);
        redeem(bytes.concat(voucher(payerKey, 0, a), voucher(payerKey, 1, b)));
        assertEq(hub.balanceOf(payee) + hub.balanceOf(sink), (uint256(a) + b) * MICRO);
        assertEq(hub.balanceOf(sink), uint256(a) * MICRO * bps / 10_000 + uint256(b) * MICRO * bps / 10_000);
    }
}
