"""Deploys the market: every address is computed before the first transaction, and what stands is left alone.

The contracts name each other as immutables, in a circle, so their addresses come from salts (CREATE3 through
`Deployer`, itself at an address that is the same on every chain). Running a deployment again sends only what is
missing: nothing, when it was complete.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from blackhole import protocol
from blackhole.chain.abi import PLAIN
from blackhole.chain.client import Chain
from blackhole.chain.compiled import Artifact, load
from blackhole.chain.deployment_parameters import DeploymentParameters, ServiceRow, check, read_parameters
from blackhole.chain.signers import Signer
from blackhole.chain.values import Address, Tx, address
from blackhole.errors import ChainError, InputError
from blackhole.hashing import keccak256
from blackhole.network import Network

__all__ = ["DeploymentParameters", "ServiceRow", "addresses", "creations", "deploy", "read_parameters"]

CREATE2_FACTORY: Final = address("0x4e59b44847b379578588920cA78FbF26c0B4956C")
"""Arachnid's deterministic deployment proxy: on most chains, and where it is not, anyone can put it there."""
_MEMBERS = (
    "Timelock",
    "BlackholeToken",
    "FeeSplitter",
    "PaymentHub",
    "LaneReceipts",
    "ServiceCatalog",
    "NodeRegistry",
    "StakeManager",
    "PanelArbitrator",
    "DisputeManager",
    "Blake3Chunk",
    "ProofVerifier",
    "BlockhashRandomness",
    "StorageMarket",
)
_UPGRADEABLE = ("ServiceCatalog", "NodeRegistry", "DisputeManager", "StorageMarket")


@dataclass(frozen=True, slots=True)
class _Step:
    """One contract: its label, and its creation code once all addresses are known."""

    label: str
    code: Callable[[dict[str, Address]], bytes]


async def deploy(
    chain: Chain,
    signer: Signer,
    parameters: DeploymentParameters,
    *,
    name: str = "devnet",
    rpc: Sequence[str] = (),
    progress: Callable[[str], None] = lambda label: None,
) -> Network:
    """Deploy what is missing and return the network.

    Raises `ChainError` when the chain lacks the CREATE2 factory, `InputError` for parameters out of bounds, `Reverted`
    when a constructor refuses.
    """
    check(parameters)
    await chain.recover(signer)
    block = (await chain.block("latest")).number
    await _deploy_deployer(chain, signer, progress)
    known = addresses(signer.address, parameters.salt)
    steps = _steps(parameters)
    missing = [step for step in steps if not await chain.code(known[step.label])]
    deployer = known["Deployer"]
    sent = (
        await chain.send_many(
            [Tx(deployer, _creating(parameters, step, known)[1], name=f"deploy {step.label}") for step in missing],
            signer,
        )
        if missing
        else []
    )
    for step, receipt in zip(missing, sent, strict=True):
        if not await chain.code(known[step.label]):
            raise ChainError(f"{step.label} is not at its computed address", data={"transaction": receipt.hash.hex()})
        progress(step.label)
    await _open_storage(chain, signer, parameters, known, progress)
    public = {label: known[label] for label in ("Deployer", *_MEMBERS)}
    return Network(
        name=name,
        rpc=list(rpc),
        chain_id=await chain.chain_id(),
        addresses=public,
        period=parameters.period,
        prove_window=parameters.prove_window,
        unit=protocol.MICRO,
        block=await _first_block(chain, signer.address, known["Deployer"], block if len(missing) == len(steps) else 0),
    )


async def _first_block(chain: Chain, sender: Address, deployer: Address, since: int) -> int:
    """The block before the deployment's first contract: the same however often the deployment is run."""
    from blackhole.chain.bindings.deployer import Deployed

    own = bytes(12) + bytes.fromhex(sender[2:])
    head = (await chain.block("latest")).number
    found = await chain.logs(deployer, [Deployed.TOPIC, own], since, head)
    return found[0].block - 1 if found else since


def addresses(sender: Address, salt: str = "blackhole") -> dict[str, Address]:
    """Where `sender`'s deployment of that salt is or will be, without asking a chain: every contract by its name,
    implementations as `<name>Implementation`."""
    deployer = _create2(CREATE2_FACTORY, bytes(32), load("Deployer").bytecode)
    found = {"Deployer": deployer}
    for label in (*_MEMBERS, *(f"{member}Implementation" for member in _UPGRADEABLE)):
        found[label] = _create3(deployer, sender, _salt(salt, label))
    return found


def creations(parameters: DeploymentParameters, known: dict[str, Address]) -> dict[str, tuple[bytes, bytes]]:
    """Salt, and input of the call that creates it, of every contract: what `deploy` sends. `known` is `addresses`."""
    return {step.label: _creating(parameters, step, known) for step in _steps(parameters)}


def _creating(parameters: DeploymentParameters, step: _Step, known: dict[str, Address]) -> tuple[bytes, bytes]:
    salt = _salt(parameters.salt, step.label)
    return salt, _call(load("Deployer"), "deploy", (salt, step.code(known)))


def _steps(parameters: DeploymentParameters) -> list[_Step]:
    owners, amounts = zip(*parameters.genesis, strict=True) if parameters.genesis else ((), ())

    def plain(label: str, arguments: Callable[[dict[str, Address]], tuple[object, ...]]) -> _Step:
        return _Step(label, lambda at: _creation(load(label), arguments(at)))

    def upgradeable(
        label: str,
        arguments: Callable[[dict[str, Address]], tuple[object, ...]],
        initialization: Callable[[dict[str, Address]], tuple[object, ...]],
    ) -> list[_Step]:
        def proxy(at: dict[str, Address]) -> bytes:
            call = _call(load(label), "initialize", initialization(at))
            return _creation(load("ERC1967Proxy"), (at[f"{label}Implementation"], call))

        implementation = f"{label}Implementation"
        return [_Step(implementation, lambda at: _creation(load(label), arguments(at))), _Step(label, proxy)]

    return [
        plain(
            "Timelock",
            lambda at: (parameters.timelock_delay, list(parameters.proposers), list(parameters.executors)),
        ),
        plain("BlackholeToken", lambda at: (list(owners), list(amounts), at["Timelock"])),
        plain(
            "PaymentHub",
            lambda at: (
                at["BlackholeToken"],
                protocol.MICRO,
                True,
                at["Timelock"],
                parameters.fee_bps,
                at["FeeSplitter"],
            ),
        ),
        plain("FeeSplitter", lambda at: (at["PaymentHub"], parameters.treasury, parameters.burn_bps)),
        plain("LaneReceipts", lambda at: (at["PaymentHub"],)),
        *upgradeable("ServiceCatalog", lambda at: (at["Timelock"],), lambda at: (parameters.guardian,)),
        *upgradeable("NodeRegistry", lambda at: (at["Timelock"], at["StakeManager"]), lambda at: ()),
        plain(
            "StakeManager",
            lambda at: (at["BlackholeToken"], at["NodeRegistry"], at["ServiceCatalog"], at["DisputeManager"]),
        ),
        plain(
            "PanelArbitrator",
            lambda at: (at["DisputeManager"], at["Timelock"], list(parameters.panel), parameters.panel_threshold),
        ),
        *upgradeable(
            "DisputeManager",
            lambda at: (at["Timelock"], at["PaymentHub"], at["StakeManager"], at["ServiceCatalog"]),
            lambda at: (at["PanelArbitrator"],),
        ),
        plain("Blake3Chunk", lambda at: ()),
        plain("ProofVerifier", lambda at: (at["Blake3Chunk"],)),
        plain("BlockhashRandomness", lambda at: ()),
        *upgradeable(
            "StorageMarket",
            lambda at: (
                (
                    at["PaymentHub"],
                    at["StakeManager"],
                    at["NodeRegistry"],
                    at["ServiceCatalog"],
                    at["DisputeManager"],
                    at["BlockhashRandomness"],
                    at["ProofVerifier"],
                    parameters.period,
                    parameters.prove_window,
                    parameters.prove_blocks,
                ),
                at["Timelock"],
            ),
            lambda at: (),
        ),
    ]


async def _deploy_deployer(chain: Chain, signer: Signer, progress: Callable[[str], None]) -> None:
    code = load("Deployer").bytecode
    if await chain.code(_create2(CREATE2_FACTORY, bytes(32), code)):
        return
    if not await chain.code(CREATE2_FACTORY):
        raise ChainError(
            f"this chain has no CREATE2 factory at {CREATE2_FACTORY}",
            hint="Put the deterministic deployment proxy on the chain first; its one transaction is signed already.",
        )
    await chain.send(Tx(CREATE2_FACTORY, bytes(32) + code), signer)
    progress("Deployer")


async def _open_storage(
    chain: Chain,
    signer: Signer,
    parameters: DeploymentParameters,
    known: dict[str, Address],
    progress: Callable[[str], None],
) -> None:
    """Write the row of the storage service, through the timelock like every later change."""
    catalog, timelock = load("ServiceCatalog"), load("Timelock")
    asked = await _view(chain, known["ServiceCatalog"], catalog, "verifierOf", (protocol.STORAGE,))
    if asked == int(known["StorageMarket"], 16):
        return
    row = parameters.storage
    set_service = _call(
        catalog,
        "setService",
        (
            protocol.STORAGE,
            (
                known["StorageMarket"],
                row.fault_bps,
                row.bounty_bps,
                row.samples,
                1,
                0,
                row.min_bond,
                row.collateral_per_leaf,
            ),
        ),
    )
    operation = (known["ServiceCatalog"], 0, set_service, bytes(32), bytes(32))
    at = known["Timelock"]
    digest = keccak256(_encode(timelock, "hashOperation", operation))
    if not await _view(chain, at, timelock, "isOperation", (digest,)):
        if signer.address not in parameters.proposers:
            raise InputError(f"{signer.address} is no proposer: the storage service cannot be opened by it")
        await chain.send(Tx(at, _call(timelock, "schedule", (*operation, parameters.timelock_delay))), signer)
        progress("storage service scheduled")
    if not await _view(chain, at, timelock, "isOperationReady", (digest,)):
        return
    await chain.send(Tx(at, _call(timelock, "execute", operation)), signer)
    progress("storage service")


async def _view(chain: Chain, at: Address, artifact: Artifact, function: str, values: tuple[object, ...]) -> int:
    """A one-word answer as an integer."""
    from blackhole.chain.values import Call

    call = Call(at, _call(artifact, function, values), lambda raw: int.from_bytes(raw[:32], "big"), function)
    return await chain.read(call)


def _salt(base: str, label: str) -> bytes:
    return keccak256(f"{base}/{label}".encode())


def _creation(artifact: Artifact, values: tuple[object, ...]) -> bytes:
    return artifact.bytecode + PLAIN.many(",".join(artifact.constructor)).encode(values)


def _encode(artifact: Artifact, function: str, values: tuple[object, ...]) -> bytes:
    return PLAIN.many(",".join(artifact.functions[function])).encode(values)


def _call(artifact: Artifact, function: str, values: tuple[object, ...]) -> bytes:
    signature = f"{function}({','.join(artifact.functions[function])})"
    return keccak256(signature.encode())[:4] + _encode(artifact, function, values)


def _create2(factory: Address, salt: bytes, code: bytes) -> Address:
    """EIP-1014."""
    return address(keccak256(b"\xff" + bytes.fromhex(factory[2:]) + salt + keccak256(code))[12:])


def _create3(deployer: Address, sender: Address, salt: bytes) -> Address:
    """The address `Deployer.addressOf(sender, salt)` gives: CREATE by a fixed proxy that CREATE2 put there."""
    own = keccak256(bytes(12) + bytes.fromhex(sender[2:]) + salt)
    proxy = _create2(deployer, own, _CREATE3_PROXY)
    return address(keccak256(b"\xd6\x94" + bytes.fromhex(proxy[2:]) + b"\x01")[12:])


_CREATE3_PROXY: Final = bytes.fromhex("73365f5f37365f34f06012573d5f5f3e3d5ffd5b005f526014600cf3")
"""Creation code of the proxy in OpenZeppelin's `Create3`: it deploys what it is called with."""
