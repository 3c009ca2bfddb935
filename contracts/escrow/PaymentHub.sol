// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IPaymentHub} from "../interfaces/IPaymentHub.sol";
import {Protocol} from "../libraries/Protocol.sol";
import {VoucherRows} from "../libraries/VoucherRows.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title The bank. Immutable, without owner, pause or outside calls; see IPaymentHub for what each function requires.
contract PaymentHub is IPaymentHub, EIP712 {
    using SafeERC20 for IERC20;

    // A lane as it is stored. It exists when its payer is set; only then it has a deposit.
    struct LaneSlots {
        address payer;
        uint48 deposit;
        uint48 claimed;
        address signer; // 0 = the payer; then slot 1 stays empty until a thaw
        uint48 thawing;
        uint40 thawAt;
    }

    // What the rows of one redemption share, and what they add up to.
    struct Redemption {
        uint256 account; // payee and service, as in a receipt
        uint256 bps;
        uint256 buffer;
        uint256 micro;
        uint256 fees;
        uint256 accepted;
    }

    bytes32 private constant OPEN_LANE_TYPEHASH = keccak256(
        "OpenLane(address payer,address payee,uint16 service,address signer,uint48 amount,uint256 nonce,uint40 deadline)"
    );
    bytes32 private constant ALLOW_TYPEHASH =
        keccak256("Allow(address payer,address module,uint256 amount,uint256 nonce,uint40 deadline)");
    bytes32 private constant PERMIT_TYPEHASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    IERC20 private immutable _token;
    bool private immutable _exact;
    uint256 private immutable _unit;
    address private immutable _timelock;

    mapping(address account => uint256 wei_) private _balances;
    mapping(bytes32 payeeAndService => mapping(uint256 lane => LaneSlots)) private _lanes;
    mapping(bytes32 payeeAndService => uint256) private _laneCounts;
    mapping(address module => mapping(uint256 id => Lock)) private _locks;
    mapping(address payer => mapping(address module => uint256 wei_)) private _allowances;
    mapping(uint16 service => Fee) private _fees;
    mapping(address account => mapping(uint192 key => uint64)) private _nonces;

    /// @param token_ the only token of this instance
    /// @param unit_ wei a micro: 1e12 for 18 decimals, 1 for 6
    /// @param exact_ the token's code is known to move exactly what is asked and to call nobody (HOLE): deposits then
    /// skip the check of the balance before and after, 2,500 gas; false for every other token
    /// @param timelock_ who may set fees
    /// @param feeBps the fee of every service from the start; later changes take FEE_NOTICE
    /// @param feeSink who receives it
    constructor(address token_, uint256 unit_, bool exact_, address timelock_, uint16 feeBps, address feeSink)
        EIP712("Blackhole PaymentHub", "1")
    {
        if (token_ == address(0) || timelock_ == address(0) || feeSink == address(0)) revert InvalidAddress();
        // A full lane must fit a lock's 96 bits, so that every sum of lane money does.
        if (unit_ == 0 || unit_ > Protocol.MICRO) revert InvalidUnit();
        if (feeBps > Protocol.FEE_BPS_MAX) revert FeeTooHigh(feeBps);
        _token = IERC20(token_);
        _unit = unit_;
        _exact = exact_;
        _timelock = timelock_;
        _fees[0] = Fee({sink: feeSink, bps: feeBps, nextBps: feeBps, nextAt: uint40(block.timestamp)});
        emit FeeSet(0, feeBps, feeSink, uint40(block.timestamp));
    }

    // ---------------------------------------------------------------------------------------------- balances

    /// @inheritdoc IPaymentHub
    function deposit(address to, uint256 amount) external {
        if (to == address(0)) revert InvalidAddress();
        _pull(msg.sender, to, amount);
    }

    /// @inheritdoc IPaymentHub
    function depositWithPermit(address from, uint256 amount, uint256 deadline, bytes calldata sig) external {
        if (block.timestamp > deadline) revert Expired(deadline);
        (bytes32 r, bytes32 s, uint8 v) = _split(from, sig);
        bool permitted;
        try IERC20Permit(address(_token)).permit(from, address(this), amount, deadline, v, r, s) {
            // A token without permit may have a fallback that takes any call: HOLE's success is proof, another's is not.
            permitted = _exact;
        } catch {}
        if (!permitted && !_isUsedPermit(from, amount, deadline, sig)) revert InvalidSignature(from);
        _pull(from, from, amount);
    }

    /// @inheritdoc IPaymentHub
    function withdraw(address to, uint256 amount) external {
        if (to == address(0) || to == address(this)) revert InvalidAddress();
        if (amount == 0) revert ZeroAmount();
        _debit(msg.sender, amount);
        emit Withdrawn(msg.sender, to, amount);
        _token.safeTransfer(to, amount);
    }

    /// @inheritdoc IPaymentHub
    function balanceOf(address account) external view returns (uint256) {
        return _balances[account];
    }

    // ------------------------------------------------------------------------------------------------- lanes

    /// @inheritdoc IPaymentHub
    function openLane(address payee, uint16 service, address signer, uint48 amount) external returns (uint32 lane) {
        return _openLane(msg.sender, payee, service, signer, amount);
    }

    /// @inheritdoc IPaymentHub
    function openLaneBySig(
        address payer,
        address payee,
        uint16 service,
        address signer,
        uint48 amount,
        uint256 nonce,
        uint40 deadline,
        bytes calldata sig
    ) external returns (uint32 lane) {
        bytes32 structHash = keccak256(
            abi.encode(OPEN_LANE_TYPEHASH, payer, payee, service, signer, amount, nonce, deadline)
        );
        _authorize(payer, structHash, nonce, deadline, sig);
        return _openLane(payer, payee, service, signer, amount);
    }

    /// @inheritdoc IPaymentHub
    function topUp(address payee, uint16 service, uint32 lane, uint48 amount) external {
        if (amount == 0) revert ZeroAmount();
        LaneSlots storage slots = _lanes[_key(payee, service)][lane];
        if (slots.payer == address(0)) revert UnknownLane(payee, service, lane);
        uint256 total = uint256(slots.deposit) + amount;
        if (total > type(uint48).max) revert LaneFull(payee, service, lane);
        _debit(msg.sender, amount * _unit);
        slots.deposit = uint48(total);
        emit LaneToppedUp(msg.sender, payee, service, lane, amount);
    }

    /// @inheritdoc IPaymentHub
    function thaw(address payee, uint16 service, uint32 lane, uint48 amount) external {
        LaneSlots storage slots = _ownLane(payee, service, lane);
        uint48 available = slots.deposit - slots.claimed;
        if (amount > available) revert InsufficientLane(available, amount);
        uint40 thawAt = amount == 0 ? 0 : uint40(block.timestamp + Protocol.THAW);
        slots.thawing = amount;
        slots.thawAt = thawAt;
        emit ThawStarted(msg.sender, payee, service, lane, amount, thawAt);
    }

    /// @inheritdoc IPaymentHub
    function reclaim(address payee, uint16 service, uint32 lane) external {
        LaneSlots storage slots = _ownLane(payee, service, lane);
        uint48 amount = slots.thawing;
        uint40 thawAt = slots.thawAt;
        if (amount == 0) revert NotThawing();
        if (block.timestamp < thawAt) revert StillThawing(thawAt);
        uint256 lapsesAt = thawAt + Protocol.THAW_LAPSE;
        if (block.timestamp >= lapsesAt) revert ThawLapsed(uint40(lapsesAt));
        uint48 available = slots.deposit - slots.claimed;
        if (amount > available) amount = available; // vouchers came first
        slots.deposit -= amount;
        slots.thawing = 0;
        slots.thawAt = 0;
        _credit(msg.sender, amount * _unit);
        emit LaneReclaimed(msg.sender, payee, service, lane, amount);
    }

    /// @inheritdoc IPaymentHub
    function redeem(address payee, uint16 service, bytes calldata vouchers)
        external
        returns (uint256 micro, uint256 accepted)
    {
        if (vouchers.length % VoucherRows.SIZE != 0) revert MalformedVouchers(vouchers.length);
        (uint256 bps, address sink) = _currentFee(service);
        Redemption memory batch = Redemption({
            account: uint256(_key(payee, service)),
            bps: bps,
            buffer: VoucherRows.prepare(_domainSeparatorV4(), payee, service),
            micro: 0,
            fees: 0,
            accepted: 0
        });
        uint256 row;
        assembly ("memory-safe") {
            row := vouchers.offset
        }
        uint256 end = row + vouchers.length;
        mapping(uint256 lane => LaneSlots) storage lanes = _lanes[_key(payee, service)];
        while (row != end) {
            _redeemRow(batch, lanes, row);
            unchecked {
                row += VoucherRows.SIZE;
            }
        }
        if (batch.accepted == 0) return (0, 0);
        _credit(payee, batch.micro * _unit - batch.fees);
        if (batch.fees != 0) _credit(sink, batch.fees);
        return (batch.micro, batch.accepted);
    }

    /// @inheritdoc IPaymentHub
    function laneOf(address payee, uint16 service, uint32 lane) external view returns (Lane memory) {
        LaneSlots storage slots = _lanes[_key(payee, service)][lane];
        address payer = slots.payer;
        address signer = slots.signer;
        return Lane({
            signer: signer == address(0) ? payer : signer,
            deposit: slots.deposit,
            claimed: slots.claimed,
            payer: payer,
            thawing: slots.thawing,
            thawAt: slots.thawAt
        });
    }

    /// @inheritdoc IPaymentHub
    function laneCount(address payee, uint16 service) external view returns (uint256) {
        return _laneCounts[_key(payee, service)];
    }

    /// @inheritdoc IPaymentHub
    function laneReceipt(address payee, uint16 service, uint32 lane) external pure returns (bytes32) {
        return _receipt(payee, service, lane);
    }

    /// @inheritdoc IPaymentHub
    function voucherDigest(address payee, uint16 service, uint32 lane, uint48 cumulative)
        external
        view
        returns (bytes32)
    {
        return VoucherRows.digest(VoucherRows.prepare(_domainSeparatorV4(), payee, service), lane, cumulative);
    }

    // ------------------------------------------------------------------------------------------------- locks

    /// @inheritdoc IPaymentHub
    function allow(address module, uint256 amount) external {
        _allow(msg.sender, module, amount);
    }

    /// @inheritdoc IPaymentHub
    function allowBySig(
        address payer,
        address module,
        uint256 amount,
        uint256 nonce,
        uint40 deadline,
        bytes calldata sig
    ) external {
        bytes32 structHash = keccak256(abi.encode(ALLOW_TYPEHASH, payer, module, amount, nonce, deadline));
        _authorize(payer, structHash, nonce, deadline, sig);
        _allow(payer, module, amount);
    }

    /// @inheritdoc IPaymentHub
    function lock(uint256 id, address payer, address payee, uint16 service, uint96 amount, uint40 expiry) external {
        Lock storage slots = _locks[msg.sender][id];
        if (slots.payer != address(0)) revert LockExists(msg.sender, id);
        if (payer == address(0) || payee == address(0)) revert InvalidAddress();
        if (amount == 0) revert ZeroAmount();
        if (expiry <= block.timestamp || expiry > type(uint32).max) revert InvalidExpiry(expiry);
        _spendAllowance(payer, amount);
        _debit(payer, amount);
        slots.payer = payer;
        slots.amount = amount;
        slots.payee = payee;
        slots.expiry = uint32(expiry);
        slots.service = service;
        emit Locked(msg.sender, id, payer, payee, service, amount, expiry);
    }

    /// @inheritdoc IPaymentHub
    function increase(uint256 id, uint96 amount, uint40 expiry) external {
        Lock storage slots = _ownLock(id);
        address payer = slots.payer;
        if (expiry != slots.expiry) {
            if (expiry < slots.expiry || expiry > type(uint32).max) revert InvalidExpiry(expiry);
            if (_allowances[payer][msg.sender] == 0) revert InsufficientAllowance(payer, msg.sender, 0, 1);
            slots.expiry = uint32(expiry);
        }
        if (amount != 0) {
            uint96 room = type(uint96).max - slots.amount;
            if (amount > room) revert InsufficientLock(room, amount);
            _spendAllowance(payer, amount);
            _debit(payer, amount);
            slots.amount += amount;
        }
        emit LockIncreased(msg.sender, id, amount, expiry);
    }

    /// @inheritdoc IPaymentHub
    function release(uint256 id, uint96 amount) external {
        Lock storage slots = _ownLock(id);
        _take(slots, amount);
        uint16 service = slots.service;
        (uint256 bps, address sink) = _currentFee(service);
        uint256 fee = amount * bps / Protocol.BPS;
        // Saturates: a counter that is full must not stop a payment.
        uint256 released = slots.released + amount / _unit;
        slots.released = released > type(uint48).max ? type(uint48).max : uint48(released);
        address payee = slots.payee;
        _credit(payee, amount - fee);
        if (fee != 0) _credit(sink, fee);
        emit Credited(slots.payer, payee, service, amount, fee, bytes32(id));
    }

    /// @inheritdoc IPaymentHub
    function refund(uint256 id, uint96 amount) external {
        Lock storage slots = _ownLock(id);
        address payer = slots.payer;
        _take(slots, amount);
        _credit(payer, amount);
        emit LockRefunded(msg.sender, id, payer, amount);
    }

    /// @inheritdoc IPaymentHub
    function reclaimLock(address module, uint256 id) external {
        Lock storage slots = _locks[module][id];
        address payer = slots.payer;
        if (payer == address(0)) revert UnknownLock(module, id);
        if (msg.sender != payer) revert NotPayer(msg.sender, payer);
        uint256 from = slots.expiry + Protocol.LOCK_GRACE;
        if (block.timestamp < from) revert LockNotExpired(from);
        uint96 amount = slots.amount;
        _take(slots, amount);
        _credit(payer, amount);
        emit LockRefunded(module, id, payer, amount);
    }

    /// @inheritdoc IPaymentHub
    function lockOf(address module, uint256 id) external view returns (Lock memory) {
        return _locks[module][id];
    }

    /// @inheritdoc IPaymentHub
    function allowanceOf(address payer, address module) external view returns (uint256) {
        return _allowances[payer][module];
    }

    // -------------------------------------------------------------------------------------- fees, signatures

    /// @inheritdoc IPaymentHub
    function setFee(uint16 service, uint16 bps, address sink) external {
        if (msg.sender != _timelock) revert NotTimelock(msg.sender);
        if (bps > Protocol.FEE_BPS_MAX) revert FeeTooHigh(bps);
        if (sink == address(0)) revert InvalidAddress();
        (uint256 current,) = _currentFee(service);
        uint40 nextAt = uint40(block.timestamp + Protocol.FEE_NOTICE);
        _fees[service] = Fee({sink: sink, bps: uint16(current), nextBps: bps, nextAt: nextAt});
        emit FeeSet(service, bps, sink, nextAt);
    }

    /// @inheritdoc IPaymentHub
    function feeOf(uint16 service) external view returns (Fee memory) {
        return _fees[service];
    }

    /// @inheritdoc IPaymentHub
    function currentFee(uint16 service) external view returns (uint16 bps, address sink) {
        (uint256 current, address to) = _currentFee(service);
        return (uint16(current), to);
    }

    /// @inheritdoc IPaymentHub
    function nonceOf(address account, uint192 key) external view returns (uint256) {
        return _nextNonce(account, key);
    }

    /// @inheritdoc IPaymentHub
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @inheritdoc IPaymentHub
    function token() external view returns (address) {
        return address(_token);
    }

    /// @inheritdoc IPaymentHub
    function unit() external view returns (uint256) {
        return _unit;
    }

    /// @inheritdoc IPaymentHub
    function exact() external view returns (bool) {
        return _exact;
    }

    /// @inheritdoc IPaymentHub
    function timelock() external view returns (address) {
        return _timelock;
    }

    // ---------------------------------------------------------------------------------------------- internal

    function _key(address payee, uint16 service) private pure returns (bytes32) {
        return bytes32(uint256(uint160(payee)) << 96 | uint256(service) << 80);
    }

    function _receipt(address payee, uint16 service, uint256 lane) private pure returns (bytes32) {
        return bytes32(uint256(_key(payee, service)) | lane);
    }

    function _openLane(address payer, address payee, uint16 service, address signer, uint48 amount)
        private
        returns (uint32 lane)
    {
        if (payee == address(0) || signer == address(0)) revert InvalidAddress();
        if (amount == 0) revert ZeroAmount();
        _debit(payer, amount * _unit);
        bytes32 key = _key(payee, service);
        uint256 count = _laneCounts[key];
        if (count > type(uint32).max) revert LanesExhausted(payee, service);
        _laneCounts[key] = count + 1;
        lane = uint32(count);
        LaneSlots storage slots = _lanes[key][lane];
        slots.payer = payer;
        slots.deposit = amount;
        if (signer != payer) slots.signer = signer;
        emit LaneOpened(payer, payee, service, lane, signer, amount);
    }

    /// @dev Pays one row, or skips it. Never reverts: a bad row must not block the others.
    function _redeemRow(Redemption memory batch, mapping(uint256 lane => LaneSlots) storage lanes, uint256 row)
        private
    {
        (uint256 lane, uint256 cumulative) = VoucherRows.amounts(row);
        LaneSlots storage slots = lanes[lane];
        // Slot 0 by hand, read once and written once: claimed (48 bits, highest) | deposit (48) | payer (160).
        uint256 word;
        assembly ("memory-safe") {
            word := sload(slots.slot)
        }
        uint256 micro; // first what is claimed already, then what this row adds
        unchecked {
            micro = word >> 208;
            uint256 upTo = (word >> 160) & type(uint48).max;
            if (upTo > cumulative) upTo = cumulative;
            if (upTo <= micro) return; // nothing new, or no such lane: not worth a recovery
            micro = upTo - micro;
        }
        uint256 signer = VoucherRows.signer(batch.buffer, row, lane, cumulative);
        // The payer is never 0 here: a lane without payer has no deposit.
        if (signer != word & type(uint160).max && (signer == 0 || signer != uint160(slots.signer))) return;
        unchecked {
            uint256 updated = word + (micro << 208); // claimed + micro <= deposit < 2^48
            assembly ("memory-safe") {
                sstore(slots.slot, updated)
            }
            // No overflow: the sums are of at most 2^32 lanes of 48 bits, the unit at most 1e12.
            batch.micro += micro;
            batch.fees += micro * _unit * batch.bps / Protocol.BPS;
            ++batch.accepted;
            emit VoucherPaid(bytes32(batch.account), bytes32(word << 96 | lane << 64 | micro << 16 | batch.bps));
        }
    }

    function _ownLane(address payee, uint16 service, uint32 lane) private view returns (LaneSlots storage slots) {
        slots = _lanes[_key(payee, service)][lane];
        address payer = slots.payer;
        if (payer == address(0)) revert UnknownLane(payee, service, lane);
        if (msg.sender != payer) revert NotPayer(msg.sender, payer);
    }

    function _ownLock(uint256 id) private view returns (Lock storage slots) {
        slots = _locks[msg.sender][id];
        if (slots.payer == address(0)) revert UnknownLock(msg.sender, id);
    }

    function _take(Lock storage slots, uint96 amount) private {
        if (amount == 0) revert ZeroAmount();
        uint96 available = slots.amount;
        if (amount > available) revert InsufficientLock(available, amount);
        slots.amount = available - amount;
    }

    function _allow(address payer, address module, uint256 amount) private {
        if (module == address(0)) revert InvalidAddress();
        _allowances[payer][module] = amount;
        emit Allowed(payer, module, amount);
    }

    function _spendAllowance(address payer, uint256 amount) private {
        uint256 allowance = _allowances[payer][msg.sender];
        if (allowance == type(uint256).max) return;
        if (amount > allowance) revert InsufficientAllowance(payer, msg.sender, allowance, amount);
        _allowances[payer][msg.sender] = allowance - amount;
    }

    function _credit(address account, uint256 amount) private {
        _balances[account] += amount;
    }

    function _debit(address account, uint256 amount) private {
        uint256 balance = _balances[account];
        if (amount > balance) revert InsufficientBalance(account, balance, amount);
        _balances[account] = balance - amount;
    }

    /// @dev The token is called before the credit, so the difference of balances, not a promise, decides: a transfer
    /// that charges a fee, or during which other money moved, is refused.
    function _pull(address from, address to, uint256 amount) private {
        if (amount == 0) revert ZeroAmount();
        uint256 before = _exact ? 0 : _token.balanceOf(address(this));
        _token.safeTransferFrom(from, address(this), amount);
        if (!_exact) {
            uint256 afterwards = _token.balanceOf(address(this));
            uint256 received = afterwards < before ? 0 : afterwards - before;
            if (received != amount) revert UnexpectedTransfer(amount, received);
        }
        _credit(to, amount);
        emit Deposited(from, to, amount);
    }

    function _currentFee(uint16 service) private view returns (uint256 bps, address sink) {
        Fee storage fee = _fees[service];
        sink = fee.sink;
        if (sink == address(0)) {
            fee = _fees[0];
            sink = fee.sink;
        }
        bps = block.timestamp < fee.nextAt ? fee.bps : fee.nextBps;
    }

    function _nextNonce(address account, uint192 key) private view returns (uint256) {
        return uint256(key) << 64 | _nonces[account][key];
    }

    /// @dev Everything is checked before anything is written: the only foreign code, an ERC-1271 account, is called by
    /// staticcall and sees the hub as it was. A key's own signature counts even where its account has code (EIP-7702).
    function _authorize(address payer, bytes32 structHash, uint256 nonce, uint40 deadline, bytes calldata sig) private {
        if (block.timestamp > deadline) revert Expired(deadline);
        uint192 key = uint192(nonce >> 64);
        uint256 expected = _nextNonce(payer, key);
        if (nonce != expected) revert InvalidNonce(payer, expected);
        bytes32 digest = _hashTypedDataV4(structHash);
        if (
            !_isSigner(payer, digest, sig)
                && (payer.code.length == 0 || !SignatureChecker.isValidERC1271SignatureNowCalldata(payer, digest, sig))
        ) revert InvalidSignature(payer);
        ++_nonces[payer][key];
    }

    /// @dev Whether the token has taken this permit, now or when somebody submitted it before: it is `from`'s own, of his
    /// last nonce, and its allowance is still whole. The exact amount is asked, so that an unlimited approval given
    /// for other deposits is never drawn on.
    function _isUsedPermit(address from, uint256 amount, uint256 deadline, bytes calldata sig)
        private
        view
        returns (bool)
    {
        if (_token.allowance(from, address(this)) != amount) return false;
        uint256 next = IERC20Permit(address(_token)).nonces(from);
        if (next == 0) return false;
        bytes32 hash = keccak256(abi.encode(PERMIT_TYPEHASH, from, address(this), amount, next - 1, deadline));
        hash = MessageHashUtils.toTypedDataHash(IERC20Permit(address(_token)).DOMAIN_SEPARATOR(), hash);
        return _isSigner(from, hash, sig);
    }

    /// @dev Whether `account`'s own key signed: 65-byte (r, s, v) or 64-byte (r, vs), low s.
    function _isSigner(address account, bytes32 digest, bytes calldata sig) private pure returns (bool) {
        (address recovered, ECDSA.RecoverError problem,) = sig.length == 64
            ? ECDSA.tryRecover(digest, bytes32(sig[0:32]), bytes32(sig[32:64]))
            : ECDSA.tryRecoverCalldata(digest, sig);
        return problem == ECDSA.RecoverError.NoError && recovered == account;
    }

    /// @dev r, s, v of a 65-byte (r, s, v) or 64-byte (r, vs) signature.
    function _split(address from, bytes calldata sig) private pure returns (bytes32 r, bytes32 s, uint8 v) {
        if (sig.length == 65) {
            return (bytes32(sig[0:32]), bytes32(sig[32:64]), uint8(sig[64]));
        }
        if (sig.length != 64) revert InvalidSignature(from);
        bytes32 vs = bytes32(sig[32:64]);
        return (bytes32(sig[0:32]), vs & bytes32(uint256(type(uint256).max >> 1)), uint8(uint256(vs) >> 255) + 27);
    }
}
