// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {DisputeManager} from "../../../contracts/disputes/DisputeManager.sol";
import {PanelArbitrator} from "../../../contracts/disputes/PanelArbitrator.sol";
import {PaymentHub} from "../../../contracts/escrow/PaymentHub.sol";
import {Deployer} from "../../../contracts/governance/Deployer.sol";
import {IServiceCatalog} from "../../../contracts/interfaces/IServiceCatalog.sol";
import {IStakeManager} from "../../../contracts/interfaces/IStakeManager.sol";
import {IStorageMarketTypes} from "../../../contracts/interfaces/IStorageMarketTypes.sol";
import {Protocol} from "../../../contracts/libraries/Protocol.sol";
import {NodeRegistry} from "../../../contracts/registry/NodeRegistry.sol";
import {ServiceCatalog} from "../../../contracts/registry/ServiceCatalog.sol";
import {StakeManager} from "../../../contracts/staking/StakeManager.sol";
import {Blake3Chunk} from "../../../contracts/storage/Blake3Chunk.sol";
import {BlockhashRandomness} from "../../../contracts/storage/BlockhashRandomness.sol";
import {MarketBase} from "../../../contracts/storage/MarketBase.sol";
import {ProofVerifier} from "../../../contracts/storage/ProofVerifier.sol";
import {StorageMarket} from "../../../contracts/storage/StorageMarket.sol";
import {BlackholeToken} from "../../../contracts/tokens/BlackholeToken.sol";
import {Test} from "./Test.sol";
import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";

/// @dev Content of a deal: pieces of blocks of one short chunk each, made from a seed. Piece p has `sizes[p]` blocks.
struct Content {
    bytes32 seed;
    uint8[] sizes;
}

/// @dev Trees and answers of docs/proof-format.md over such contents.
contract ContentTrees {
    Blake3Chunk private immutable _blake3;

    constructor(Blake3Chunk blake3) {
        _blake3 = blake3;
    }

    function chunkOf(Content memory c, uint256 piece, uint256 block_) public pure returns (bytes memory) {
        return abi.encodePacked(keccak256(abi.encode(c.seed, piece, block_)));
    }

    function leavesOf(Content memory c) public pure returns (uint48 leaves) {
        for (uint256 i = 0; i < c.sizes.length; ++i) {
            leaves += c.sizes[i];
        }
    }

    function rootOf(Content memory c) public view returns (bytes32) {
        if (c.sizes.length == 0) return 0;
        (bytes32[] memory digests, uint48[] memory sums) = _pieces(c);
        return _root(digests, sums, 0, digests.length);
    }

    function pieceOf(Content memory c, uint256 piece) public view returns (bytes32) {
        (bytes32[] memory digests, uint48[] memory sums) = _blocks(c, piece);
        return _root(digests, sums, 0, digests.length);
    }

    function piecePath(Content memory c, uint256 piece) public view returns (bytes memory) {
        (bytes32[] memory digests, uint48[] memory sums) = _pieces(c);
        return _path(digests, sums, 0, digests.length, piece);
    }

    function answer(Content memory c, uint256 offset) public view returns (bytes memory) {
        uint256 piece;
        while (offset >= c.sizes[piece]) offset -= c.sizes[piece++];
        (bytes32[] memory digests, uint48[] memory sums) = _pieces(c);
        bytes memory top = _entry(digests, sums, piece);
        (digests, sums) = _blocks(c, piece);
        bytes memory middle = _entry(digests, sums, offset);
        return bytes.concat(top, middle, hex"0020", chunkOf(c, piece, offset), hex"00");
    }

    function _pieces(Content memory c) private view returns (bytes32[] memory digests, uint48[] memory sums) {
        digests = new bytes32[](c.sizes.length);
        sums = new uint48[](c.sizes.length);
        for (uint256 i = 0; i < digests.length; ++i) {
            digests[i] = pieceOf(c, i);
            sums[i] = c.sizes[i];
        }
    }

    function _blocks(Content memory c, uint256 piece)
        private
        view
        returns (bytes32[] memory digests, uint48[] memory sums)
    {
        digests = new bytes32[](c.sizes[piece]);
        sums = new uint48[](digests.length);
        for (uint256 i = 0; i < digests.length; ++i) {
            digests[i] = _blake3.rootOf(0, 1, 32, chunkOf(c, piece, i));
            sums[i] = 1;
        }
    }

    function _entry(bytes32[] memory digests, uint48[] memory sums, uint256 i) private pure returns (bytes memory) {
        bytes memory path = _path(digests, sums, 0, digests.length, i);
        return bytes.concat(abi.encodePacked(digests[i], sums[i], uint8(path.length / 39)), path);
    }

    function _left(uint256 count) private pure returns (uint256 left) {
        left = 1;
        while (2 * left < count) left *= 2;
    }

    function _sum(uint48[] memory sums, uint256 first, uint256 count) private pure returns (uint48 sum) {
        for (uint256 i = first; i < first + count; ++i) {
            sum += sums[i];
        }
    }

    function _root(bytes32[] memory digests, uint48[] memory sums, uint256 first, uint256 count)
        private
        pure
        returns (bytes32)
    {
        if (count == 1) return sha256(abi.encodePacked(hex"02", digests[first], sums[first]));
        uint256 left = _left(count);
        return sha256(
            abi.encodePacked(
                hex"03",
                _root(digests, sums, first, left),
                _sum(sums, first, left),
                _root(digests, sums, first + left, count - left),
                _sum(sums, first + left, count - left)
            )
        );
    }

    function _path(bytes32[] memory digests, uint48[] memory sums, uint256 first, uint256 count, uint256 i)
        private
        pure
        returns (bytes memory)
    {
        if (count == 1) return "";
        uint256 left = _left(count);
        if (i < first + left) {
            bytes memory below = _path(digests, sums, first, left, i);
            return abi.encodePacked(
                below, hex"00", _root(digests, sums, first + left, count - left), _sum(sums, first + left, count - left)
            );
        }
        return abi.encodePacked(
            _path(digests, sums, first + left, count - left, i),
            hex"01",
            _root(digests, sums, first, left),
            _sum(sums, first, left)
        );
    }
}

/// @dev The whole market core, deployed as in production, with nodes and payers that have keys. Half a day into a period.
abstract contract MarketFixture is Test, IStorageMarketTypes {
    uint16 internal constant SERVICE = 1;
    uint96 internal constant HOLE = 1 ether;
    uint32 internal constant PERIOD = 1 days;
    uint32 internal constant WINDOW = 6 hours;
    uint32 internal constant BLOCKS = 100;
    uint96 internal constant RATE = 1e15;
    uint64 internal constant COLLATERAL = 1e15;

    address internal timelock = makeAddr("timelock");
    address internal guardian = makeAddr("guardian");
    address internal stranger = makeAddr("stranger");
    address internal reporter = makeAddr("reporter");
    address internal payer;
    uint256 internal payerKey;

    BlackholeToken internal token;
    PaymentHub internal hub;
    ServiceCatalog internal catalog;
    NodeRegistry internal registry;
    StakeManager internal vault;
    DisputeManager internal disputes;
    Blake3Chunk internal blake3;
    ProofVerifier internal verifier;
    StorageMarket internal market;
    ContentTrees internal trees;
    uint32 internal node;
    uint32 internal other;

    struct Keys {
        address owner;
        address signer;
        uint256 signerKey;
    }

    mapping(uint32 => Keys) internal keysOf;
    mapping(uint256 => Content) internal contents;
    uint64 private _salt;

    function deployAll() internal {
        vm.warp(1_800_000_000 / PERIOD * PERIOD + PERIOD / 2);
        vm.roll(1000);
        Deployer deployer = new Deployer();
        address[] memory holders = new address[](1);
        holders[0] = address(this);
        uint256[] memory amounts = new uint256[](1);
        amounts[0] = Protocol.CAP / 2;
        token = new BlackholeToken(holders, amounts, timelock);
        hub = new PaymentHub(address(token), Protocol.MICRO, true, timelock, 100, makeAddr("sink"));
        catalog = ServiceCatalog(
            address(
                new ERC1967Proxy(
                    address(new ServiceCatalog(timelock)), abi.encodeCall(ServiceCatalog.initialize, (guardian))
                )
            )
        );
        registry = NodeRegistry(deployer.addressOf(address(this), "registry"));
        disputes = DisputeManager(deployer.addressOf(address(this), "disputes"));
        vault = new StakeManager(address(token), registry, catalog, address(disputes));
        deployer.deploy(
            "registry", _proxy(address(new NodeRegistry(timelock, vault)), abi.encodeCall(NodeRegistry.initialize, ()))
        );
        address[] memory judges = new address[](1);
        judges[0] = makeAddr("judge");
        PanelArbitrator panel = new PanelArbitrator(address(disputes), timelock, judges, 1);
        deployer.deploy(
            "disputes",
            _proxy(
                address(new DisputeManager(timelock, hub, vault, catalog)),
                abi.encodeCall(DisputeManager.initialize, (address(panel)))
            )
        );
        blake3 = new Blake3Chunk();
        verifier = new ProofVerifier(blake3);
        market = StorageMarket(
            address(
                new ERC1967Proxy(
                    address(new StorageMarket(setup(), timelock)), abi.encodeCall(StorageMarket.initialize, ())
                )
            )
        );
        trees = new ContentTrees(blake3);
        vm.prank(timelock);
        catalog.setService(SERVICE, serviceRow());
        (payer, payerKey) = makeAddrAndKey("payer");
        fundPayer(payer);
        node = addNode("node");
        other = addNode("other");
    }

    function setup() internal returns (MarketBase.Setup memory) {
        return MarketBase.Setup({
            hub: hub,
            stakes: vault,
            registry: registry,
            catalog: catalog,
            disputes: disputes,
            randomness: new BlockhashRandomness(),
            verifier: verifier,
            period: PERIOD,
            proveWindow: WINDOW,
            proveBlocks: BLOCKS
        });
    }

    function serviceRow() internal view returns (IServiceCatalog.Service memory row) {
        row.verifier = address(market);
        row.faultBps = 500;
        row.bountyBps = 1000;
        row.samples = 1;
        row.flags = 1;
        row.minBond = 10 * HOLE;
        row.collateralPerLeaf = COLLATERAL;
    }

    function setService(IServiceCatalog.Service memory row) internal {
        vm.prank(timelock);
        catalog.setService(SERVICE, row);
    }

    function addNode(string memory name) internal returns (uint32 id) {
        Keys memory k;
        (k.owner,) = makeAddrAndKey(string.concat(name, " owner"));
        (k.signer, k.signerKey) = makeAddrAndKey(string.concat(name, " signer"));
        vm.startPrank(k.owner);
        id = registry.register(keccak256(bytes(name)), "https://203.0.113.7:4433");
        registry.setKeys(id, k.signer, address(0));
        token.approve(address(vault), type(uint256).max);
        vm.stopPrank();
        keysOf[id] = k;
        token.transfer(k.owner, 1000 * HOLE);
        vm.prank(k.owner);
        vault.bond(id, SERVICE, 1000 * HOLE);
    }

    function fundPayer(address account) internal {
        token.approve(address(hub), 1000 * HOLE);
        hub.deposit(account, 1000 * HOLE);
        vm.prank(account);
        hub.allow(address(market), type(uint256).max);
    }

    // ------------------------------------------------------------------------------------------------ deals

    function content(bytes32 seed, uint8 a) internal pure returns (Content memory c) {
        c.seed = seed;
        c.sizes = new uint8[](1);
        c.sizes[0] = a;
    }

    function content(bytes32 seed, uint8 a, uint8 b, uint8 d) internal pure returns (Content memory c) {
        c.seed = seed;
        c.sizes = new uint8[](3);
        (c.sizes[0], c.sizes[1], c.sizes[2]) = (a, b, d);
    }

    /// @dev Terms for ten periods from the next one.
    function terms(uint32 on, Content memory c) internal returns (Terms memory t) {
        t.payer = payer;
        t.node = on;
        t.payee = registry.payeeOf(on);
        t.root = trees.rootOf(c);
        t.pieces = keccak256(abi.encode(c));
        t.leaves = trees.leavesOf(c);
        t.rate = RATE;
        t.start = market.currentPeriod() + 1;
        t.end = t.start + 10;
        t.prepaid = 10 * RATE;
        t.salt = ++_salt;
    }

    /// @dev A change that may be applied in this period and the next START_LEAD, as nodes sign them.
    function change(uint256 id, Content memory c) internal view returns (Change memory) {
        Agreement memory a = market.agreementOf(id);
        uint32 last = market.currentPeriod() + uint32(Protocol.START_LEAD);
        return Change(id, trees.rootOf(c), keccak256(abi.encode(c)), trees.leavesOf(c), a.rate, a.end, 0, a.nonce, last);
    }

    function sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function signPayer(Terms memory t) internal view returns (bytes memory) {
        return sign(payerKey, market.termsDigest(t));
    }

    function signNode(Terms memory t) internal view returns (bytes memory) {
        return sign(keysOf[t.node].signerKey, market.termsDigest(t));
    }

    function open(Terms memory t) internal returns (uint256 id) {
        return market.open(t, signPayer(t), signNode(t));
    }

    function open(uint32 on, Content memory c) internal returns (uint256 id) {
        id = open(terms(on, c));
        contents[id] = c;
    }

    function apply_(Change memory c) internal {
        (bytes memory payerSig, bytes memory nodeSig) = signChange(c);
        market.change(c, payerSig, nodeSig);
    }

    function signChange(Change memory c) internal view returns (bytes memory payerSig, bytes memory nodeSig) {
        bytes32 digest = market.changeDigest(c);
        return (sign(payerKey, digest), sign(keysOf[market.agreementOf(c.id).node].signerKey, digest));
    }

    function settle(uint256 id) internal {
        uint256[] memory ids = new uint256[](1);
        ids[0] = id;
        market.settle(ids);
    }

    // ------------------------------------------------------------------------------------------------- time

    function toPeriod(uint32 p) internal {
        vm.warp(uint256(p) * PERIOD);
        pass(1);
    }

    function pass(uint256 blocks) internal {
        vm.roll(vm.getBlockNumber() + blocks);
    }

    function passWindow() internal {
        skip(WINDOW + 1);
        pass(BLOCKS + 1);
    }

    /// @dev Goes to the period after `p` and draws `p`.
    function drawn(uint32 p) internal {
        toPeriod(p + 1);
        market.draw(p);
        pass(Protocol.DRAW_DELAY + 1);
        market.draw(p);
    }

    function answers(uint32 on, uint32 p) internal view returns (bytes memory all) {
        (, uint8 samples) = market.seedOf(p);
        for (uint256 i = 0; i < samples; ++i) {
            (uint256 id, uint48 offset) = market.leafAt(on, market.sampleOf(on, p, i));
            all = bytes.concat(all, trees.answer(contents[id], offset));
        }
    }

    function prove(uint32 on, uint32 p) internal {
        market.prove(on, p, answers(on, p));
    }

    /// @dev Draws `p`, proves it or not, lets the window pass.
    function period(uint32 on, uint32 p, bool proven) internal {
        drawn(p);
        if (proven) prove(on, p);
        passWindow();
    }

    function miss(uint32 on, uint32 p, uint256 id) internal {
        period(on, p, false);
        vm.prank(reporter);
        market.reportMissed(on, p, id);
    }

    function locked(uint256 id) internal view returns (uint96) {
        return hub.lockOf(address(market), id).amount;
    }

    function reserved(uint32 on) internal view returns (uint96) {
        return vault.stakeOf(on, SERVICE).reserved;
    }

    function active(uint32 on) internal view returns (uint96) {
        return vault.stakeOf(on, SERVICE).active;
    }

    function _proxy(address implementation, bytes memory call) private pure returns (bytes memory) {
        return abi.encodePacked(type(ERC1967Proxy).creationCode, abi.encode(implementation, call));
    }
}
