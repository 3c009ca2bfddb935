// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {PaymentHub} from "../../../contracts/escrow/PaymentHub.sol";
import {IPaymentHub} from "../../../contracts/interfaces/IPaymentHub.sol";
import {HubTest} from "./HubTest.sol";
import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

/// @dev A contract account whose answer to isValidSignature is chosen by the test.
contract ContractAccount {
    uint256 public plan;
    PaymentHub public hub;

    function set(uint256 plan_, PaymentHub hub_) external {
        (plan, hub) = (plan_, hub_);
    }

    function isValidSignature(bytes32, bytes calldata sig) external returns (bytes4) {
        bytes4 yes = IERC1271.isValidSignature.selector;
        if (plan == 0) return keccak256(sig) == keccak256("yes") ? yes : bytes4(0);
        if (plan == 1) while (true) {} // gas bomb
        if (plan == 2) {
            // return-data bomb, the right word in front
            assembly ("memory-safe") {
                mstore(0, yes)
                return(0, 1000000)
            }
        }
        if (plan == 3) {
            // too short
            assembly ("memory-safe") {
                mstore(0, yes)
                return(0, 31)
            }
        }
        if (plan == 4) {
            // the selector with dirt behind it
            assembly ("memory-safe") {
                mstore(0, or(yes, 1))
                return(0, 32)
            }
        }
        if (plan == 5) revert("no");
        if (plan == 6) hub.allow(address(this), 1); // acts, which a staticcall forbids
        if (plan == 7) return bytes4(0xffffffff);
        return yes;
    }
}

contract PaymentHubSignaturesTest is HubTest {
    uint40 private constant DEADLINE = uint40(START + 1 hours);

    function _allowHash(address from, address to, uint256 amount, uint256 nonce, uint40 deadline)
        private
        view
        returns (bytes32)
    {
        return typed(hub, keccak256(abi.encode(ALLOW, from, to, amount, nonce, deadline)));
    }

    function _openHash(address to, uint16 service, address signer, uint48 amount, uint256 nonce, uint40 deadline)
        private
        view
        returns (bytes32)
    {
        return typed(hub, keccak256(abi.encode(OPEN_LANE, payer, to, service, signer, amount, nonce, deadline)));
    }

    function _allowSig(uint256 nonce) private view returns (bytes memory) {
        return signed(payerKey, _allowHash(payer, module, 5, nonce, DEADLINE));
    }

    function _refused() private {
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InvalidSignature.selector, payer));
    }

    function test_allowBySignatureAlone() public {
        bytes memory sig = _allowSig(0);
        vm.prank(stranger);
        vm.expectEmit(address(hub));
        emit IPaymentHub.Allowed(payer, module, 5);
        hub.allowBySig(payer, module, 5, 0, DEADLINE, sig);
        assertEq(hub.allowanceOf(payer, module), 5);
        assertEq(hub.nonceOf(payer, 0), 1);
    }

    function test_openLaneBySignatureAlone() public {
        bytes memory sig = signed(payerKey, _openHash(payee, SERVICE, session, 500, 0, DEADLINE));
        vm.prank(stranger);
        assertEq(hub.openLaneBySig(payer, payee, SERVICE, session, 500, 0, DEADLINE, sig), 0);
        assertLane(0, 500, 0);
        assertEq(hub.laneOf(payee, SERVICE, 0).payer, payer);
        assertEq(hub.balanceOf(payer), 1000 * HOLE - 500 * MICRO);
        assertEq(hub.nonceOf(payer, 0), 1);
    }

    function test_compactSignatureCounts() public {
        (bytes32 r, bytes32 vs) = vm.signCompact(payerKey, _allowHash(payer, module, 5, 0, DEADLINE));
        hub.allowBySig(payer, module, 5, 0, DEADLINE, abi.encodePacked(r, vs));
        assertEq(hub.allowanceOf(payer, module), 5);
    }

    function test_deadlineIsTheLastSecond() public {
        bytes memory sig = _allowSig(0);
        vm.warp(DEADLINE + 1);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.Expired.selector, DEADLINE));
        hub.allowBySig(payer, module, 5, 0, DEADLINE, sig);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.Expired.selector, DEADLINE));
        hub.openLaneBySig(payer, payee, SERVICE, payer, 5, 0, DEADLINE, sig);
        vm.warp(DEADLINE);
        hub.allowBySig(payer, module, 5, 0, DEADLINE, sig);
    }

    function test_attack_signatureCountsOnce() public {
        bytes memory sig = _allowSig(0);
        hub.allowBySig(payer, module, 5, 0, DEADLINE, sig);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InvalidNonce.selector, payer, 1));
        hub.allowBySig(payer, module, 5, 0, DEADLINE, sig);
        _refused();
        hub.allowBySig(payer, module, 5, 1, DEADLINE, sig);
    }

    function test_noncesOfDifferentKeysDoNotWaitForEachOther() public {
        uint256 seventh = uint256(7) << 64;
        assertEq(hub.nonceOf(payer, 7), seventh);
        hub.allowBySig(payer, module, 5, seventh, DEADLINE, _allowSig(seventh));
        assertEq(hub.nonceOf(payer, 7), seventh + 1);
        assertEq(hub.nonceOf(payer, 0), 0);
        hub.allowBySig(payer, module, 5, 0, DEADLINE, _allowSig(0));
        bytes memory ahead = _allowSig(seventh + 2);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InvalidNonce.selector, payer, seventh + 1));
        hub.allowBySig(payer, module, 5, seventh + 2, DEADLINE, ahead);
    }

    function test_attack_everyFieldOfAllowIsSigned() public {
        bytes memory sig = _allowSig(0);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InvalidSignature.selector, stranger));
        hub.allowBySig(stranger, module, 5, 0, DEADLINE, sig);
        _refused();
        hub.allowBySig(payer, stranger, 5, 0, DEADLINE, sig);
        _refused();
        hub.allowBySig(payer, module, 6, 0, DEADLINE, sig);
        _refused();
        hub.allowBySig(payer, module, 5, uint256(1) << 64, DEADLINE, sig);
        _refused();
        hub.allowBySig(payer, module, 5, 0, DEADLINE + 1, sig);
    }

    function test_attack_everyFieldOfOpenLaneIsSigned() public {
        bytes memory sig = signed(payerKey, _openHash(payee, SERVICE, session, 500, 0, DEADLINE));
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InvalidSignature.selector, stranger));
        hub.openLaneBySig(stranger, payee, SERVICE, session, 500, 0, DEADLINE, sig);
        _refused();
        hub.openLaneBySig(payer, stranger, SERVICE, session, 500, 0, DEADLINE, sig);
        _refused();
        hub.openLaneBySig(payer, payee, 2, session, 500, 0, DEADLINE, sig);
        _refused();
        hub.openLaneBySig(payer, payee, SERVICE, stranger, 500, 0, DEADLINE, sig);
        _refused();
        hub.openLaneBySig(payer, payee, SERVICE, session, 501, 0, DEADLINE, sig);
        _refused();
        hub.openLaneBySig(payer, payee, SERVICE, session, 500, uint256(1) << 64, DEADLINE, sig);
        _refused();
        hub.openLaneBySig(payer, payee, SERVICE, session, 500, 0, DEADLINE + 1, sig);
    }

    function test_attack_signatureOfAnotherHubOrChainIsRefused() public {
        bytes memory sig = _allowSig(0);
        PaymentHub twin = new PaymentHub(address(token), MICRO, true, timelock, 0, sink);
        _refused();
        twin.allowBySig(payer, module, 5, 0, DEADLINE, sig);
        vm.chainId(99);
        _refused();
        hub.allowBySig(payer, module, 5, 0, DEADLINE, sig);
    }

    function test_attack_malformedAndHighSSignaturesAreRefused() public {
        bytes32 digest = _allowHash(payer, module, 5, 0, DEADLINE);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(payerKey, digest);
        bytes32 high = bytes32(CURVE_ORDER - uint256(s));
        assertEq(ecrecover(digest, v == 27 ? 28 : 27, r, high), payer);
        _refused();
        hub.allowBySig(payer, module, 5, 0, DEADLINE, abi.encodePacked(r, high, v == 27 ? uint8(28) : uint8(27)));
        _refused();
        hub.allowBySig(payer, module, 5, 0, DEADLINE, abi.encodePacked(r, s));
        _refused();
        hub.allowBySig(payer, module, 5, 0, DEADLINE, "");
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InvalidSignature.selector, address(0)));
        hub.allowBySig(address(0), module, 5, 0, DEADLINE, abi.encodePacked(bytes32(0), bytes32(0), uint8(27)));
    }

    function test_refusedEffectsKeepTheNonce() public {
        bytes memory sig = signed(payerKey, _openHash(payee, SERVICE, session, 1001e6, 0, DEADLINE));
        reverts(IPaymentHub.InsufficientBalance.selector);
        hub.openLaneBySig(payer, payee, SERVICE, session, 1001e6, 0, DEADLINE, sig);
        assertEq(hub.nonceOf(payer, 0), 0);
    }

    // ------------------------------------------------------------------------------------- contract accounts

    function _contractPayer(uint256 plan) private returns (ContractAccount account) {
        account = new ContractAccount();
        account.set(plan, hub);
        hub.deposit(address(account), HOLE);
    }

    function test_contractAccountSignsByErc1271() public {
        ContractAccount account = _contractPayer(0);
        hub.openLaneBySig(address(account), payee, SERVICE, session, 500, 0, DEADLINE, "yes");
        assertLane(0, 500, 0);
        redeem(voucher(sessionKey, 0, 500));
        assertEq(hub.balanceOf(payee), 500 * MICRO);
        vm.expectRevert(abi.encodeWithSelector(IPaymentHub.InvalidSignature.selector, address(account)));
        hub.allowBySig(address(account), module, 5, 1, DEADLINE, "no");
    }

    function test_attack_hostileErc1271AccountsAreRefusedAndChangeNothing() public {
        for (uint256 plan = 1; plan <= 7; ++plan) {
            if (plan == 2) continue; // next test
            ContractAccount account = _contractPayer(plan);
            (bool ok, bytes memory out) = address(hub).call{gas: 1_000_000}(
                abi.encodeCall(hub.allowBySig, (address(account), module, 5, 0, DEADLINE, "yes"))
            );
            assertFalse(ok);
            assertEq(
                out, abi.encodeWithSelector(IPaymentHub.InvalidSignature.selector, address(account)), vm.toString(plan)
            );
            assertEq(hub.allowanceOf(address(account), module), 0);
            assertEq(hub.allowanceOf(address(account), address(account)), 0);
            assertEq(hub.nonceOf(address(account), 0), 0);
        }
    }

    function test_attack_returnDataBombIsNotCopied() public {
        ContractAccount account = _contractPayer(2);
        // The account pays for its own megabyte; the hub reads one word of it. Copying it would need 2.2M gas more.
        uint256 before = gasleft();
        hub.allowBySig(address(account), module, 5, 0, DEADLINE, "yes");
        assertLt(before - gasleft(), 2_500_000);
        assertEq(hub.allowanceOf(address(account), module), 5);
    }

    function test_attack_anEoaThatGainsCodeKeepsItsVouchersAndItsKey() public {
        openLane(500);
        bytes memory row = voucher(payerKey, 0, 300);
        // Code that refuses every signature, as by an EIP-7702 delegation after the vouchers were signed.
        ContractAccount refusing = new ContractAccount();
        vm.etch(payer, address(refusing).code);
        ContractAccount(payer).set(7, hub);
        (uint256 micro,) = redeem(row);
        assertEq(micro, 300);
        hub.allowBySig(payer, module, 5, 0, DEADLINE, _allowSig(0));
        assertEq(hub.allowanceOf(payer, module), 5);
    }

    function test_attack_codeDoesNotMakeAWrongSignatureRight() public {
        vm.etch(payer, hex"00");
        bytes memory wrong = signed(sessionKey, _allowHash(payer, module, 5, 0, DEADLINE));
        _refused();
        hub.allowBySig(payer, module, 5, 0, DEADLINE, wrong);
    }
}
