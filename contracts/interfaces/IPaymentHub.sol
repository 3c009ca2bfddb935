// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The bank of the market: one immutable instance a token, one balance an account.
/// @notice Money enters by deposit, moves to lanes (vouchers) and locks (modules), and leaves by withdraw.
/// Nothing here can be paused. The hub calls its token only, and by staticcall a payer's ERC-1271 inside a BySig call,
/// before any effect. Balances and locks are in wei of the token, lanes in micro: `unit()` wei each.
/// The token must be one whose balances change by transfer alone: a fee on transfer is refused at deposit; what a
/// rebase adds belongs to nobody, what it takes away is missing for whoever withdraws last.
interface IPaymentHub {
    /// @notice Money prepaid to one payee for one service; key (payee, service, lane). Amounts in micro over the life
    /// of the lane.
    /// @dev What views return. In storage slot 0 is payer | deposit | claimed, all a redemption touches (the payer is
    /// in the event); slot 1 is signer | thawing | thawAt, where signer 0 means the payer himself.
    struct Lane {
        address signer; // 160  who signs vouchers beside the payer; an EOA
        uint48 deposit; //  48  paid in so far, less what was reclaimed
        uint48 claimed; //  48  paid out so far
        address payer; // 160
        uint48 thawing; //  48  asked back
        uint40 thawAt; //   40  from when it may be reclaimed
    }

    /// @notice Money a module holds for a named payee; key (module, id). An id is used once: `payer` stays when the
    /// lock is empty.
    struct Lock {
        address payer; // 160
        uint96 amount; //  96  wei still locked
        address payee; // 160
        uint32 expiry; //  32  the payer takes the rest back LOCK_GRACE later, whatever the module does
        uint16 service; // 16
        uint48 released; // 48  micro released so far, each release rounded down, saturating
    }

    /// @notice The fee of a service; a service without a row of its own pays row 0.
    struct Fee {
        address sink; //   160  0 = no row; receives fees as a hub balance
        uint16 bps; //      16  until nextAt
        uint16 nextBps; //  16  from nextAt
        uint40 nextAt; //   40
    }

    /// @notice Tokens came in and were credited to `to`.
    event Deposited(address indexed from, address indexed to, uint256 amount);
    /// @notice Tokens went out to `to` from the balance of `from`.
    event Withdrawn(address indexed from, address indexed to, uint256 amount);
    /// @notice A lane was opened; `amount` in micro left the payer's balance.
    event LaneOpened(
        address indexed payer, address indexed payee, uint16 indexed service, uint32 lane, address signer, uint48 amount
    );
    /// @notice `amount` micro of `from`'s balance joined a lane.
    event LaneToppedUp(address indexed from, address indexed payee, uint16 indexed service, uint32 lane, uint48 amount);
    /// @notice The payer asks `amount` micro back from `thawAt` on; 0 is a cancellation. A signal to redeem now.
    event ThawStarted(
        address indexed payer, address indexed payee, uint16 indexed service, uint32 lane, uint48 amount, uint40 thawAt
    );
    /// @notice `amount` micro of a matured thaw went back to the payer's balance.
    event LaneReclaimed(
        address indexed payer, address indexed payee, uint16 indexed service, uint32 lane, uint48 amount
    );
    /// @notice A release reached the payee's balance. `gross` and `fee` in wei; the payee got gross - fee. `receipt` is the
    /// lock's id.
    event Credited(
        address indexed payer,
        address indexed payee,
        uint16 indexed service,
        uint256 gross,
        uint256 fee,
        bytes32 receipt
    );
    /// @notice A voucher reached the payee's balance: what Credited says, in two words, because a batch pays it for each.
    /// @param account payee (160 bits, highest) | service (16) | 0 (80)
    /// @param payment payer (160 bits, highest) | lane (32) | gross in micro (48) | fee in basis points of the gross (16);
    /// in wei the fee rounds down. The receipt is `laneReceipt(payee, service, lane)`: account | lane.
    event VoucherPaid(bytes32 indexed account, bytes32 payment);
    /// @notice The payer set what a module may still lock, in wei.
    event Allowed(address indexed payer, address indexed module, uint256 amount);
    /// @notice A module locked `amount` wei of the payer.
    event Locked(
        address indexed module,
        uint256 indexed id,
        address indexed payer,
        address payee,
        uint16 service,
        uint96 amount,
        uint40 expiry
    );
    /// @notice A lock grew by `amount` wei or got a later expiry.
    event LockIncreased(address indexed module, uint256 indexed id, uint96 amount, uint40 expiry);
    /// @notice `amount` wei of a lock went back to its payer, by the module or (after the grace) by the payer.
    event LockRefunded(address indexed module, uint256 indexed id, address indexed payer, uint96 amount);
    /// @notice The fee of a service becomes `bps` at `effectiveAt`; its sink is `sink` from now on.
    event FeeSet(uint16 indexed service, uint16 bps, address sink, uint40 effectiveAt);

    /// @notice An address that must not be zero is, or money would be sent to the hub itself.
    error InvalidAddress();
    /// @notice Nothing to move.
    error ZeroAmount();
    /// @notice The token delivered `received` instead of `amount`: it takes a fee, or moved other balances.
    error UnexpectedTransfer(uint256 amount, uint256 received);
    /// @notice The balance of `account` is `balance` wei, `needed` were asked.
    error InsufficientBalance(address account, uint256 balance, uint256 needed);
    /// @notice The module may lock `allowance` wei of the payer, `needed` were asked.
    error InsufficientAllowance(address payer, address module, uint256 allowance, uint256 needed);
    /// @notice There is no such lane.
    error UnknownLane(address payee, uint16 service, uint32 lane);
    /// @notice A lane takes 2^48 - 1 micro over its life.
    error LaneFull(address payee, uint16 service, uint32 lane);
    /// @notice All 2^32 lane ids of this payee and service are used.
    error LanesExhausted(address payee, uint16 service);
    /// @notice The caller is not the payer.
    error NotPayer(address caller, address payer);
    /// @notice More was asked back than the lane has unclaimed (micro).
    error InsufficientLane(uint48 available, uint48 needed);
    /// @notice No thaw is open.
    error NotThawing();
    /// @notice The thaw matures at `thawAt`.
    error StillThawing(uint40 thawAt);
    /// @notice The thaw matured more than THAW_LAPSE ago: ask again.
    error ThawLapsed(uint40 lapsedAt);
    /// @notice `length` is not a multiple of the 74 bytes of a voucher.
    error MalformedVouchers(uint256 length);
    /// @notice This module has used the id before.
    error LockExists(address module, uint256 id);
    /// @notice There is no such lock.
    error UnknownLock(address module, uint256 id);
    /// @notice The lock holds `available` wei, `needed` were asked.
    error InsufficientLock(uint96 available, uint96 needed);
    /// @notice An expiry must lie in the future, below 2^32, and never moves closer.
    error InvalidExpiry(uint40 expiry);
    /// @notice The payer may take the lock back from `from` on.
    error LockNotExpired(uint256 from);
    /// @notice The signature's deadline has passed.
    error Expired(uint256 deadline);
    /// @notice The signature is not the payer's, or his account does not accept it.
    error InvalidSignature(address payer);
    /// @notice The next nonce of this key is `expected`.
    error InvalidNonce(address payer, uint256 expected);
    /// @notice Only the timelock sets fees.
    error NotTimelock(address caller);
    /// @notice A micro is 1 to 1e12 wei.
    error InvalidUnit();
    /// @notice A fee is at most FEE_BPS_MAX.
    error FeeTooHigh(uint16 bps);

    // ---------------------------------------------------------------------------------------------- balances

    /// @notice Moves `amount` wei of the caller's tokens in, credited to `to`.
    /// @dev Anyone, after approving the hub. Reverts InvalidAddress, ZeroAmount, UnexpectedTransfer.
    function deposit(address to, uint256 amount) external;

    /// @notice Moves `amount` wei of `from`'s tokens in, credited to `from`, under an ERC-2612 permit to the hub of
    /// exactly this amount (`sig`: 65 or 64 bytes). Needs no gas from `from`.
    /// @dev Anyone. When somebody has used the permit before, its signature and the untouched allowance count: nobody
    /// can block the deposit by submitting the permit first. Reverts Expired, InvalidSignature, ZeroAmount,
    /// UnexpectedTransfer.
    function depositWithPermit(address from, uint256 amount, uint256 deadline, bytes calldata sig) external;

    /// @notice Sends `amount` wei of the caller's balance to `to` as tokens.
    /// @dev Any account. Reverts InvalidAddress, ZeroAmount, InsufficientBalance.
    function withdraw(address to, uint256 amount) external;

    /// @notice Wei of `account`; income and what is not spent are one number.
    function balanceOf(address account) external view returns (uint256);

    // ------------------------------------------------------------------------------------------------- lanes

    /// @notice Opens a lane of `amount` micro from the caller's balance. `signer` (an EOA; the caller himself is the
    /// cheapest) signs vouchers for it, and so may the payer. Ids count up from 0 and are never reused.
    /// @dev Any payer. Reverts InvalidAddress, ZeroAmount, InsufficientBalance, LanesExhausted.
    function openLane(address payee, uint16 service, address signer, uint48 amount) external returns (uint32 lane);

    /// @notice openLane for `payer`, who signed OpenLane(address payer,address payee,uint16 service,address signer,
    /// uint48 amount,uint256 nonce,uint40 deadline); contract accounts by ERC-1271.
    /// @dev Anyone. Reverts Expired, InvalidNonce, InvalidSignature, and as openLane.
    function openLaneBySig(
        address payer,
        address payee,
        uint16 service,
        address signer,
        uint48 amount,
        uint256 nonce,
        uint40 deadline,
        bytes calldata sig
    ) external returns (uint32 lane);

    /// @notice Adds `amount` micro of the caller's balance to a lane, whoever its payer is; a thaw stays as it is.
    /// @dev Anyone. Reverts ZeroAmount, UnknownLane, LaneFull, InsufficientBalance.
    function topUp(address payee, uint16 service, uint32 lane, uint48 amount) external;

    /// @notice Asks `amount` micro back: THAW later, for THAW_LAPSE, `reclaim` pays what vouchers have left of it.
    /// Asking again restarts the time; 0 cancels.
    /// @dev The lane's payer. Reverts UnknownLane, NotPayer, InsufficientLane.
    function thaw(address payee, uint16 service, uint32 lane, uint48 amount) external;

    /// @notice Moves what was asked back, at most what is unclaimed, to the payer's balance.
    /// @dev The lane's payer. Reverts UnknownLane, NotPayer, NotThawing, StillThawing, ThawLapsed.
    function reclaim(address payee, uint16 service, uint32 lane) external;

    /// @notice Pays vouchers of one payee and service into the payee's balance, less the fee. A row is 74 bytes:
    /// u32 lane, u48 cumulative (micro, big endian), 64-byte EIP-2098 signature (low s) by the lane's signer or payer
    /// over Voucher(address payee,uint16 service,uint32 lane,uint48 cumulative). Rows that pay nothing (unknown lane,
    /// wrong signature, nothing new, lane empty) are skipped; an underfunded row pays what the lane has, and the rest
    /// later with the same voucher.
    /// @dev Anyone. Reverts MalformedVouchers only. `micro` is the gross sum, `accepted` the rows that paid.
    function redeem(address payee, uint16 service, bytes calldata vouchers)
        external
        returns (uint256 micro, uint256 accepted);

    /// @notice The lane; all zero when there is none.
    function laneOf(address payee, uint16 service, uint32 lane) external view returns (Lane memory);

    /// @notice How many lanes (payee, service) has had: the next id.
    function laneCount(address payee, uint16 service) external view returns (uint256);

    /// @notice The receipt of a lane: payee (160 bits) | service (16) | 0 (48) | lane (32).
    function laneReceipt(address payee, uint16 service, uint32 lane) external pure returns (bytes32);

    /// @notice The EIP-712 digest a voucher's signature is over.
    function voucherDigest(address payee, uint16 service, uint32 lane, uint48 cumulative)
        external
        view
        returns (bytes32);

    // ------------------------------------------------------------------------------------------------- locks

    /// @notice Sets how much `module` may lock of the caller from now on, in wei; 2^256 - 1 is without limit, 0 also
    /// forbids to prolong existing locks. The balance itself is the second limit.
    /// @dev Any payer. Reverts InvalidAddress.
    function allow(address module, uint256 amount) external;

    /// @notice allow for `payer`, who signed Allow(address payer,address module,uint256 amount,uint256 nonce,
    /// uint40 deadline); contract accounts by ERC-1271.
    /// @dev Anyone. Reverts Expired, InvalidNonce, InvalidSignature, InvalidAddress.
    function allowBySig(
        address payer,
        address module,
        uint256 amount,
        uint256 nonce,
        uint40 deadline,
        bytes calldata sig
    ) external;

    /// @notice Locks `amount` wei of `payer` for `payee` under (caller, id).
    /// @dev A module, within the payer's allowance and balance. Reverts LockExists, InvalidAddress, ZeroAmount,
    /// InvalidExpiry, InsufficientAllowance, InsufficientBalance.
    function lock(uint256 id, address payer, address payee, uint16 service, uint96 amount, uint40 expiry) external;

    /// @notice Adds `amount` wei of the payer and sets the expiry, which may not move closer.
    /// @dev The lock's module, within the payer's allowance and balance; a later expiry needs an allowance above 0
    /// before the call, so a payer who has revoked gets the rest at the date he knew. Reverts UnknownLock,
    /// InvalidExpiry, InsufficientAllowance, InsufficientBalance, InsufficientLock (more than 2^96 - 1 wei).
    function increase(uint256 id, uint96 amount, uint40 expiry) external;

    /// @notice Pays `amount` wei to the lock's payee, less the fee.
    /// @dev The lock's module, before and after expiry. Reverts UnknownLock, ZeroAmount, InsufficientLock.
    function release(uint256 id, uint96 amount) external;

    /// @notice Gives `amount` wei back to the lock's payer.
    /// @dev The lock's module. Reverts UnknownLock, ZeroAmount, InsufficientLock.
    function refund(uint256 id, uint96 amount) external;

    /// @notice Gives all that is left back to the payer.
    /// @dev The lock's payer, from expiry + LOCK_GRACE on, whatever the module does. Reverts UnknownLock, NotPayer,
    /// LockNotExpired, ZeroAmount.
    function reclaimLock(address module, uint256 id) external;

    /// @notice The lock; all zero when there is none.
    function lockOf(address module, uint256 id) external view returns (Lock memory);

    /// @notice Wei `module` may still lock of `payer`.
    function allowanceOf(address payer, address module) external view returns (uint256);

    // -------------------------------------------------------------------------------------- fees, signatures

    /// @notice Announces a service's fee: `bps` counts FEE_NOTICE later; the sink at once. A fee that was announced
    /// and has not begun is replaced.
    /// @dev The timelock. Reverts NotTimelock, FeeTooHigh, InvalidAddress.
    function setFee(uint16 service, uint16 bps, address sink) external;

    /// @notice The service's own row; all zero when it pays row 0.
    function feeOf(uint16 service) external view returns (Fee memory);

    /// @notice What a credit of this service costs now, and who gets it.
    function currentFee(uint16 service) external view returns (uint16 bps, address sink);

    /// @notice The next nonce for a BySig call: key (192 bits) | sequence (64). Keys are independent of each other.
    function nonceOf(address account, uint192 key) external view returns (uint256);

    /// @notice The EIP-712 domain separator, name "Blackhole PaymentHub", version "1".
    function domainSeparator() external view returns (bytes32);

    /// @notice The token of this hub.
    function token() external view returns (address);

    /// @notice Wei a micro.
    function unit() external view returns (uint256);

    /// @notice Whether the token is known to move exactly what is asked (HOLE), so that deposits are not measured.
    function exact() external view returns (bool);

    /// @notice Who may set fees.
    function timelock() external view returns (address);
}
