"""What `blackhole node status` knows: the node on chain, its agent as it sees itself, and what needs its operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from blackhole.cli.output import count, hole, span, table
from blackhole.protocol import LEAF, MICRO, STORAGE

if TYPE_CHECKING:
    from blackhole.client import Blackhole
    from blackhole.node.config import Config
    from blackhole.node.folder import NodeFolder

GIB_LEAVES = 2**30 // LEAF


def agent_health(folder: NodeFolder) -> dict[str, Any] | None:
    """What the agent's loopback server says; None when no agent runs."""
    import json
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    found = folder.read_status()
    if found is None:
        return None
    try:
        with urlopen(f"http://{found.health}/health", timeout=5) as response:
            body: dict[str, Any] = json.load(response)
    except HTTPError as error:
        # 503 carries the same page: something in it is not well.
        body = json.loads(error.read())
    except (URLError, OSError, ValueError):
        return {"pid": found.pid, "ok": False, "plugins": {}}
    return body


def on_chain(blackhole: Blackhole, node: int, *, earned: bool = False) -> dict[str, Any]:
    """Everything the chain has of a node; with `earned` also what its payee was ever credited for storage."""
    from blackhole.face import portal

    run, chain, market = portal().run, blackhole.chain, blackhole.connection.market
    record = blackhole.registry.node(node)
    stake = blackhole.staking.stake(node, STORAGE)
    listed = blackhole.registry.offer(node, STORAGE)
    row = blackhole.registry.service(STORAGE)
    ledger = run(chain.read(market.ledger_of(node)))
    found = {
        "owner": record.owner,
        "signer": record.signer,
        "payee": record.payee,
        "endpoint": record.endpoint,
        "price_wei": listed.price,
        "capacity_gib": listed.capacity,
        "active_wei": stake.active,
        "reserved_wei": stake.reserved,
        "frozen_wei": stake.frozen,
        "free_wei": max(stake.active - stake.reserved - stake.frozen, 0),
        "exiting_wei": stake.exiting,
        "exit_at": stake.exit_at,
        "min_bond_wei": row.min_bond,
        "collateral_gib_wei": row.collateral_per_leaf * GIB_LEAVES,
        "agreements": ledger.count_,
        "leaves": ledger.leaves,
        "misses": ledger.misses,
        "last_proven": ledger.last_proven,
        "ended_at": ledger.ended_at,
        "proof": _proof(blackhole, node, owes=bool(ledger.leaves) and not ledger.ended_at),
        "payee_balance_wei": blackhole.escrow.balance(record.payee),
        "signer_gas_wei": run(chain.balance(record.signer)),
    }
    if earned:
        credits = [each.event for each in blackhole.escrow.credits(record.payee)]
        found["earned_wei"] = sum(event.gross - event.fee for event in credits if event.service == STORAGE)
    return found


def _proof(blackhole: Blackhole, node: int, *, owes: bool) -> dict[str, Any]:
    """The proof of the last full period: "none" owed, "undrawn", "owed" or "proven"; and when the next comes."""
    from blackhole.face import portal

    run, read, market = portal().run, blackhole.chain.read, blackhole.connection.market
    seconds = run(read(market.period()))
    now = run(blackhole.chain.block("latest")).timestamp
    period = now // seconds - 1
    proven = run(read(market.bit_of(node, period)))
    drawn = bool(run(read(market.seed_of(period))).seed)
    state = "proven" if proven else "none" if not owes else "owed" if drawn else "undrawn"
    closes = run(read(market.window_of(period))).closes_at
    return {"period": period, "state": state, "closes_at": closes, "next_at": (period + 2) * seconds, "now": now}


class Need(NamedTuple):
    """Something that needs the operator: what, and the command that mends it (empty when only time does)."""

    found: str
    mend: str = ""


def needs(agent: dict[str, Any] | None, chain: dict[str, Any], config: Config, folder: NodeFolder) -> list[Need]:
    """What needs the operator, the most urgent first."""
    from blackhole.units import format_tokens

    plugin, at = _plugin(agent), folder.path
    found = []
    if agent is None and chain["agreements"]:
        found.append(Need("no agent runs: proofs are missed, and missed proofs cost stake", f"blackhole node run {at}"))
    elif agent is None and config.storage.accept:
        found.append(Need("no agent runs: it takes no deals", f"blackhole node run {at}"))
    elif agent is not None and plugin.get("state") not in {"ready", "draining"}:
        why = plugin.get("error", {}).get("message", "see the log")
        found.append(Need(f"the storage plugin is {plugin.get('state', 'silent')}: {why}", f"blackhole node run {at}"))
    elif plugin.get("chain", "ok") != "ok":
        found.append(Need("the agent does not reach the chain", "blackhole doctor"))
    if chain["signer_gas_wei"] < config.chain.gas_alarm_wei:
        found.append(Need("the hot key runs out of gas", f"send some of the chain's coin to {chain['signer']}"))
    found += _differences(agent, chain, config, folder)
    if config.storage.accept:
        if (missing := chain["min_bond_wei"] - chain["active_wei"]) > 0:
            mend = f"blackhole node bond {format_tokens(missing)} {at}"
            found.append(Need("the bond is too small for any deal", mend))
        elif chain["free_wei"] < chain["collateral_gib_wei"]:
            mend = f"blackhole node bond {format_tokens(chain['collateral_gib_wei'])} {at}"
            found.append(Need("the free stake backs less than 1 GiB more", mend))
    if chain["misses"]:
        missed = f"{count(chain['misses'], 'proof')} in a row missed; the third costs stake, the tenth all of it"
        found.append(Need(missed, "" if agent else f"blackhole node run {at}"))
    if chain["ended_at"]:
        found.append(Need("the node has ended after ten misses: its agreements are being closed"))
    if plugin.get("unprovable_periods"):
        periods = ", ".join(map(str, plugin["unprovable_periods"]))
        found.append(Need(f"periods {periods} cannot be proven: stored bytes are missing or damaged", "see its log"))
    if chain["exiting_wei"] and chain["proof"]["now"] >= chain["exit_at"]:
        taken = f"{hole(chain['exiting_wei'])} of stake can be taken out"
        found.append(Need(taken, f"blackhole node withdraw {at}"))
    if agent is not None and not plugin.get("ok") and not found:
        found.append(Need("the agent is not well", "see its log"))
    return found


def _differences(
    agent: dict[str, Any] | None, chain: dict[str, Any], config: Config, folder: NodeFolder
) -> Iterator[Need]:
    """Where the registry says something else than the folder."""
    from blackhole.node.setup import keystore_address

    if folder.keystore.exists() and keystore_address(folder.keystore) != chain["signer"]:
        yield Need("the registry names another hot key than this folder's", f"blackhole node register {folder.path}")
    if config.api.endpoint and config.api.endpoint != chain["endpoint"]:
        yield Need(
            f"the registry says {chain['endpoint']}, config.toml {config.api.endpoint}",
            f"blackhole node register {folder.path}",
        )
    wanted = (config.storage.price_wei_per_gib_period, config.storage.capacity_gib if config.storage.accept else 0)
    # A running agent brings it there by itself.
    listed = (chain["price_wei"], chain["capacity_gib"])
    if agent is None and listed != wanted and (listed[1] or wanted[1]):
        yield Need("the registry does not have the offer of config.toml", f"blackhole node offer {folder.path}")


def _plugin(agent: dict[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = (agent or {}).get("plugins", {}).get("storage", {})
    return found


def text(agent: dict[str, Any] | None, chain: dict[str, Any], config: Config, needs: list[Need]) -> str:
    """The page people read."""
    from blackhole.units import format_tokens

    plugin, proof = _plugin(agent), chain["proof"]
    rows: list[tuple[str, str]] = [
        ("agent", _agent_line(agent, plugin, config)),
        ("endpoint", chain["endpoint"]),
        ("offer", f"{chain['capacity_gib']} GiB at {hole(chain['price_wei'])} each a period"),
        ("stored", _stored_line(plugin, chain)),
        ("stake", _stake_line(chain)),
        ("proof", _proof_line(proof)),
        ("income, in the bank", hole(chain["payee_balance_wei"])),
    ]
    if "earned_wei" in chain:
        rows.append(("earned by its payee", hole(chain["earned_wei"])))
    if "unredeemed_micro" in plugin:
        settled, redeemed = int(plugin["settled_wei"]), plugin["redeemed_micro"] * MICRO
        rows.append(("since it runs", f"{hole(settled)} for storage, {hole(redeemed)} for reads"))
        rows.append(("vouchers not redeemed", hole(plugin["unredeemed_micro"] * MICRO)))
    rows.append(("gas of the hot key", format_tokens(chain["signer_gas_wei"])))
    return "\n".join(
        [
            table([f"NODE {config.node.id}", ""], rows),
            *(f"! {need.found}" + (f" ({need.mend})" if need.mend else "") for need in needs),
        ]
    )


def _agent_line(agent: dict[str, Any] | None, plugin: dict[str, Any], config: Config) -> str:
    deals = "takes new deals" if config.storage.accept else "drains: no new deals"
    return f"not running; {deals}" if agent is None else f"pid {agent['pid']}, {plugin.get('state', 'silent')}; {deals}"


def _stored_line(plugin: dict[str, Any], chain: dict[str, Any]) -> str:
    line = f"{chain['leaves'] / GIB_LEAVES:.3f} GiB in {count(chain['agreements'], 'agreement')}"
    if "leaves" in plugin:
        line += f"; {plugin['leaves']['free'] / GIB_LEAVES:.3f} GiB free"
    return line


def _stake_line(chain: dict[str, Any]) -> str:
    from blackhole.cli.output import when

    parts = [f"{hole(chain['active_wei'])}: {hole(chain['reserved_wei'])} reserved, {hole(chain['free_wei'])} free"]
    if chain["frozen_wei"]:
        parts.append(f"{hole(chain['frozen_wei'])} frozen by a claim")
    if chain["exiting_wei"]:
        parts.append(f"{hole(chain['exiting_wei'])} can leave on {when(chain['exit_at'])}")
    return "; ".join(parts)


def _proof_line(proof: dict[str, Any]) -> str:
    said = {
        "none": "nothing to prove",
        "undrawn": f"period {proof['period']} is not drawn yet",
        "owed": f"period {proof['period']} is owed for {span(max(proof['closes_at'] - proof['now'], 0))} more",
        "proven": f"period {proof['period']} is proven",
    }[str(proof["state"])]
    if proof["state"] == "none":
        return said
    return f"{said}; the next is due in {span(proof['next_at'] - proof['now'])}"
