// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {DelayedUpgrade} from "../governance/DelayedUpgrade.sol";
import {IPaymentHub} from "../interfaces/IPaymentHub.sol";
import {IReceipts} from "../interfaces/IReceipts.sol";
import {IStorageDeals} from "../interfaces/IStorageDeals.sol";
import {IStorageMarket} from "../interfaces/IStorageMarket.sol";
import {PeriodBits} from "../libraries/PeriodBits.sol";
import {Protocol} from "../libraries/Protocol.sol";
import {StorageTypedData} from "../libraries/StorageTypedData.sol";
import {SumTree} from "../libraries/SumTree.sol";
import {MarketBase} from "./MarketBase.sol";
import {MarketProofs} from "./MarketProofs.sol";
import {MarketRepairs} from "./MarketRepairs.sol";
import {MarketSettlement} from "./MarketSettlement.sol";
import {StorageDeals} from "./StorageDeals.sol";

/// @title The storage market, verifier of service 1; see IStorageMarket for what each function requires.
/// @notice Behind an ERC-1967 proxy. Its agreements are receipts: the id is the receipt.
contract StorageMarket is MarketProofs, MarketSettlement, MarketRepairs, DelayedUpgrade, IReceipts {
    using PeriodBits for mapping(uint256 => uint256);
    using StorageTypedData for *;

    /// @notice The other half of this implementation's code.
    StorageDeals public immutable deals;

    /// @param s addresses and times of this implementation
    /// @param timelock announces and executes upgrades
    constructor(Setup memory s, address timelock) MarketBase(s) DelayedUpgrade(timelock) {
        deals = new StorageDeals(s);
    }

    /// @notice Marks the proxy as initialized; there is nothing to set. Once, by the deployment.
    function initialize() external initializer {}

    /// @inheritdoc IStorageDeals
    function open(Terms calldata t, bytes calldata payerSig, bytes calldata nodeSig) external returns (uint256 id) {
        _forward();
    }

    /// @inheritdoc IStorageDeals
    function openMany(Terms[] calldata t, bytes calldata payerSig, bytes[] calldata nodeSigs)
        external
        returns (uint256[] memory ids)
    {
        _forward();
    }

    /// @inheritdoc IStorageDeals
    function openRow(uint256 id, Terms calldata t, bytes calldata nodeSig) external {
        _forward();
    }

    /// @inheritdoc IStorageDeals
    function openByPolicy(
        Terms calldata t,
        Policy calldata p,
        uint256 lostId,
        bytes calldata proof,
        bytes calldata policySig,
        bytes calldata nodeSig
    ) external returns (uint256 id) {
        _forward();
    }

    /// @inheritdoc IStorageDeals
    function cancelPolicy(Policy calldata p) external {
        _forward();
    }

    /// @inheritdoc IStorageDeals
    function change(Change calldata c, bytes calldata payerSig, bytes calldata nodeSig) external {
        _forward();
    }

    /// @inheritdoc IStorageDeals
    function terminate(uint256 id) external {
        _forward();
    }

    /// @dev Runs the call as it came with the code of `deals` and ends with its outcome.
    function _forward() private {
        address target = address(deals);
        assembly {
            calldatacopy(0, 0, calldatasize())
            let done := delegatecall(gas(), target, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            if iszero(done) { revert(0, returndatasize()) }
            return(0, returndatasize())
        }
    }

    /// @inheritdoc IReceipts
    function settledOf(bytes32 receipt)
        external
        view
        returns (address payer, uint32 node, uint16 service, uint96 settled, uint96 prepaid)
    {
        IPaymentHub.Lock memory lock = hub.lockOf(address(this), uint256(receipt));
        settled = uint96(lock.released * Protocol.MICRO);
        return (lock.payer, _market().agreements[uint256(receipt)].node, SERVICE, settled, settled + lock.amount);
    }

    /// @inheritdoc IStorageMarket
    function provenPeriods(uint32 node, uint32 from, uint32 to) external view returns (uint256) {
        return _market().bits.count(node, from, to);
    }

    /// @inheritdoc IStorageMarket
    function agreementOf(uint256 id) external view returns (Agreement memory) {
        return _market().agreements[id];
    }

    /// @inheritdoc IStorageMarket
    function endOf(uint256 id) external view returns (uint32) {
        Agreement storage a = _market().agreements[id];
        return _endOf(a, _ledger(a.node));
    }

    /// @inheritdoc IStorageMarket
    function ledgerOf(uint32 node) external view returns (Ledger memory) {
        return _ledger(node);
    }

    /// @inheritdoc IStorageMarket
    function treeTotal(uint32 node) external view returns (uint48) {
        return _market().ledgers[node].leaves;
    }

    /// @inheritdoc IStorageMarket
    function idAt(uint32 node, uint24 position) external view returns (uint256 id) {
        id = _market().ids[_positionKey(node, position)];
        // A freed position holds the list of freed ones.
        if (id <= type(uint16).max) id = 0;
    }

    /// @inheritdoc IStorageMarket
    function leafAt(uint32 node, uint48 index) external view returns (uint256 id, uint48 offset) {
        Ledger memory ledger = _ledger(node);
        if (index >= ledger.leaves) revert SumTree.IndexBeyondTotal();
        uint256 within;
        (id, within,) = _leafAt(node, ledger, index);
        offset = uint48(within);
    }

    /// @inheritdoc IStorageMarket
    function sampleOf(uint32 node, uint32 p, uint256 i) external view returns (uint48) {
        uint256 seed = _market().seeds[p];
        if (seed == 0) revert NotDrawn(p);
        uint256 leaves = _market().ledgers[node].leaves;
        if (leaves == 0) revert NothingToProve(node, p);
        return uint48(_sample(seed, node, i, leaves));
    }

    /// @inheritdoc IStorageMarket
    function seedOf(uint32 p) external view returns (uint168 seed, uint8 samples) {
        uint256 word = _market().seeds[p];
        return (uint168(word >> 88), uint8(word >> 80));
    }

    /// @inheritdoc IStorageMarket
    function windowOf(uint32 p) external view returns (uint40 drawnAt, uint40 closesAt, uint40 closesBlock) {
        uint256 seed = _market().seeds[p];
        if (seed == 0) return (0, 0, 0);
        drawnAt = uint40(seed);
        return (drawnAt, drawnAt + proveWindow, uint40(seed >> 40) + proveBlocks);
    }

    /// @inheritdoc IStorageMarket
    function pendingDraw() external view returns (uint32 p, uint40 point) {
        uint256 draws = _market().draws;
        return (uint32(draws >> 128), uint40(draws >> 160));
    }

    /// @inheritdoc IStorageMarket
    function isProving(uint32 node) external view returns (bool) {
        return _proving(node, _ledger(node)) != 0;
    }

    /// @inheritdoc IStorageMarket
    function firstUndecided() external view returns (uint32) {
        return _firstUndecided();
    }

    /// @inheritdoc IStorageMarket
    function bitOf(uint32 node, uint32 p) external view returns (bool) {
        return _market().bits.get(node, p);
    }

    /// @inheritdoc IStorageMarket
    function currentPeriod() external view returns (uint32) {
        return _current();
    }

    /// @inheritdoc IStorageMarket
    function fundOf(uint32 node, uint16 round) external view returns (Fund memory) {
        return _market().funds[_fundKey(node, round)];
    }

    /// @inheritdoc IStorageMarket
    function lossOf(uint256 id) external view returns (Loss memory) {
        return _market().losses[id];
    }

    /// @inheritdoc IStorageMarket
    function repairerOf(uint256 id) external view returns (address) {
        return _market().repairers[id];
    }

    /// @inheritdoc IStorageMarket
    function replacementOf(uint256 lostId, bytes32 piece) external view returns (uint256) {
        return _market().replacements[keccak256(abi.encode(lostId, piece))];
    }

    /// @inheritdoc IStorageMarket
    function spentOf(bytes32 policy) external view returns (uint96) {
        return _market().spent[policy];
    }

    /// @inheritdoc IStorageMarket
    function domainSeparator() external view returns (bytes32) {
        return StorageTypedData.domainSeparator();
    }

    /// @inheritdoc IStorageMarket
    function termsDigest(Terms calldata t) external view returns (bytes32) {
        return t.digest();
    }

    /// @inheritdoc IStorageMarket
    function batchDigest(bytes32[] calldata ids) external view returns (bytes32) {
        return StorageTypedData.digest(ids);
    }

    /// @inheritdoc IStorageMarket
    function changeDigest(Change calldata c) external view returns (bytes32) {
        return c.digest();
    }

    /// @inheritdoc IStorageMarket
    function policyDigest(Policy calldata p) external view returns (bytes32) {
        return p.digest();
    }
}
