// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Create3} from "@openzeppelin/contracts/utils/Create3.sol";

/// @title Deploys contracts at addresses that depend on this contract, the sender and a salt, not on their code.
/// @notice The contracts of the market name each other as immutables, in a circle; addresses known before the first
/// deployment make that possible. Each sender has his own salts, so nobody takes another's address.
contract Deployer {
    /// @notice `account` now holds a contract of `deployer` under `salt`.
    event Deployed(address indexed deployer, bytes32 indexed salt, address account);

    /// @notice The sender has used the salt: its contract is at `account`.
    error AlreadyDeployed(address account);

    /// @notice Deploys `initCode` (creation code and constructor arguments) at `addressOf(msg.sender, salt)`.
    /// @dev Anyone. The constructor sees another msg.sender: it must take every account from its arguments. Reverts
    /// AlreadyDeployed, Create3EmptyBytecode, FailedDeployment, and with what the constructor reverts with.
    function deploy(bytes32 salt, bytes calldata initCode) external payable returns (address account) {
        account = addressOf(msg.sender, salt);
        if (account.code.length != 0) revert AlreadyDeployed(account);
        account = Create3.deploy(msg.value, _own(msg.sender, salt), initCode);
        emit Deployed(msg.sender, salt, account);
    }

    /// @notice Where `deployer`'s contract of this salt is, or will be.
    function addressOf(address deployer, bytes32 salt) public view returns (address) {
        return Create3.computeAddress(_own(deployer, salt));
    }

    function _own(address deployer, bytes32 salt) private pure returns (bytes32) {
        return keccak256(abi.encode(deployer, salt));
    }
}
