// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {PaymentHub} from "../../../contracts/escrow/PaymentHub.sol";
import {IPaymentHub} from "../../../contracts/interfaces/IPaymentHub.sol";
import {BlackholeToken} from "../../../contracts/tokens/BlackholeToken.sol";
import {HubTest} from "./HubTest.sol";
import {Test} from "./Test.sol";

/// @dev Every function of the hub with bounded inputs, by a few accounts. Around each call it checks what only a
/// comparison of before and after shows, and remembers violations: an assertion here would only revert the call.
contract HubHandler is Test {
    uint256 private constant MICRO = 1e12;
    uint16 private constant SERVICE = 1;
    uint256 private constant PAYERS = 3;
    bytes32 private constant VOUCHER = keccak256("Voucher(address payee,uint16 service,uint32 lane,uint48 cumulative)");

    PaymentHub public immutable hub;
    BlackholeToken private immutable _token;
    address private immutable _timelock;
    address[] public accounts; // payers, payees, modules, sink
    address[] public payees;
    address[] public modules;
    uint256[] private _keys;
    address public sink = makeAddr("fee sink");

    struct LaneId {
        address payee;
        uint32 lane;
    }

    struct LockId {
        address module;
        uint256 id;
    }

    LaneId[] public lanes;
    LockId[] public locks;
    mapping(address payee => mapping(uint32 lane => uint48)) public highestSigned;
    mapping(address payee => mapping(uint32 lane => uint48)) public lastClaimed;
    mapping(address payee => mapping(uint32 lane => bool)) public seenLane;
    bytes[] private _vouchers;
    LaneId[] private _voucherLanes;
    uint256 public donated;

    string public violation;

    // Whose money may fall in the running call, and to where a lock may pay.
    mapping(address account => uint256 wei_) private _wealth;

    constructor(PaymentHub hub_, BlackholeToken token, address timelock) {
        (hub, _token, _timelock) = (hub_, token, timelock);
        for (uint256 i; i < PAYERS; ++i) {
            (address account, uint256 key) = makeAddrAndKey(string.concat("payer ", vm.toString(i)));
            accounts.push(account);
            _keys.push(key);
            vm.prank(account);
            token.approve(address(hub_), type(uint256).max);
        }
        for (uint256 i; i < 2; ++i) {
            payees.push(makeAddr(string.concat("payee ", vm.toString(i))));
            modules.push(makeAddr(string.concat("module ", vm.toString(i))));
            accounts.push(payees[i]);
            accounts.push(modules[i]);
        }
        accounts.push(sink);
    }

    // --------------------------------------------------------------------------------------------- the checks

    /// @dev All an account has in the hub: balance, what its lanes hold unclaimed, its locks.
    function wealth(address account) public view returns (uint256 sum) {
        sum = hub.balanceOf(account);
        for (uint256 i; i < lanes.length; ++i) {
            IPaymentHub.Lane memory l = hub.laneOf(lanes[i].payee, SERVICE, lanes[i].lane);
            if (l.payer == account) sum += uint256(l.deposit - l.claimed) * MICRO;
        }
        for (uint256 i; i < locks.length; ++i) {
            IPaymentHub.Lock memory l = hub.lockOf(locks[i].module, locks[i].id);
            if (l.payer == account) sum += l.amount;
        }
    }

    /// @dev Statement 14: nobody's wealth falls but that of `spender`, whose transaction, voucher, allowance it was.
    modifier onlySpends(address spender) {
        for (uint256 i; i < accounts.length; ++i) {
            _wealth[accounts[i]] = wealth(accounts[i]);
        }
        _;
        for (uint256 i; i < accounts.length; ++i) {
            if (accounts[i] != spender && wealth(accounts[i]) < _wealth[accounts[i]]) {
                violation = "another account lost money";
            }
        }
    }

    function _payer(uint256 seed) private view returns (address) {
        return accounts[seed % PAYERS];
    }

    // ------------------------------------------------------------------------------------------------ the calls

    function deposit(uint256 by, uint256 to, uint256 amount) external onlySpends(address(0)) {
        amount = bound(amount, 1, 1e21);
        address from = _payer(by);
        _token.transfer(from, amount);
        vm.prank(from);
        hub.deposit(_payer(to), amount);
    }

    function donate(uint256 amount) external onlySpends(address(0)) {
        amount = bound(amount, 1, 1e18);
        _token.transfer(address(hub), amount);
        donated += amount;
    }

    function withdraw(uint256 by, uint256 amount) external onlySpends(accounts[by % accounts.length]) {
        address account = accounts[by % accounts.length];
        uint256 balance = hub.balanceOf(account);
        if (balance == 0) return;
        vm.prank(account);
        hub.withdraw(account, bound(amount, 1, balance));
    }

    function openLane(uint256 by, uint256 to, uint48 amount) external onlySpends(address(0)) {
        address payer = _payer(by);
        address payee = payees[to % 2];
        uint256 most = hub.balanceOf(payer) / MICRO;
        if (most == 0) return;
        amount = uint48(bound(amount, 1, most));
        address signer = _payer(by + (to & 4) / 4);
        vm.prank(payer);
        uint32 lane = hub.openLane(payee, SERVICE, signer, amount);
        if (seenLane[payee][lane]) violation = "a lane id was used twice";
        seenLane[payee][lane] = true;
        lanes.push(LaneId(payee, lane));
    }

    function topUp(uint256 by, uint256 which, uint48 amount) external onlySpends(_payer(by)) {
        if (lanes.length == 0) return;
        LaneId memory id = lanes[which % lanes.length];
        uint256 most = hub.balanceOf(_payer(by)) / MICRO;
        if (most == 0) return;
        vm.prank(_payer(by));
        hub.topUp(id.payee, SERVICE, id.lane, uint48(bound(amount, 1, most)));
    }

    function thaw(uint256 which, uint48 amount) external onlySpends(address(0)) {
        if (lanes.length == 0) return;
        LaneId memory id = lanes[which % lanes.length];
        IPaymentHub.Lane memory l = hub.laneOf(id.payee, SERVICE, id.lane);
        vm.prank(l.payer);
        hub.thaw(id.payee, SERVICE, id.lane, uint48(bound(amount, 0, l.deposit - l.claimed)));
    }

    function reclaim(uint256 which) external onlySpends(address(0)) {
        if (lanes.length == 0) return;
        LaneId memory id = lanes[which % lanes.length];
        address payer = hub.laneOf(id.payee, SERVICE, id.lane).payer;
        vm.prank(payer);
        hub.reclaim(id.payee, SERVICE, id.lane);
    }

    /// @dev Signs and keeps a voucher, sometimes for more than the lane holds, sometimes with the wrong key.
    function signVoucher(uint256 which, uint48 cumulative, uint256 signer) external {
        if (lanes.length == 0) return;
        LaneId memory id = lanes[which % lanes.length];
        IPaymentHub.Lane memory l = hub.laneOf(id.payee, SERVICE, id.lane);
        cumulative = uint48(bound(cumulative, 0, uint256(l.deposit) * 2));
        uint256 key = _keys[signer % PAYERS];
        address by = accounts[signer % PAYERS];
        bytes32 structHash = keccak256(abi.encode(VOUCHER, id.payee, SERVICE, id.lane, cumulative));
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", hub.domainSeparator(), structHash));
        (bytes32 r, bytes32 vs) = vm.signCompact(key, digest);
        _vouchers.push(abi.encodePacked(id.lane, cumulative, r, vs));
        _voucherLanes.push(id);
        if ((by == l.payer || by == l.signer) && cumulative > highestSigned[id.payee][id.lane]) {
            highestSigned[id.payee][id.lane] = cumulative;
        }
    }

    /// @dev Any earlier vouchers again, in any order, with a row of noise between them.
    function redeem(uint256 to, uint256 seed) external {
        if (_vouchers.length == 0) return;
        address payee = payees[to % 2];
        bytes memory rows;
        for (uint256 i; i < 4; ++i) {
            rows = bytes.concat(rows, _vouchers[uint256(keccak256(abi.encode(seed, i))) % _vouchers.length]);
            if (seed % 3 == i) {
                rows = bytes.concat(
                    rows,
                    abi.encodePacked(uint32(seed), uint48(seed >> 32), keccak256(rows), keccak256(abi.encode(seed)))
                );
            }
        }
        uint256 hubMoney = _hubMoney();
        hub.redeem(payee, SERVICE, rows);
        if (_hubMoney() != hubMoney) violation = "a redemption made or lost money";
    }

    function _hubMoney() private view returns (uint256 sum) {
        for (uint256 i; i < accounts.length; ++i) {
            sum += wealth(accounts[i]);
        }
    }

    function allow(uint256 by, uint256 which, uint256 amount) external onlySpends(address(0)) {
        vm.prank(_payer(by));
        hub.allow(modules[which % 2], amount % 3 == 0 ? type(uint256).max : bound(amount, 0, 1e21));
    }

    function lock(uint256 which, uint256 by, uint256 to, uint96 amount, uint40 time) external onlySpends(address(0)) {
        address payer = _payer(by);
        address module = modules[which % 2];
        uint256 allowance = hub.allowanceOf(payer, module);
        uint256 most = hub.balanceOf(payer);
        if (allowance < most) most = allowance;
        if (most == 0) return;
        amount = uint96(bound(amount, 1, most));
        uint256 id = locks.length;
        uint40 expiry = uint40(vm.getBlockTimestamp() + bound(time, 1, 60 days));
        vm.prank(module);
        hub.lock(id, payer, payees[to % 2], SERVICE, amount, expiry);
        locks.push(LockId(module, id));
        if (allowance != type(uint256).max && hub.allowanceOf(payer, module) != allowance - amount) {
            violation = "a lock did not use its allowance";
        }
    }

    function increase(uint256 which, uint96 amount, uint40 time) external onlySpends(address(0)) {
        if (locks.length == 0) return;
        LockId memory id = locks[which % locks.length];
        IPaymentHub.Lock memory l = hub.lockOf(id.module, id.id);
        vm.prank(id.module);
        hub.increase(id.id, uint96(bound(amount, 0, 1e20)), l.expiry + uint40(bound(time, 0, 10 days)));
    }

    function release(uint256 which, uint96 amount) external {
        if (locks.length == 0) return;
        LockId memory id = locks[which % locks.length];
        IPaymentHub.Lock memory l = hub.lockOf(id.module, id.id);
        if (l.amount == 0) return;
        _release(id, l, uint96(bound(amount, 1, l.amount)));
    }

    function _release(LockId memory id, IPaymentHub.Lock memory l, uint96 amount) private onlySpends(l.payer) {
        uint256 before = hub.balanceOf(l.payee) + hub.balanceOf(sink);
        vm.prank(id.module);
        hub.release(id.id, amount);
        if (hub.balanceOf(l.payee) + hub.balanceOf(sink) - before != amount) violation = "a release went elsewhere";
    }

    function refund(uint256 which, uint96 amount) external onlySpends(address(0)) {
        if (locks.length == 0) return;
        LockId memory id = locks[which % locks.length];
        uint96 most = hub.lockOf(id.module, id.id).amount;
        if (most == 0) return;
        vm.prank(id.module);
        hub.refund(id.id, uint96(bound(amount, 1, most)));
    }

    function reclaimLock(uint256 which) external onlySpends(address(0)) {
        if (locks.length == 0) return;
        LockId memory id = locks[which % locks.length];
        address payer = hub.lockOf(id.module, id.id).payer;
        vm.prank(payer);
        hub.reclaimLock(id.module, id.id);
    }

    function setFee(uint16 bps) external {
        vm.prank(_timelock);
        hub.setFee(SERVICE, uint16(bound(bps, 0, 500)), sink);
    }

    function pass(uint256 time) external {
        skip(bound(time, 1 hours, 10 days));
    }

    // --------------------------------------------------------------------------------------------- for invariants

    function laneCount() external view returns (uint256) {
        return lanes.length;
    }

    function lockCount() external view returns (uint256) {
        return locks.length;
    }

    function accountCount() external view returns (uint256) {
        return accounts.length;
    }

    /// @dev Statement 2 needs the past: what each lane had claimed when last looked at.
    function noteClaims() external returns (bool ok) {
        ok = true;
        for (uint256 i; i < lanes.length; ++i) {
            uint48 claimed = hub.laneOf(lanes[i].payee, SERVICE, lanes[i].lane).claimed;
            if (claimed < lastClaimed[lanes[i].payee][lanes[i].lane]) ok = false;
            lastClaimed[lanes[i].payee][lanes[i].lane] = claimed;
        }
    }
}

/// @dev DESIGN's "What must always hold", 1 to 4 and 14.
contract PaymentHubInvariants is HubTest {
    HubHandler private handler;

    function setUp() public override {
        super.setUp();
        hub = new PaymentHub(address(token), MICRO, true, timelock, 100, sink);
        handler = new HubHandler(hub, token, timelock);
        token.transfer(address(handler), 1e8 * HOLE);
        address feeSink = handler.sink();
        vm.prank(timelock);
        hub.setFee(SERVICE, 300, feeSink);
        bytes4[] memory selectors = new bytes4[](19);
        selectors[0] = HubHandler.deposit.selector;
        selectors[1] = HubHandler.donate.selector;
        selectors[2] = HubHandler.withdraw.selector;
        selectors[3] = HubHandler.openLane.selector;
        selectors[4] = HubHandler.topUp.selector;
        selectors[5] = HubHandler.thaw.selector;
        selectors[6] = HubHandler.reclaim.selector;
        selectors[7] = HubHandler.signVoucher.selector;
        selectors[8] = HubHandler.redeem.selector;
        selectors[9] = HubHandler.allow.selector;
        selectors[10] = HubHandler.lock.selector;
        selectors[11] = HubHandler.increase.selector;
        selectors[12] = HubHandler.release.selector;
        selectors[13] = HubHandler.refund.selector;
        selectors[14] = HubHandler.reclaimLock.selector;
        selectors[15] = HubHandler.setFee.selector;
        selectors[16] = HubHandler.pass.selector;
        selectors[17] = HubHandler.deposit.selector; // twice: money makes the others possible
        selectors[18] = HubHandler.openLane.selector;
        targetContract(address(handler));
        targetSelector(FuzzSelector(address(handler), selectors));
    }

    /// 1: the hub's tokens are all balances, lanes and locks, and what was donated.
    function invariant_theHubOwesExactlyWhatItHolds() public view {
        uint256 owed;
        for (uint256 i; i < handler.accountCount(); ++i) {
            owed += handler.wealth(handler.accounts(i));
        }
        assertEq(token.balanceOf(address(hub)), owed + handler.donated());
    }

    /// 2, 3, 4: claimed never falls, is at most the deposit, at most what was signed.
    function invariant_lanesPayWhatWasSignedAndThere() public {
        assertTrue(handler.noteClaims(), "claimed fell");
        for (uint256 i; i < handler.laneCount(); ++i) {
            (address to, uint32 lane) = handler.lanes(i);
            IPaymentHub.Lane memory l = hub.laneOf(to, SERVICE, lane);
            assertLe(l.claimed, l.deposit);
            assertLe(l.claimed, handler.highestSigned(to, lane));
            assertLe(l.thawing, l.deposit);
        }
    }

    /// 2, 14: ids are never reused; nobody's money moves without his doing; see the handler.
    function invariant_nothingWasViolatedInACall() public view {
        assertEq(handler.violation(), "");
    }
}
