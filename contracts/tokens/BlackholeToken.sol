// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Protocol} from "../libraries/Protocol.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC20Votes} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {Time} from "@openzeppelin/contracts/utils/types/Time.sol";

/// @title HOLE, the token of Blackhole. Immutable, without pause, without owner.
/// @notice 18 decimals; at most CAP wei are ever minted, and burning never re-opens the cap. Holders vote by timestamp
/// once they delegate, and approve by signature (ERC-2612).
contract BlackholeToken is ERC20, ERC20Burnable, ERC20Permit, ERC20Votes {
    using Checkpoints for Checkpoints.Trace208;

    /// @notice The only account that may change the minter.
    address public immutable timelock;
    /// @notice The only account that may mint; 0 = nobody.
    address public minter;
    /// @notice Wei ever minted, the first distribution included.
    uint256 public minted;

    // Wei minted after the first distribution, cumulative by time. Any window is the difference of two lookups, so
    // the rolling limit is exact, at O(log mints).
    Checkpoints.Trace208 private _emitted;

    /// @notice The minter changed.
    event MinterChanged(address indexed previous, address indexed current);

    /// @notice Recipients and amounts differ in number.
    error DistributionMismatch(uint256 recipients, uint256 amounts);
    /// @notice The zero address cannot be the timelock.
    error InvalidTimelock();
    /// @notice The caller is not the minter.
    error NotMinter(address caller);
    /// @notice The caller is not the timelock.
    error NotTimelock(address caller);
    /// @notice More than CAP would be minted in all.
    error CapExceeded(uint256 amount, uint256 available);
    /// @notice More than MINT_BPS of the supply would be minted within MINT_WINDOW.
    error RateExceeded(uint256 amount, uint256 available);

    /// @param recipients who gets the first distribution, from a reviewed genesis file
    /// @param amounts how much each, in wei; at most CAP together
    /// @param timelock_ who sets the minter; nobody can mint before
    constructor(address[] memory recipients, uint256[] memory amounts, address timelock_)
        ERC20("Blackhole", "HOLE")
        ERC20Permit("Blackhole")
    {
        if (recipients.length != amounts.length) {
            revert DistributionMismatch(recipients.length, amounts.length);
        }
        if (timelock_ == address(0)) revert InvalidTimelock();
        timelock = timelock_;
        for (uint256 i; i < recipients.length; ++i) {
            _mintWithinCap(recipients[i], amounts[i]);
        }
    }

    /// @notice Mints `amount` wei to `to`.
    /// @dev The minter. Reverts NotMinter, CapExceeded, RateExceeded.
    function mint(address to, uint256 amount) external {
        if (msg.sender != minter) revert NotMinter(msg.sender);
        uint256 available = _rateLeft();
        if (amount > available) revert RateExceeded(amount, available);
        _mintWithinCap(to, amount);
        // Fits: never above CAP < 2^90.
        _emitted.push(clock(), uint208(_emitted.latest() + amount));
    }

    /// @notice Makes `account` the only minter; 0 ends minting until the next call.
    /// @dev The timelock. Reverts NotTimelock.
    function setMinter(address account) external {
        if (msg.sender != timelock) revert NotTimelock(msg.sender);
        emit MinterChanged(minter, account);
        minter = account;
    }

    /// @notice Wei that may be minted at this moment.
    function mintable() external view returns (uint256) {
        uint256 left = Protocol.CAP - minted;
        uint256 rate = _rateLeft();
        return rate < left ? rate : left;
    }

    /// @notice Time for votes: seconds.
    function clock() public view override returns (uint48) {
        return Time.timestamp();
    }

    /// @notice The clock's machine-readable name (ERC-6372).
    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() public pure override returns (string memory) {
        return "mode=timestamp";
    }

    /// @notice The next nonce of an account, for permits and vote delegation.
    function nonces(address owner) public view override(ERC20Permit, Nonces) returns (uint256) {
        return super.nonces(owner);
    }

    /// @dev What may still be minted in the window that ends now. The base is the supply without the window's own
    /// mints: it never exceeds the supply at the window's start, so no series of mints compounds above MINT_BPS.
    function _rateLeft() private view returns (uint256) {
        uint256 inWindow = _emitted.latest();
        // A mint exactly one window ago still counts.
        if (clock() > Protocol.MINT_WINDOW) {
            inWindow -= _emitted.upperLookupRecent(uint48(clock() - Protocol.MINT_WINDOW - 1));
        }
        uint256 supply = totalSupply();
        if (supply <= inWindow) return 0; // burnt below what the window minted
        uint256 limit = (supply - inWindow) * Protocol.MINT_BPS / Protocol.BPS;
        return limit > inWindow ? limit - inWindow : 0;
    }

    function _mintWithinCap(address to, uint256 amount) private {
        uint256 available = Protocol.CAP - minted;
        if (amount > available) revert CapExceeded(amount, available);
        minted += amount;
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 value) internal override(ERC20, ERC20Votes) {
        super._update(from, to, value);
    }
}
