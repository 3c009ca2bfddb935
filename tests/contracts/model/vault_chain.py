"""Token, HOLE hub, catalog, registry, vault, disputes and a panel on a running chain, deployed as in production:
addresses by salt first, proxies where they are. Service `SERVICE` has a `ServiceVerifier` (of the forge tests), which
keeps receipts the test writes and reserves and reports as it is told.
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_abi.abi import encode as abi_encode

from .chain import Chain, Contract, artifact, key

HOLE = 10**18
SERVICE = 1
OPEN = 1
UNLIMITED = 2**256 - 1


@dataclass(frozen=True)
class Deployment:
    """The contracts, and the accounts that have a role."""

    chain: Chain
    token: Contract
    hub: Contract
    catalog: Contract
    registry: Contract
    vault: Contract
    disputes: Contract
    panel: Contract
    verifier: Contract
    treasury: str
    timelock: str
    guardian: str
    judges: list[str]

    def account(self, name: str, hole: int = 0) -> str:
        """A funded account of that name; its vault and disputes allowances are unlimited."""
        address: str = key(name).address
        self.chain.fund(address)
        if hole:
            self.chain.send(self.token, "transfer", address, hole, sender=self.treasury)
        self.chain.send(self.token, "approve", self.vault.address, UNLIMITED, sender=address)
        return address

    def register(self, owner: str) -> int:
        """A new node of `owner`: its id."""
        receipt = self.chain.send(self.registry, "register", b"\x01" * 32, "https://203.0.113.7:4433", sender=owner)
        node: int = receipt["events"][0].args["node"]
        return node

    def open_service(self, service: int, verifier: str) -> None:
        """Writes a catalog row."""
        row = (verifier, 500, 1000, 1, OPEN, 0, 100 * HOLE, 10**12)
        self.chain.send(self.catalog, "setService", service, row, sender=self.timelock)


def proxied(chain: Chain, name: str, implementation: Contract, *arguments: object) -> bytes:
    """Creation code of a proxy that calls `initialize(*arguments)`."""
    call = implementation.encode("initialize", *arguments)
    code: str = artifact("ERC1967Proxy")["bytecode"]["object"]
    return bytes.fromhex(code[2:]) + abi_encode(["address", "bytes"], [implementation.address, call])


def deploy(chain: Chain, *, with_service: bool = True) -> Deployment:
    """All of it; the hub takes no fee. Without `with_service` the row of `SERVICE` is left to another verifier."""
    timelock, guardian, sink, deployer_of = chain.accounts[:4]
    judges = chain.accounts[4:7]
    treasury: str = key("treasury").address
    chain.fund(treasury)
    deployer = chain.deploy("Deployer")

    def address_of(salt: str) -> str:
        address: str = chain.call(deployer, "addressOf", deployer_of, salt.encode().ljust(32, b"\0"))
        return address

    def place(salt: str, name: str, creation: bytes) -> Contract:
        chain.send(deployer, "deploy", salt.encode().ljust(32, b"\0"), creation, sender=deployer_of)
        return chain.at(name, address_of(salt))

    token = chain.deploy("BlackholeToken", [treasury], [5 * 10**26], timelock)
    hub = chain.deploy("PaymentHub", token.address, 10**12, True, timelock, 0, sink)
    catalog_code = chain.deploy("ServiceCatalog", timelock)
    catalog = place("catalog", "ServiceCatalog", proxied(chain, "ServiceCatalog", catalog_code, guardian))
    registry_at, disputes_at = address_of("registry"), address_of("disputes")
    vault = chain.deploy("StakeManager", token.address, registry_at, catalog.address, disputes_at)
    registry_code = chain.deploy("NodeRegistry", timelock, vault.address)
    registry = place("registry", "NodeRegistry", proxied(chain, "NodeRegistry", registry_code))
    panel = chain.deploy("PanelArbitrator", disputes_at, timelock, judges, 2)
    disputes_code = chain.deploy("DisputeManager", timelock, hub.address, vault.address, catalog.address)
    disputes = place("disputes", "DisputeManager", proxied(chain, "DisputeManager", disputes_code, panel.address))
    assert (registry.address, disputes.address) == (registry_at, disputes_at)
    verifier = chain.deploy("ServiceVerifier", hub.address, vault.address, disputes.address)
    made = Deployment(
        chain, token, hub, catalog, registry, vault, disputes, panel, verifier, treasury, timelock, guardian, judges
    )
    if with_service:
        made.open_service(SERVICE, verifier.address)
    return made
