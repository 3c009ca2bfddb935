// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {PaymentHub} from "../../../contracts/escrow/PaymentHub.sol";
import {IPaymentHub} from "../../../contracts/interfaces/IPaymentHub.sol";
import {BlackholeToken} from "../../../contracts/tokens/BlackholeToken.sol";
import {Test} from "./Test.sol";

/// @dev A HOLE hub with a payer who has 1,000 HOLE in it, and vouchers by any key.
abstract contract HubTest is Test {
    uint256 internal constant HOLE = 1e18;
    uint256 internal constant MICRO = 1e12;
    uint16 internal constant SERVICE = 1;
    uint256 internal constant START = 1_800_000_000;
    bytes32 internal constant OPEN_LANE = keccak256(
        "OpenLane(address payer,address payee,uint16 service,address signer,uint48 amount,uint256 nonce,uint40 deadline)"
    );
    bytes32 internal constant ALLOW =
        keccak256("Allow(address payer,address module,uint256 amount,uint256 nonce,uint40 deadline)");
    bytes32 internal constant VOUCHER =
        keccak256("Voucher(address payee,uint16 service,uint32 lane,uint48 cumulative)");

    BlackholeToken internal token;
    PaymentHub internal hub;
    address internal payer;
    uint256 internal payerKey;
    address internal session;
    uint256 internal sessionKey;
    address internal payee = makeAddr("payee");
    address internal module = makeAddr("module");
    address internal sink = makeAddr("sink");
    address internal timelock = makeAddr("timelock");
    address internal stranger = makeAddr("stranger");

    function setUp() public virtual {
        vm.warp(START);
        (payer, payerKey) = makeAddrAndKey("payer");
        (session, sessionKey) = makeAddrAndKey("session");
        address[] memory recipients = new address[](1);
        recipients[0] = address(this);
        uint256[] memory amounts = new uint256[](1);
        amounts[0] = 1e9 * HOLE;
        token = new BlackholeToken(recipients, amounts, timelock);
        hub = new PaymentHub(address(token), MICRO, true, timelock, 0, sink);
        token.approve(address(hub), type(uint256).max);
        hub.deposit(payer, 1000 * HOLE);
    }

    /// @dev A lane of `amount` micro from payer to payee, signed for by the payer.
    function openLane(uint48 amount) internal returns (uint32) {
        vm.prank(payer);
        return hub.openLane(payee, SERVICE, payer, amount);
    }

    function voucher(uint256 key, uint32 lane, uint48 cumulative) internal view returns (bytes memory) {
        return voucherFor(hub, key, payee, SERVICE, lane, cumulative);
    }

    function voucherFor(PaymentHub bank, uint256 key, address to, uint16 service, uint32 lane, uint48 cumulative)
        internal
        view
        returns (bytes memory)
    {
        bytes32 digest = typed(bank, keccak256(abi.encode(VOUCHER, to, service, lane, cumulative)));
        (bytes32 r, bytes32 vs) = vm.signCompact(key, digest);
        return abi.encodePacked(lane, cumulative, r, vs);
    }

    function typed(PaymentHub bank, bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked("\x19\x01", bank.domainSeparator(), structHash));
    }

    function signed(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function redeem(bytes memory rows) internal returns (uint256 micro, uint256 accepted) {
        return hub.redeem(payee, SERVICE, rows);
    }

    function assertLane(uint32 lane, uint48 deposit, uint48 claimed) internal view {
        IPaymentHub.Lane memory l = hub.laneOf(payee, SERVICE, lane);
        assertEq(l.deposit, deposit, "deposit");
        assertEq(l.claimed, claimed, "claimed");
    }

    function reverts(bytes4 selector) internal {
        vm.expectPartialRevert(selector);
    }
}
