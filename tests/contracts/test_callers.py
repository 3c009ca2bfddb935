"""Caller × function for every contract that ships, from their ABIs: whoever has a role tries every function that
changes state. A function is open to anyone, for the reason written here, or it has its callers and tells everybody else
by name that they are not among them. A contract or a function that is listed nowhere fails the test, so a new one
cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from model.chain import ROOT, Chain, Contract, Reverted, artifact
from model.market_chain import NOBODY, Market, Terms, deploy_market
from model.vault_chain import HOLE, SERVICE, UNLIMITED, Deployment, deploy

B32 = b"\x01" * 32
NODE, LANE, LOCK, OPEN_CLAIM, CONTESTED = 1, 0, 7, 1, 2
FAR = 1_900_000_000


@dataclass(frozen=True)
class World:
    """Two deployments on one chain: one whose service has a verifier that does as it is told, one with the market."""

    made: Deployment
    market: Market
    deal: int
    roles: dict[str, str]
    contracts: dict[str, Contract]


OPEN: dict[str, dict[str, str]] = {
    "BlackholeToken": {
        "approve": "the caller's own tokens",
        "burn": "the caller's own tokens",
        "delegate": "the caller's own votes",
        "transfer": "the caller's own tokens",
    },
    "Deployer": {"deploy": "its addresses hold the caller"},
    "DisputeManager": {
        "contest": "with the same bond: delegators defend their pool",
        "finalise": "after the deadline, with the outcome the state gives",
    },
    "FeeSplitter": {"split": "to burn and treasury, in the shares that are fixed"},
    "NodeRegistry": {"register": "makes a node of the caller's own"},
    "PaymentHub": {
        "allow": "the caller's own money",
        "deposit": "the caller's own tokens",
        "openLane": "the caller's own money",
        "redeem": "pays the named payee what a payer signed",
        "topUp": "the caller's own money",
        "withdraw": "the caller's own balance",
    },
    "StakeManager": {
        "pay": "to the victim booked, from the date the vault keeps",
        "lapse": "frees the stake of an unawarded claim, from the date the vault keeps",
    },
    "StorageMarket": {
        "claimRemainder": "to the lost deal's payer, after 60 days",
        "claimRepair": "to the repairer both sides signed, after a proven period",
        "close": "what is over: to its payer and its node",
        "draw": "in the period after, the block fixed first",
        "prove": "the answer proves itself",
        "reportMissed": "a period that is decided, once",
        "settle": "to the payee of the deal, what is proven",
    },
    "Timelock": {
        "execute": "an operation that was scheduled and has waited: anyone may be its executor here",
        "executeBatch": "as execute",
        "onERC721Received": "answers a token's question, keeps nothing",
        "onERC1155Received": "answers a token's question, keeps nothing",
        "onERC1155BatchReceived": "answers a token's question, keeps nothing",
    },
}

Rule = tuple[Callable[[World], tuple[object, ...]], tuple[str, ...], str]
"""Arguments with which only the caller can be wrong, who may call, and what everybody else is told."""

UPGRADE: dict[str, Rule] = {
    "announceUpgrade": (lambda w: (w.made.token.address, B32), ("timelock",), "NotUpgradeAdmin"),
    "cancelUpgrade": (lambda w: (), ("timelock",), "NotUpgradeAdmin"),
    "upgradeToAndCall": (lambda w: (w.made.token.address, b""), ("timelock",), "NotUpgradeAdmin"),
}


def _row(w: World) -> tuple[object, ...]:
    return (w.made.verifier.address, 500, 1000, 1, 1, 0, 0, 0)


def _terms(w: World) -> tuple[object, ...]:
    return Terms(w.roles["market payer"], NODE, w.roles["market owner"], B32, B32, 1, 1, 1, 2, 1).values


def _change(w: World) -> tuple[object, ...]:
    return (w.deal, B32, B32, 1, 1, 2**32 - 1, 0, 0, 2**32 - 1)


def _policy(w: World) -> tuple[object, ...]:
    return (w.roles["market payer"], B32, 0, 0, B32, FAR, 0)


REFUSED: dict[str, dict[str, Rule]] = {
    "BlackholeToken": {
        "burnFrom": (lambda w: (w.made.treasury, 1), ("spender",), "ERC20InsufficientAllowance"),
        "delegateBySig": (lambda w: (NOBODY, 0, 0, 27, B32, B32), (), "VotesExpiredSignature"),
        "mint": (lambda w: (NOBODY, 1), ("minter",), "NotMinter"),
        "permit": (lambda w: (w.made.treasury, NOBODY, 1, 0, 27, B32, B32), (), "ERC2612ExpiredSignature"),
        "setMinter": (lambda w: (NOBODY,), ("timelock",), "NotTimelock"),
        "transferFrom": (
            lambda w: (w.made.treasury, w.made.treasury, 1),
            ("spender",),
            "ERC20InsufficientAllowance",
        ),
    },
    "DisputeManager": {
        "initialize": (lambda w: (w.made.panel.address,), (), "InvalidInitialization"),
        "concede": (lambda w: (OPEN_CLAIM,), ("owner",), "NotStaker"),
        "fault": (lambda w: (NODE, SERVICE, 1, NOBODY, w.made.treasury), ("verifier",), "NotVerifier"),
        "open": (lambda w: (w.made.verifier.address, B32, 1, B32), ("payer",), "NotReceiptPayer"),
        "rule": (lambda w: (CONTESTED, 0, B32), ("panel",), "NotArbitrator"),
        "setArbitrator": (lambda w: (w.made.panel.address,), ("timelock",), "NotTimelock"),
        **UPGRADE,
    },
    "NodeRegistry": {
        "initialize": (lambda w: (), (), "InvalidInitialization"),
        "acceptNode": (lambda w: (NODE,), ("heir",), "NotPendingOwner"),
        "setKeys": (lambda w: (NODE, NOBODY, NOBODY), ("owner",), "NotNodeOwner"),
        "setManifest": (lambda w: (NODE, B32, "e"), ("owner", "signer"), "NotNodeOperator"),
        "setOffer": (lambda w: (NODE, SERVICE, 1, 1, 1), ("owner", "signer"), "NotNodeOperator"),
        "transferNode": (lambda w: (NODE, NOBODY), ("owner",), "NotNodeOwner"),
        **UPGRADE,
    },
    "PanelArbitrator": {
        "setPanel": (lambda w: ([w.made.treasury], 1), ("timelock",), "NotTimelock"),
        "vote": (lambda w: (CONTESTED, 0, B32), ("judge",), "NotMember"),
    },
    "PaymentHub": {
        "allowBySig": (lambda w: (w.roles["payer"], NOBODY, 1, 0, 0, b""), (), "Expired"),
        "depositWithPermit": (lambda w: (w.made.treasury, 1, FAR, b""), (), "InvalidSignature"),
        "increase": (lambda w: (LOCK, 1, FAR), ("module",), "UnknownLock"),
        "lock": (
            lambda w: (9, w.roles["payer"], w.roles["owner"], SERVICE, 1, FAR),
            ("module", "disputes"),
            "InsufficientAllowance",
        ),
        "openLaneBySig": (
            lambda w: (w.roles["payer"], w.roles["owner"], SERVICE, w.roles["payer"], 1, 0, 0, b""),
            (),
            "Expired",
        ),
        "reclaim": (lambda w: (w.roles["owner"], SERVICE, LANE), ("payer",), "NotPayer"),
        "reclaimLock": (lambda w: (w.roles["module"], LOCK), ("payer",), "NotPayer"),
        "refund": (lambda w: (LOCK, 1), ("module",), "UnknownLock"),
        "release": (lambda w: (LOCK, 1), ("module",), "UnknownLock"),
        "setFee": (lambda w: (SERVICE, 1, w.made.treasury), ("timelock",), "NotTimelock"),
        "thaw": (lambda w: (w.roles["owner"], SERVICE, LANE, 1), ("payer",), "NotPayer"),
    },
    "ServiceCatalog": {
        "initialize": (lambda w: (NOBODY,), (), "InvalidInitialization"),
        "closeEntries": (lambda w: (SERVICE, 0), ("guardian",), "NotGuardian"),
        "setGuardian": (lambda w: (NOBODY,), ("timelock",), "NotTimelock"),
        "setService": (lambda w: (SERVICE, _row(w)), ("timelock",), "NotTimelock"),
        **UPGRADE,
    },
    "StakeManager": {
        "acceptStaker": (lambda w: (NODE,), ("heir",), "NotPendingStaker"),
        "award": (lambda w: (OPEN_CLAIM, 1, 0, w.made.treasury, NOBODY), ("disputes",), "NotDisputes"),
        "bond": (lambda w: (NODE, SERVICE, 1), ("owner",), "NotStaker"),
        "cancelExit": (lambda w: (NODE, SERVICE), ("owner",), "NotStaker"),
        "fault": (lambda w: (NODE, SERVICE, 1, 0, NOBODY, w.made.treasury), ("disputes",), "NotDisputes"),
        "freeze": (lambda w: (9, NODE, SERVICE, 1), ("disputes",), "NotDisputes"),
        "requestExit": (lambda w: (NODE, SERVICE, 1), ("owner",), "NotStaker"),
        "reserve": (lambda w: (NODE, SERVICE, 1, 1_810_000_000), ("verifier",), "NotVerifier"),
        "setReservable": (lambda w: (NODE, SERVICE, False), ("owner",), "NotStaker"),
        "transferStaker": (lambda w: (NODE, NOBODY), ("owner",), "NotStaker"),
        "unreserve": (lambda w: (NODE, SERVICE), ("owner",), "NotStaker"),
        "withdraw": (lambda w: (NODE, SERVICE, w.made.treasury), ("owner",), "NotStaker"),
    },
    "StorageMarket": {
        "initialize": (lambda w: (), (), "InvalidInitialization"),
        "cancelPolicy": (lambda w: (_policy(w),), ("market payer",), "PayerMismatch"),
        "change": (lambda w: (_change(w), b"", b""), (), "PayerSignatureInvalid"),
        "open": (lambda w: (_terms(w), b"", b""), (), "PayerSignatureInvalid"),
        "openByPolicy": (lambda w: (_terms(w), _policy(w), 0, b"", b"", b""), (), "PayerSignatureInvalid"),
        "openMany": (lambda w: ([_terms(w)], b"", [b""]), (), "PayerSignatureInvalid"),
        "openRow": (lambda w: (1, _terms(w), b""), ("itself",), "OnlySelf"),
        "terminate": (lambda w: (w.deal,), ("market payer", "market owner", "market signer"), "NotParty"),
        **UPGRADE,
    },
    "Timelock": {
        "cancel": (lambda w: (B32,), ("proposer",), "AccessControlUnauthorizedAccount"),
        "grantRole": (lambda w: (B32, NOBODY), ("itself",), "AccessControlUnauthorizedAccount"),
        "renounceRole": (lambda w: (B32, w.roles["proposer"]), ("proposer",), "AccessControlBadConfirmation"),
        "revokeRole": (lambda w: (B32, NOBODY), ("itself",), "AccessControlUnauthorizedAccount"),
        "schedule": (lambda w: (NOBODY, 0, b"", B32, B32, 0), ("proposer",), "AccessControlUnauthorizedAccount"),
        "scheduleBatch": (lambda w: ([], [], [], B32, B32, 0), ("proposer",), "AccessControlUnauthorizedAccount"),
        "updateDelay": (lambda w: (1,), ("itself",), "TimelockUnauthorizedCaller"),
    },
}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A bonded node that is offered to an heir, a lane, a lock, an open claim (1), a contested one (2); and a deal."""
    with Chain() as chain:
        made = deploy(chain)
        people = ("owner", "payer", "defender", "signer", "heir", "spender", "module", "minter", "proposer", "stranger")
        roles = {name: made.account(name, 1000 * HOLE) for name in people}
        owner, payer = roles["owner"], roles["payer"]
        assert made.register(owner) == NODE
        for contract, sender, name, *arguments in (
            (made.registry, owner, "setKeys", NODE, roles["signer"], NOBODY),
            (made.vault, owner, "bond", NODE, SERVICE, 500 * HOLE),
            (made.registry, owner, "transferNode", NODE, roles["heir"]),
            (made.vault, owner, "transferStaker", NODE, roles["heir"]),
            (made.token, made.timelock, "setMinter", roles["minter"]),
            (made.token, made.treasury, "approve", roles["spender"], 1),
        ):
            chain.send(contract, name, *arguments, sender=sender)
        for person in (payer, roles["defender"]):
            chain.send(made.token, "approve", made.hub.address, UNLIMITED, sender=person)
            chain.send(made.hub, "deposit", person, 100 * HOLE, sender=person)
            chain.send(made.hub, "allow", made.disputes.address, 100 * HOLE, sender=person)
        chain.send(made.hub, "openLane", owner, SERVICE, payer, 100, sender=payer)
        chain.send(made.hub, "allow", roles["module"], 10 * HOLE, sender=payer)
        chain.send(made.hub, "lock", LOCK, payer, owner, SERVICE, HOLE, FAR, sender=roles["module"])
        for claim in (OPEN_CLAIM, CONTESTED):
            receipt = bytes([claim]) * 32
            chain.send(made.verifier, "setReceipt", receipt, payer, NODE, SERVICE, HOLE)
            chain.send(made.disputes, "open", made.verifier.address, receipt, HOLE, B32, sender=payer)
        chain.send(made.disputes, "contest", CONTESTED, B32, sender=roles["defender"])
        timelock = chain.deploy("Timelock", 0, [roles["proposer"]], [NOBODY])
        splitter = chain.deploy("FeeSplitter", made.hub.address, made.treasury, 5000)
        market = deploy_market(chain)
        node, account = market.node("market node", 100 * HOLE), market.payer("market payer", HOLE)
        start = market.current + 1
        terms = Terms(account.address, node.id, node.owner.address, B32, B32, 1, 1, start, start + 10, 10)
        chain.send(market.contract, "open", *market.signed(terms, account, node), sender=account.address)
        roles |= {"market payer": account.address, "market owner": node.owner.address}
        roles |= {"market signer": node.signer.address, "market": market.contract.address}
        roles |= {"treasury": made.treasury, "timelock": made.timelock, "guardian": made.guardian}
        roles |= {"judge": made.judges[0], "panel": made.panel.address, "verifier": made.verifier.address}
        roles |= {"disputes": made.disputes.address, "vault": made.vault.address, "hub": made.hub.address}
        listed = [made.token, made.hub, made.catalog, made.registry, made.vault, made.disputes, made.panel]
        listed += [market.contract, timelock, splitter, chain.deploy("Deployer")]
        yield World(made, market, market.id_of(terms), roles, {each.name: each for each in listed})


def changing(abi: list[dict[str, Any]]) -> list[str]:
    """Names of the functions that change state."""
    return sorted(e["name"] for e in abi if e["type"] == "function" and e["stateMutability"] not in ("view", "pure"))


def test_every_function_that_changes_state_has_its_callers_stated(world: World) -> None:
    for name, contract in world.contracts.items():
        assert changing(contract.abi) == sorted([*OPEN.get(name, {}), *REFUSED.get(name, {})]), name


def test_every_contract_that_ships_is_here_or_changes_nothing(world: World) -> None:
    shipped = {path.stem for path in (ROOT / "sdk" / "blackhole" / "chain" / "artifacts").glob("*.json")}
    assert shipped > set(world.contracts)
    for name in shipped - set(world.contracts):
        assert not changing(artifact(name)["abi"]), name


def test_whoever_is_not_among_the_callers_is_told_so_by_name(world: World) -> None:
    wrong: list[str] = []
    for name, contract in world.contracts.items():
        rules = list(REFUSED.get(name, {}).items())
        calls = [(contract, function, *rule[0](world)) for function, rule in rules]
        people = {**world.roles, "itself": contract.address}
        for role, address in people.items():
            for (function, (_, callers, error)), answer in zip(
                rules, world.made.chain.calls(calls, sender=address), strict=True
            ):
                told = answer.name if isinstance(answer, Reverted) else "done"
                may = address in {people[caller] for caller in callers}
                if (told != error) != may:
                    wrong.append(f"{name}.{function} by {role}: {told}, expected {'anything but ' * may}{error}")
    assert not wrong, "\n".join(wrong)


def test_open_functions_give_a_stranger_nothing_that_is_not_due(world: World) -> None:
    made, chain, stranger = world.made, world.made.chain, world.roles["stranger"]
    market, deal = world.market.contract, world.deal
    expected = [
        (made.vault, ("pay", OPEN_CLAIM), "InvalidClaimState"),
        (made.vault, ("lapse", OPEN_CLAIM), "RoundOpen"),
        (made.disputes, ("finalise", OPEN_CLAIM), "DeadlinePending"),
        (made.disputes, ("contest", OPEN_CLAIM, B32), "InsufficientAllowance"),
        (world.contracts["FeeSplitter"], ("split",), "NothingToSplit"),
        (made.hub, ("withdraw", stranger, 1), "InsufficientBalance"),
        (market, ("close", deal), "NotEnded"),
        (market, ("claimRemainder", deal), "NotLost"),
        (market, ("prove", NODE, 1, b""), "NotDrawn"),
        (market, ("reportMissed", NODE, 1, deal), "NotDrawn"),
        (market, ("draw", world.market.current), "NotDrawable"),
    ]
    for contract, (function, *args), error in expected:
        with pytest.raises(Reverted) as caught:
            chain.call(contract, function, *args, sender=stranger)
        assert caught.value.name == error, function
    chain.send(market, "settle", [deal], sender=stranger)
    assert chain.call(world.market.made.hub, "lockOf", market.address, deal).amount == 10
    chain.send(made.registry, "register", B32, "node.example:1", sender=stranger)
    assert chain.call(made.registry, "ownerOf", chain.call(made.registry, "nodeCount")) == stranger


def test_nothing_has_a_pause(world: World) -> None:
    """DESIGN 19: no pause branch: no function by that name, and the Guardian's only one is closeEntries."""
    for name, contract in world.contracts.items():
        assert not [n for n in contract.methods if "pause" in n.lower()], name
