// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IPaymentHub} from "../interfaces/IPaymentHub.sol";
import {Protocol} from "../libraries/Protocol.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title A sink of fees: burns a set share, sends the rest to the treasury, and counts what it burned by epoch.
/// @notice Its income is its balance in the hub. Emission may not exceed a part of what `burned` shows. Immutable.
contract FeeSplitter {
    using SafeERC20 for IERC20;

    /// @notice The hub whose fees it receives.
    IPaymentHub public immutable hub;
    /// @notice The hub's token; burnable when `burnBps` is not 0.
    IERC20 public immutable token;
    /// @notice Who receives what is not burned.
    address public immutable treasury;
    /// @notice The share burned, in basis points.
    uint256 public immutable burnBps;
    /// @notice Wei burned in an epoch of FEE_EPOCH seconds since 1970.
    mapping(uint256 epoch => uint256 wei_) public burned;

    /// @notice Income was split.
    event Split(uint256 indexed epoch, uint256 burned, uint256 toTreasury);

    /// @notice A zero address, or a share above the whole.
    error InvalidSplit();
    /// @notice There is no income.
    error NothingToSplit();

    constructor(address hub_, address treasury_, uint256 burnBps_) {
        if (hub_ == address(0) || treasury_ == address(0) || burnBps_ > Protocol.BPS) revert InvalidSplit();
        hub = IPaymentHub(hub_);
        token = IERC20(IPaymentHub(hub_).token());
        treasury = treasury_;
        burnBps = burnBps_;
    }

    /// @notice Splits all income up to now.
    /// @dev Anyone. Tokens sent here past the hub are not income and stay: they would count as burned fees though
    /// nobody paid for a service. Reverts NothingToSplit.
    function split() external returns (uint256 burnt, uint256 toTreasury) {
        uint256 income = hub.balanceOf(address(this));
        if (income == 0) revert NothingToSplit();
        burnt = income * burnBps / Protocol.BPS;
        toTreasury = income - burnt;
        uint256 epoch = currentEpoch();
        burned[epoch] += burnt;
        emit Split(epoch, burnt, toTreasury);
        hub.withdraw(address(this), income);
        if (burnt != 0) ERC20Burnable(address(token)).burn(burnt);
        if (toTreasury != 0) token.safeTransfer(treasury, toTreasury);
    }

    /// @notice The running epoch.
    function currentEpoch() public view returns (uint256) {
        return block.timestamp / Protocol.FEE_EPOCH;
    }
}
