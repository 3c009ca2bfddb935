// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// IMMUTABLE, one instance a token. The only bank. No pause. Calls its token only, and by staticcall a payer's ERC-1271 inside a BySig call, before any effect.
interface IPaymentHub {
    struct Lane { address signer; uint48 deposit; uint48 claimed;                       // slot 0: all a redemption touches; micro, lifetime
                  address payer; uint48 thawing; uint40 thawAt; uint8 gap; }            // slot 1, cold
    struct Lock { address payer; uint96 amount; address payee; uint32 expiry; uint16 service; uint48 released; } // key (module = msg.sender, id); released in micro; payer kept after emptying
    struct Fee { address sink; uint16 bps; uint16 nextBps; uint40 nextAt; uint24 gap; } // bps <= 500; unknown service = row 0
    event Credited(address indexed payer, address indexed payee, uint16 indexed service, uint256 gross, uint256 fee, bytes32 receipt);
    function balanceOf(address account) external view returns (uint256);                // wei; income and unspent are one number
    function deposit(address to, uint256 amount) external;                              // anyone
    function depositWithPermit(address from, uint256 amount, uint256 deadline, bytes calldata sig) external; // anyone; credits `from` only (a permit binds no other recipient)
    function withdraw(address to, uint256 amount) external;                             // own balance
    function openLane(address payee, uint16 service, address signer, uint48 amount) external returns (uint32 lane); // payer; ids count up, never reused
    function openLaneBySig(address payer, address payee, uint16 service, address signer, uint48 amount, uint256 nonce, uint40 deadline, bytes calldata sig) external returns (uint32);
    function topUp(address payee, uint16 service, uint32 lane, uint48 amount) external; // anyone, from own balance; reverts at 2^48
    function thaw(address payee, uint16 service, uint32 lane, uint48 amount) external;  // lane.payer; 0 cancels; THAW 24 h; lapses 7 d after maturity
    function reclaim(address payee, uint16 service, uint32 lane) external;              // lane.payer, after thawAt
    function redeem(address payee, uint16 service, bytes calldata vouchers) external returns (uint256 micro, uint256 accepted); // anyone; 74 bytes a row
    function allow(address module, uint256 amount) external;                            // payer: ceiling on future locks by that module
    function allowBySig(address payer, address module, uint256 amount, uint256 nonce, uint40 deadline, bytes calldata sig) external;
    function lock(uint256 id, address payer, address payee, uint16 service, uint96 amount, uint40 expiry) external; // module, from the allowance
    function increase(uint256 id, uint96 amount, uint40 expiry) external;               // module, from the allowance
    function release(uint256 id, uint96 amount) external;                               // module; only to lock.payee, less the fee
    function refund(uint256 id, uint96 amount) external;                                // module; only to lock.payer
    function reclaimLock(address module, uint256 id) external;                          // payer, after expiry + GRACE (14 d), whatever the module does
    function setFee(uint16 service, uint16 bps, address sink) external;                 // Timelock; effective after 30 days
}
