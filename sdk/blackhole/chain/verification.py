"""Whether a deployment is what a reviewed parameter file says: every contract's creation code and arguments, from the
transactions that made it.

A contract's address here depends on who deployed it and on a salt, not on its code. So the code is checked where it
entered the chain: the call that created it must be, byte for byte, what this package would have sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from blackhole.chain.client import Chain
from blackhole.chain.deployment import DeploymentParameters, addresses, creations
from blackhole.chain.values import ZERO, Address, address
from blackhole.network import Network
from blackhole.protocol import STORAGE

IMPLEMENTATION_SLOT: Final = 0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC
"""Where ERC-1967 proxies keep the address of their code."""


@dataclass(frozen=True, slots=True)
class Verified:
    """One thing looked at.

    Attributes:
        name: a contract, or what else was looked at.
        ok: whether it is as it should be.
        found: what was found.
    """

    name: str
    ok: bool
    found: str


async def verify(chain: Chain, network: Network, sender: Address, parameters: DeploymentParameters) -> list[Verified]:
    """Compare a network with what `sender` would have deployed with these parameters. Only reads.

    An upgrade since then shows as another implementation: judge it by its announcement. Raises `ChainError`.
    """
    from blackhole.chain.bindings.service_catalog import ServiceCatalog

    known = addresses(sender, parameters.salt)
    made = await _creating_calls(chain, known["Deployer"], sender, network.block)
    results = []
    for label, (salt, call) in creations(parameters, known).items():
        listed = network.addresses.get(label, known[label])
        if listed != known[label]:
            results.append(Verified(label, False, f"{listed}, not {known[label]}"))
        elif salt not in made:
            results.append(Verified(label, False, f"no contract of {sender} at {known[label]}"))
        elif made[salt] != call:
            results.append(Verified(label, False, f"{known[label]} was made of other code or arguments"))
        else:
            results.append(Verified(label, True, known[label]))
    for label in known:
        if (proxy := label.removesuffix("Implementation")) != label:
            results.append(await _runs(chain, proxy, known[proxy], known[label]))
    verifier = ZERO
    if await chain.code(known["ServiceCatalog"]):
        verifier = (await chain.read(ServiceCatalog(known["ServiceCatalog"]).service(STORAGE))).verifier
    results.append(Verified("storage service", verifier == known["StorageMarket"], f"verified by {verifier}"))
    return results


async def _creating_calls(chain: Chain, deployer: Address, sender: Address, since: int) -> Mapping[bytes, bytes]:
    """Salt → input of the transaction in which `sender` created a contract under it."""
    from blackhole.chain.bindings.deployer import Deployed

    own = bytes(12) + bytes.fromhex(sender[2:])
    head = (await chain.block("latest")).number
    found: dict[bytes, bytes] = {}
    for log in await chain.logs(deployer, [Deployed.TOPIC, own], since, head):
        raw = await chain.rpc.request("eth_getTransactionByHash", "0x" + log.transaction.hex())
        # A call through another contract would not show what that passed on.
        if raw is not None and raw["to"] is not None and address(raw["to"]) == deployer:
            found[log.topics[2]] = bytes.fromhex(raw["input"].removeprefix("0x"))
    return found


async def _runs(chain: Chain, label: str, proxy: Address, implementation: Address) -> Verified:
    raw = await chain.rpc.request("eth_getStorageAt", proxy, hex(IMPLEMENTATION_SLOT), "latest")
    runs = address(bytes.fromhex(raw.removeprefix("0x").rjust(64, "0"))[12:])
    name = f"{label} runs"
    return Verified(name, runs == implementation, runs if runs == implementation else f"{runs}: upgraded since")
