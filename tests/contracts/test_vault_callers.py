"""Caller × function for registry, catalog, vault, disputes and panel, from their ABIs: every function changing state
is either open to anyone, for the reason written here, or refuses a stranger with the error that says whose it is. A
function that is in neither list fails the test, so a new one cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from model.chain import Chain, Contract, Reverted, signature
from model.vault_chain import HOLE, SERVICE, Deployment, deploy

B32 = b"\x01" * 32
NODE = 1

OPEN: dict[str, dict[str, str]] = {
    "NodeRegistry": {"register(bytes32,string)": "makes a node of the caller's own"},
    "StakeManager": {
        "pay(uint256)": "to the victim booked, from the date the vault keeps",
        "lapse(uint256)": "frees the stake of an unawarded claim, from the date the vault keeps",
    },
    "DisputeManager": {
        "contest(uint256,bytes32)": "with the same bond: delegators defend their pool",
        "finalise(uint256)": "after the deadline, with the outcome the state gives",
    },
}

# What a stranger is told. Arguments are such that only the caller is wrong.
REFUSED: dict[str, dict[str, tuple[tuple[object, ...], str]]] = {
    "ServiceCatalog": {
        "initialize": ((NODE,), "InvalidInitialization"),
        "setService": ((SERVICE, None), "NotTimelock"),
        "closeEntries": ((SERVICE, 0), "NotGuardian"),
        "setGuardian": ((None,), "NotTimelock"),
    },
    "NodeRegistry": {
        "initialize": ((), "InvalidInitialization"),
        "setOffer": ((NODE, SERVICE, 1, 1, 1), "NotNodeOperator"),
        "setManifest": ((NODE, B32, "e"), "NotNodeOperator"),
        "setKeys": ((NODE, None, None), "NotNodeOwner"),
        "transferNode": ((NODE, None), "NotNodeOwner"),
        "acceptNode": ((NODE,), "NotPendingOwner"),
    },
    "StakeManager": {
        "transferStaker": ((NODE, None), "NotStaker"),
        "acceptStaker": ((NODE,), "NotPendingStaker"),
        "bond": ((NODE, SERVICE, 1), "NotStaker"),
        "requestExit": ((NODE, SERVICE, 1), "NotStaker"),
        "cancelExit": ((NODE, SERVICE), "NotStaker"),
        "withdraw": ((NODE, SERVICE, None), "NotStaker"),
        "unreserve": ((NODE, SERVICE), "NotStaker"),
        "setReservable": ((NODE, SERVICE, False), "NotStaker"),
        "reserve": ((NODE, SERVICE, 1, 2_000_000_000), "NotVerifier"),
        "fault": ((NODE, SERVICE, 1, 0, None, None), "NotDisputes"),
        "freeze": ((7, NODE, SERVICE, 1), "NotDisputes"),
        "award": ((1, 1, 0, None, None), "NotDisputes"),
    },
    "DisputeManager": {
        "initialize": ((NODE,), "InvalidInitialization"),
        "fault": ((NODE, SERVICE, 1, None, None), "NotVerifier"),
        "open": (("verifier", B32, 1, B32), "NotReceiptPayer"),
        "concede": ((1,), "NotStaker"),
        "rule": ((2, 0, B32), "NotArbitrator"),
        "setArbitrator": ((None,), "NotTimelock"),
    },
    "PanelArbitrator": {
        "vote": ((2, 0, B32), "NotMember"),
        "setPanel": (([], 1), "NotTimelock"),
    },
}

UPGRADE: dict[str, tuple[tuple[object, ...], str]] = {
    "announceUpgrade": ((None, B32), "NotUpgradeAdmin"),
    "cancelUpgrade": ((), "NotUpgradeAdmin"),
    "upgradeToAndCall": ((None, b""), "NotUpgradeAdmin"),
}
PROXIES = ("ServiceCatalog", "NodeRegistry", "DisputeManager")


@pytest.fixture(scope="module")
def made() -> Iterator[Deployment]:
    """A bonded node, an open claim (1) and a contested one (2)."""
    with Chain() as chain:
        made = deploy(chain)
        owner, payer, defender = (made.account(name, 1000 * HOLE) for name in ("owner", "payer", "defender"))
        node = made.register(owner)
        assert node == NODE
        chain.send(made.vault, "bond", node, SERVICE, 500 * HOLE, sender=owner)
        for person in (payer, defender):
            chain.send(made.token, "approve", made.hub.address, HOLE * 100, sender=person)
            chain.send(made.hub, "deposit", person, HOLE * 100, sender=person)
            chain.send(made.hub, "allow", made.disputes.address, HOLE * 100, sender=person)
        for index in (1, 2):
            receipt = bytes([index]) * 32
            chain.send(made.verifier, "setReceipt", receipt, payer, node, SERVICE, HOLE)
            if index == 2:
                chain.send(made.disputes, "open", made.verifier.address, B32, HOLE, B32, sender=payer)
        chain.send(made.disputes, "open", made.verifier.address, b"\x02" * 32, HOLE, B32, sender=payer)
        chain.send(made.disputes, "contest", 2, B32, sender=defender)
        yield made


def contracts(made: Deployment) -> dict[str, Contract]:
    listed = (made.catalog, made.registry, made.vault, made.disputes, made.panel)
    return {contract.name: contract for contract in listed}


def refused(name: str) -> dict[str, tuple[tuple[object, ...], str]]:
    return {**REFUSED.get(name, {}), **(UPGRADE if name in PROXIES else {})}


def test_every_function_that_changes_state_is_listed_once(made: Deployment) -> None:
    for name, contract in contracts(made).items():
        changing = {
            signature(e): e["name"]
            for e in contract.abi
            if e["type"] == "function" and e["stateMutability"] not in ("view", "pure")
        }
        is_open, closed = set(OPEN.get(name, {})), set(refused(name))
        assert {n for s, n in changing.items() if s not in is_open} == closed, name
        assert is_open <= set(changing), name


def test_a_stranger_is_refused_by_name_everywhere_else(made: Deployment) -> None:
    stranger = made.account("stranger")
    row = (made.verifier.address, 500, 1000, 1, 1, 0, 0, 0)
    for name, contract in contracts(made).items():
        for function, (arguments, error) in refused(name).items():
            inputs = next(e for e in contract.abi if e.get("name") == function)["inputs"]
            args = [
                made.verifier.address
                if a == "verifier"
                else row
                if i["type"] == "tuple"
                else stranger
                if i["type"] == "address"
                else a
                for a, i in zip(arguments, inputs, strict=True)
            ]
            with pytest.raises(Reverted) as caught:
                made.chain.call(contract, function, *args, sender=stranger)
            assert caught.value.name == error, f"{name}.{function}"


def test_open_functions_give_a_stranger_nothing_that_is_not_due(made: Deployment) -> None:
    stranger, chain = made.account("stranger"), made.chain
    expected = [
        (made.vault, ("pay", 1), "InvalidClaimState"),
        (made.vault, ("lapse", 1), "RoundOpen"),
        (made.disputes, ("finalise", 1), "DeadlinePending"),
        (made.disputes, ("contest", 1, B32), "InsufficientAllowance"),
    ]
    for contract, (function, *args), error in expected:
        with pytest.raises(Reverted) as caught:
            chain.call(contract, function, *args, sender=stranger)
        assert caught.value.name == error, function
    chain.send(made.registry, "register", B32, "node.example:1", sender=stranger)
    assert chain.call(made.registry, "ownerOf", chain.call(made.registry, "nodeCount")) == stranger


def test_nobody_pauses_vault_registry_or_disputes(made: Deployment) -> None:
    """DESIGN 19: no pause branch: no function by that name, and the Guardian's only one is closeEntries."""
    for name, contract in contracts(made).items():
        assert not [n for n in contract.methods if "pause" in n.lower()], name
