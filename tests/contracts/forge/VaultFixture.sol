// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {DisputeManager} from "../../../contracts/disputes/DisputeManager.sol";
import {PanelArbitrator} from "../../../contracts/disputes/PanelArbitrator.sol";
import {PaymentHub} from "../../../contracts/escrow/PaymentHub.sol";
import {Deployer} from "../../../contracts/governance/Deployer.sol";
import {IServiceCatalog} from "../../../contracts/interfaces/IServiceCatalog.sol";
import {IStakeManager} from "../../../contracts/interfaces/IStakeManager.sol";
import {Protocol} from "../../../contracts/libraries/Protocol.sol";
import {NodeRegistry} from "../../../contracts/registry/NodeRegistry.sol";
import {ServiceCatalog} from "../../../contracts/registry/ServiceCatalog.sol";
import {StakeManager} from "../../../contracts/staking/StakeManager.sol";
import {BlackholeToken} from "../../../contracts/tokens/BlackholeToken.sol";
import {ServiceVerifier} from "./ServiceVerifier.sol";
import {Test} from "./Test.sol";
import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";

/// @dev Token, hub, catalog, registry, vault, disputes and a panel of three, deployed as in production: addresses by
/// salt first, proxies where they are. Service 1 has a verifier, node 1 is owned and not yet bonded.
abstract contract VaultFixture is Test {
    uint16 internal constant SERVICE = 1;
    uint96 internal constant HOLE = 1 ether;

    address internal timelock = makeAddr("timelock");
    address internal guardian = makeAddr("guardian");
    address internal owner = makeAddr("owner");
    address internal payer = makeAddr("payer");
    address internal stranger = makeAddr("stranger");
    address internal remedy = makeAddr("remedy");
    address internal reporter = makeAddr("reporter");
    address[] internal judges;

    BlackholeToken internal token;
    PaymentHub internal hub;
    ServiceCatalog internal catalog;
    NodeRegistry internal registry;
    StakeManager internal vault;
    DisputeManager internal disputes;
    PanelArbitrator internal panel;
    ServiceVerifier internal verifier;
    uint32 internal node;

    function deployAll() internal {
        vm.warp(1_800_000_000);
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
        for (uint256 i = 0; i < 3; ++i) {
            judges.push(makeAddr(string.concat("judge ", vm.toString(i))));
        }
        panel = new PanelArbitrator(address(disputes), timelock, judges, 2);
        deployer.deploy(
            "disputes",
            _proxy(
                address(new DisputeManager(timelock, hub, vault, catalog)),
                abi.encodeCall(DisputeManager.initialize, (address(panel)))
            )
        );
        verifier = new ServiceVerifier(address(hub), vault, disputes);
        vm.prank(timelock);
        catalog.setService(SERVICE, serviceRow(address(verifier)));
        vm.prank(owner);
        node = registry.register(keccak256("manifest"), "https://203.0.113.7:4433");
        fund(owner, 10_000 * HOLE);
        vm.prank(owner);
        token.approve(address(vault), type(uint256).max);
        fundHub(payer, 10_000 * HOLE);
        vm.prank(payer);
        hub.allow(address(disputes), type(uint256).max);
    }

    function serviceRow(address verifier_) internal pure returns (IServiceCatalog.Service memory row) {
        row = IServiceCatalog.Service({
            verifier: verifier_,
            faultBps: 500,
            bountyBps: 1000,
            samples: 1,
            flags: 1,
            closedUntil: 0,
            minBond: 100 * HOLE,
            collateralPerLeaf: 1e12
        });
    }

    function fund(address account, uint256 amount) internal {
        token.transfer(account, amount);
    }

    function fundHub(address account, uint256 amount) internal {
        token.approve(address(hub), amount);
        hub.deposit(account, amount);
    }

    function bond(uint96 amount) internal {
        vm.prank(owner);
        vault.bond(node, SERVICE, amount);
    }

    function requestExit(uint96 amount) internal {
        vm.prank(owner);
        vault.requestExit(node, SERVICE, amount);
    }

    function withdraw() internal returns (uint96) {
        vm.prank(owner);
        return vault.withdraw(node, SERVICE, owner);
    }

    function reserve(int128 delta) internal {
        verifier.reserve(node, SERVICE, delta, uint40(vm.getBlockTimestamp() + 30 days));
    }

    function fault(uint96 amount) internal returns (uint96) {
        return verifier.fault(node, SERVICE, amount, reporter, remedy);
    }

    /// @dev A receipt of `payer`, settled to `amount`, and a claim of all of it.
    function openClaim(bytes32 receipt, uint96 amount) internal returns (uint256 claim) {
        verifier.setReceipt(receipt, payer, node, SERVICE, amount);
        vm.prank(payer);
        return disputes.open(address(verifier), receipt, amount, "evidence");
    }

    function contest(uint256 claim, address contester) internal {
        fundHub(contester, disputes.claimOf(claim).bond);
        vm.startPrank(contester);
        hub.allow(address(disputes), disputes.claimOf(claim).bond);
        disputes.contest(claim, "answer");
        vm.stopPrank();
    }

    function judge(uint256 claim, uint96 award) internal {
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(judges[i]);
            panel.vote(claim, award, "reasons");
        }
    }

    /// @dev Straight to the vault, as the disputes contract would.
    function freezeDirect(uint256 claim, uint96 amount) internal {
        vm.prank(address(disputes));
        vault.freeze(claim, node, SERVICE, amount);
    }

    function awardDirect(uint256 claim, uint96 amount, address victim) internal {
        vm.prank(address(disputes));
        vault.award(claim, amount, 0, victim, address(0));
    }

    function stake() internal view returns (IStakeManager.Stake memory) {
        return vault.stakeOf(node, SERVICE);
    }

    function now40() internal view returns (uint40) {
        return uint40(vm.getBlockTimestamp());
    }

    function _proxy(address implementation, bytes memory call) private pure returns (bytes memory) {
        return abi.encodePacked(type(ERC1967Proxy).creationCode, abi.encode(implementation, call));
    }
}
