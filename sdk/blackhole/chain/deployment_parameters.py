"""What one deployment of the market decides, from a reviewed file, checked before the first transaction."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from blackhole import protocol
from blackhole.chain.values import ZERO, Address, address
from blackhole.errors import InputError

__all__ = ["PANEL_MAX", "DeploymentParameters", "ServiceRow", "check", "read_parameters"]

PANEL_MAX: Final = 32
"""Members of a panel: `PanelArbitrator.MAX_MEMBERS`."""
_ACCOUNTS = ("treasury", "guardian")
_LISTS_OF_ACCOUNTS = ("proposers", "panel", "executors")


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """The first row of the storage service. Bounds: docs/parameters.md."""

    fault_bps: int = protocol.FAULT_BPS
    bounty_bps: int = protocol.BOUNTY_BPS
    samples: int = protocol.SAMPLES
    min_bond: int = protocol.MIN_BOND
    """wei."""
    collateral_per_leaf: int = protocol.COLLATERAL_PER_LEAF
    """wei reserved for each KiB of an agreement."""


@dataclass(frozen=True, slots=True)
class DeploymentParameters:
    """What one deployment decides. Amounts are wei, times seconds."""

    genesis: tuple[tuple[Address, int], ...]
    """Who gets the first HOLE, and how much; at most the cap together."""
    proposers: tuple[Address, ...]
    """Who may schedule operations of the timelock: the deployer until the DAO has its own contract."""
    panel: tuple[Address, ...]
    """Members of the first arbitrator."""
    panel_threshold: int
    treasury: Address
    """Receives the share of fees that is not burned."""
    guardian: Address = ZERO
    executors: tuple[Address, ...] = (ZERO,)
    """Who may execute what is due; zero: anyone."""
    timelock_delay: int = protocol.TIMELOCK_DELAY
    fee_bps: int = protocol.FEE_BPS
    burn_bps: int = protocol.FEE_BURN_BPS
    """Share of the fees that is burned."""
    storage: ServiceRow = field(default_factory=ServiceRow)
    period: int = protocol.PERIOD
    prove_window: int = protocol.PROVE_WINDOW
    prove_blocks: int = protocol.PROVE_BLOCKS
    salt: str = "blackhole"
    """Another salt gives other addresses."""


def read_parameters(path: Path) -> DeploymentParameters:
    """A reviewed parameter file: the fields of `DeploymentParameters`, `[[genesis]]` rows and a `[storage]` table.

    Amounts are integers or decimal strings of wei. Raises `InputError` for a field that does not exist or is missing.
    """
    try:
        raw = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}") from None
    if unknown := raw.keys() - {each.name for each in fields(DeploymentParameters)}:
        raise InputError(f"{path}: unknown fields {', '.join(sorted(unknown))}")
    try:
        return DeploymentParameters(
            genesis=tuple((address(row["account"]), int(row["amount"])) for row in raw.pop("genesis", [])),
            storage=ServiceRow(**{name: int(value) for name, value in raw.pop("storage", {}).items()}),
            **{name: _read(name, value) for name, value in raw.items()},
        )
    except KeyError as error:
        raise InputError(f"{path}: a genesis row has no {error}") from None
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: {error}") from None


def _read(name: str, value: Any) -> Any:
    if name in _ACCOUNTS:
        return address(value)
    if name in _LISTS_OF_ACCOUNTS:
        return tuple(address(each) for each in value)
    if name == "salt":
        return str(value)
    if isinstance(value, float):
        raise InputError(f"{name} is a whole number, not {value}")
    return int(value)


def check(parameters: DeploymentParameters) -> None:
    """Refuse what a constructor would refuse half-way, and what would stand for ever and never work.

    Raises `InputError` with every reason.
    """
    row, panel = parameters.storage, parameters.panel
    total = sum(amount for _, amount in parameters.genesis)
    accounts = (*(account for account, _ in parameters.genesis), *parameters.proposers, *panel, parameters.treasury)
    refused = {
        "an account is the zero address": ZERO in accounts,
        "a genesis amount is not positive": any(amount <= 0 for _, amount in parameters.genesis),
        # A year mints at most a share of the supply: of nothing, nothing.
        "the genesis hands out nothing, and nothing could ever be minted": not parameters.genesis,
        f"the genesis hands out {total} wei, more than the cap of {protocol.CAP}": total > protocol.CAP,
        "without proposers nobody ever schedules an operation of the timelock": not parameters.proposers,
        "without executors nobody ever executes one; zero means anyone": not parameters.executors,
        "the timelock's delay is negative": parameters.timelock_delay < 0,
        f"a panel has 1 to {PANEL_MAX} members": not 0 < len(panel) <= PANEL_MAX,
        "a member of the panel is named twice": len(set(panel)) != len(panel),
        f"{parameters.panel_threshold} of {len(panel)} panel members is no majority": not (
            len(panel) < 2 * parameters.panel_threshold <= 2 * len(panel)
        ),
        f"the fee is at most {protocol.FEE_BPS_MAX} bps": not 0 <= parameters.fee_bps <= protocol.FEE_BPS_MAX,
        f"the burned share is at most {protocol.BPS} bps": not 0 <= parameters.burn_bps <= protocol.BPS,
        "the prove window is at most half a period": not 0 < parameters.prove_window <= parameters.period // 2,
        "the blocks of the prove window are negative": parameters.prove_blocks < 0,
        f"storage.fault_bps is at most {protocol.FAULT_BPS_MAX}": not 0 <= row.fault_bps <= protocol.FAULT_BPS_MAX,
        f"storage.bounty_bps is at most {protocol.CLAIM_BOUNTY_BPS_MAX}": not (
            0 <= row.bounty_bps <= protocol.CLAIM_BOUNTY_BPS_MAX
        ),
        f"storage.samples is 1 to {protocol.SAMPLES_MAX}": not 1 <= row.samples <= protocol.SAMPLES_MAX,
        f"storage.min_bond is at most {protocol.MIN_BOND_MAX} wei": not 0 <= row.min_bond <= protocol.MIN_BOND_MAX,
        "storage.collateral_per_leaf is below 2^64 wei": not 0 <= row.collateral_per_leaf < 2**64,
    }
    if wrong := [reason for reason, found in refused.items() if found]:
        raise InputError("; ".join(wrong))
