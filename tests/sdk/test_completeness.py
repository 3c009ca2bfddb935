"""The services expose every call of their contracts a person can make, and say which errors each can meet."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from blackhole.chain import compiled
from blackhole.chain.bindings import (
    dispute_manager,
    fee_splitter,
    lane_receipts,
    node_registry,
    panel_arbitrator,
    payment_hub,
    service_catalog,
    stake_manager,
)
from blackhole.chain.contract import Contract
from blackhole.chain.service import write
from blackhole.disputes.service import Disputes
from blackhole.escrow.service import Escrow
from blackhole.face import operation, stream
from blackhole.registry.service import Registry
from blackhole.staking.service import Staking
from blackhole.tokens.service import Tokens

PACKAGE = Path(compiled.__file__).resolve().parent.parent
CONTRACTS: dict[str, tuple[type[Contract], str]] = {
    "hub": (payment_hub.PaymentHub, "escrow"),
    "splitter": (fee_splitter.FeeSplitter, "escrow"),
    "lane_receipts": (lane_receipts.LaneReceipts, "escrow"),
    "registry": (node_registry.NodeRegistry, "registry"),
    "catalog": (service_catalog.ServiceCatalog, "registry"),
    "vault": (stake_manager.StakeManager, "staking"),
    "disputes": (dispute_manager.DisputeManager, "disputes"),
    "panel": (panel_arbitrator.PanelArbitrator, "disputes"),
}
"""By the name `Connection` gives them: the binding, and the package that exposes it."""

WIRING = "an address or constant fixed at deployment: network.json and `blackhole.protocol` have it"
CONTRACT_ONLY = "only another contract may call it"
TIMELOCK = "only the Timelock may call it: a proposal takes the binding's value"
UPGRADE = "upgrades are the Timelock's, and watched by the bindings' values"
IN_ROW = "a field of the row or record the service returns"
OFF_CHAIN = "computed without the chain"

_UPGRADES = {
    "UPGRADE_INTERFACE_VERSION": WIRING,
    "announceUpgrade": UPGRADE,
    "announcedUpgrade": UPGRADE,
    "cancelUpgrade": UPGRADE,
    "initialize": "called once, by the deployment",
    "proxiableUUID": UPGRADE,
    "upgradeAdmin": UPGRADE,
    "upgradeDelay": UPGRADE,
    "upgradeToAndCall": UPGRADE,
}
NOT_EXPOSED: dict[str, dict[str, str]] = {
    "hub": {
        "domainSeparator": OFF_CHAIN,
        "eip712Domain": OFF_CHAIN,
        "laneReceipt": OFF_CHAIN,
        "voucherDigest": OFF_CHAIN,
        "lock": CONTRACT_ONLY,
        "increase": CONTRACT_ONLY,
        "release": CONTRACT_ONLY,
        "refund": CONTRACT_ONLY,
        "setFee": TIMELOCK,
        "timelock": WIRING,
        "token": WIRING,
        "unit": WIRING,
        "exact": WIRING,
    },
    "splitter": {"burnBps": WIRING, "hub": WIRING, "token": WIRING, "treasury": WIRING},
    "lane_receipts": {"hub": WIRING, "payeeOf": "a lane's id names its payee"},
    "registry": {**_UPGRADES, "ownerOf": IN_ROW, "signerOf": IN_ROW, "payeeOf": IN_ROW, "vault": WIRING},
    "catalog": {
        **_UPGRADES,
        "setGuardian": TIMELOCK,
        "setService": TIMELOCK,
        "timelock": WIRING,
        "verifierOf": IN_ROW,
    },
    "vault": {
        "CLOCK_MODE": WIRING,
        "clock": "the newest block's time",
        "catalog": WIRING,
        "disputes": WIRING,
        "registry": WIRING,
        "token": WIRING,
        "award": CONTRACT_ONLY,
        "fault": CONTRACT_ONLY,
        "freeze": CONTRACT_ONLY,
        "reserve": CONTRACT_ONLY,
    },
    "disputes": {
        **_UPGRADES,
        "catalog": WIRING,
        "hub": WIRING,
        "timelock": WIRING,
        "vault": WIRING,
        "fault": CONTRACT_ONLY,
        "rule": CONTRACT_ONLY,
        "setArbitrator": TIMELOCK,
    },
    "panel": {
        "MAX_MEMBERS": WIRING,
        "disputes": WIRING,
        "timelock": WIRING,
        "isMember": "`panel()` lists the members",
        "setPanel": TIMELOCK,
    },
}


def abi_names(binding: type[Contract]) -> dict[str, str]:
    """Python name to the ABI's name of every method of a binding."""
    module = Path(inspect.getfile(binding)).read_text()
    (found,) = [
        node for node in ast.parse(module).body if isinstance(node, ast.ClassDef) and node.name == binding.__name__
    ]
    names: dict[str, str] = {}
    for method in found.body:
        if isinstance(method, ast.FunctionDef):
            call = next(each for each in ast.walk(method) if isinstance(each, ast.Call) and each.args)
            assert isinstance(call.args[0], ast.Constant)
            names[method.name] = str(call.args[0].value)
    return names


def called(package: str, contract: str) -> set[str]:
    """Methods of `….contract` or of a local name for it that the package calls."""
    found: set[str] = set()
    for path in (PACKAGE / package).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", None)
                if name == contract:
                    found.add(node.func.attr)
    return found


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_function_of_the_abi_is_exposed_or_has_a_reason_not_to_be(contract: str) -> None:
    binding, package = CONTRACTS[contract]
    names = abi_names(binding)
    assert set(names.values()) == set(compiled.load(binding.NAME).functions)
    exposed = {names[each] for each in called(package, contract) if each in names}
    assert set(names.values()) - exposed == set(NOT_EXPOSED[contract])


SERVICES: dict[type, list[type[Contract]]] = {
    Escrow: [payment_hub.PaymentHub, fee_splitter.FeeSplitter],
    Registry: [node_registry.NodeRegistry, service_catalog.ServiceCatalog],
    Staking: [stake_manager.StakeManager],
    Disputes: [dispute_manager.DisputeManager, panel_arbitrator.PanelArbitrator],
}
TOKEN_ERRORS = {"ERC20InsufficientBalance", "ERC20InvalidReceiver"}


def docstrings(service: type) -> Iterator[tuple[str, str]]:
    for name, member in vars(service).items():
        if isinstance(member, operation | stream | write):
            yield name, str(member.__doc__ or "")


@pytest.mark.parametrize("service", [*SERVICES, Tokens])
def test_operations_say_what_they_do_and_name_errors_that_exist(service: type) -> None:
    contracts = SERVICES.get(service, [])
    known = {error.__name__ for each in contracts for error in each.ERRORS} | TOKEN_ERRORS
    assert "Source: `contracts/" in str(service.__doc__)
    seen = 0
    for name, text in docstrings(service):
        assert text.strip(), f"{service.__name__}.{name} has no docstring"
        for sentence in re.findall(r"Reverts\s+([^.]+)\.", text):
            errors = set(re.findall(r"\b[A-Z]\w+", sentence))
            assert errors <= known, f"{service.__name__}.{name} names {errors - known}"
            seen += len(errors)
    assert seen
