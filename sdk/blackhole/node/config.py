"""config.toml of a node: every setting with its default, its unit and its bound.

The file is read with the standard library and changed line by line, so comments survive `blackhole node offer`.
Source: docs/running-a-node.md lists the same settings for people.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from blackhole.errors import InputError
from blackhole.paths import write_private

SCHEMA = 1
"""Version of config.toml. A newer file is refused, an older one is read through `_UPGRADES`."""


@dataclass(frozen=True, slots=True)
class Node:
    """[node]: who this is."""

    id: int = 0
    """Id in NodeRegistry; 0 until `blackhole node register`."""
    network: str = ""
    """A network's name or the path of its network.json."""


@dataclass(frozen=True, slots=True)
class Agent:
    """[agent]: the supervisor."""

    health: str = "127.0.0.1:0"
    """Loopback address of /health, /status and /metrics; port 0 takes a free one (written to status.json)."""
    drain_seconds: int = 30
    """How long a stop waits for transfers and for vouchers to be redeemed."""
    crashes: int = 5
    """So many crashes of a plugin within `crash_window_seconds` quarantine it."""
    crash_window_seconds: int = 600
    log_level: str = "info"


@dataclass(frozen=True, slots=True)
class Api:
    """[api]: what the world reaches."""

    listen: str = "0.0.0.0:4480"
    """Address of the TLS server; port 0 takes a free one."""
    endpoint: str = ""
    """What the registry tells clients, https://host:port; empty: made from the listening address."""
    connections: int = 512
    """Open connections at once."""
    header_seconds: int = 10
    """A request whose headers take longer is dropped."""
    idle_seconds: int = 60


@dataclass(frozen=True, slots=True)
class Chain:
    """[chain]: how the node follows and writes the chain. Time itself is read from block timestamps only."""

    poll_seconds: float = 2.0
    """Wall seconds between looks at the newest block."""
    gas_alarm_wei: int = 10**16
    """Below this native balance of the hot signer an alarm is raised."""
    settle_periods: int = 7
    """An agreement is settled when so many undecided periods have gathered (and always at its end)."""
    settle_min_wei: int = 0
    """… and at least this much is due to the node."""
    redeem_periods: int = 1
    """Vouchers are redeemed every so many periods, and at once when a thaw starts."""
    redeem_min_micro: int = 1
    """… when a lane holds at least this much unredeemed (micro-HOLE)."""
    report_missed: bool = True
    """Report other nodes' missed proofs for the bounty."""
    publish: bool = True
    """The hot signer publishes offer and manifest when the configuration changed them."""


@dataclass(frozen=True, slots=True)
class Storage:
    """[storage]: service 1."""

    accept: bool = True
    """False: no new deals and no new bytes; what is stored is proven and served as before."""
    price_wei_per_gib_period: int = 10**15
    capacity_gib: int = 10
    region: int = 0
    """ISO 3166-1 numeric country: a hint, never checked."""
    egress_micro_per_mib: int = 10
    """Price of reads, micro-HOLE a MiB; 0 serves free."""
    audit_bytes_per_day: int = 64 * 2**20
    """Audit reads served free, per address block and day."""
    grant_bytes_per_day: int = 2**30
    """Reads served under owners' grants, per payer and day."""
    deal_periods_max: int = 400
    """Longest agreement signed, in periods."""


@dataclass(frozen=True, slots=True)
class Limits:
    """[limits]: quotas, enforced before the body of a request is read."""

    piece_bytes: int = 128 * 2**20
    """Largest piece."""
    staging_bytes: int = 8 * 2**30
    """Bytes in staging, all payers together."""
    staging_bytes_per_payer: int = 4 * 2**30
    uploads: int = 32
    """Uploads at once, all payers together."""
    uploads_per_payer: int = 16
    min_balance_wei: int = 0
    """A payer's hub balance and allowance below this (at a final block) are refused at the door."""
    free_disk_bytes: int = 2**30
    """Uploads stop when the disk has less than this."""
    allow: tuple[str, ...] = ()
    """If not empty, only these payers are served new deals."""
    deny: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """One node's configuration. `Config.load` checks types and bounds."""

    node: Node = field(default_factory=Node)
    agent: Agent = field(default_factory=Agent)
    api: Api = field(default_factory=Api)
    chain: Chain = field(default_factory=Chain)
    storage: Storage = field(default_factory=Storage)
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def load(cls, path: Path) -> Config:
        """Read `path`.

        Raises:
            InputError: no file, no TOML, a newer schema, an unknown key, or a value of the wrong type or out of bounds.
        """
        try:
            text = path.read_text()
        except OSError as error:
            raise InputError(
                f"Cannot read {path}: {error.strerror}.", hint="Make a node folder with: blackhole node init FOLDER"
            ) from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, name: str = "config.toml") -> Config:
        """As `load`, from the text itself; `name` is used in messages."""
        try:
            raw = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{name} is not TOML: {error}", hint="Mend the line it names.") from error
        schema = raw.pop("schema", None)
        if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
            raise InputError(f"{name} has no schema version.", hint=f"Its first line must be: schema = {SCHEMA}")
        if schema > SCHEMA:
            raise InputError(f"{name} has schema {schema}, this version knows {SCHEMA}.", hint="Update blackhole.")
        for version in range(schema, SCHEMA):
            raw = _UPGRADES[version](raw)
        sections = {part.name: part for part in dataclasses.fields(cls)}
        unknown = set(raw) - set(sections)
        if unknown:
            raise InputError(f"{name}: unknown section [{min(unknown)}].", hint=f"Known: {', '.join(sections)}")
        hints = get_type_hints(cls)
        return cls(**{part: _section(hints[part], raw.get(part, {}), part, name) for part in sections})


_UPGRADES: dict[int, Any] = {}
"""Schema n → function from the raw tables of schema n to those of n + 1."""

_POSITIVE = {"agent.crashes", "agent.crash_window_seconds", "api.connections", "limits.piece_bytes", "limits.uploads"}
_MAXIMA = {
    "storage.price_wei_per_gib_period": 2**64 - 1,
    "storage.capacity_gib": 2**28,  # leaves are counted in 48 bits on chain
    "storage.region": 2**16 - 1,
    "storage.egress_micro_per_mib": 2**40,
    "node.id": 2**32 - 1,
}
_ENDPOINT = re.compile(r"https://(\[[0-9a-fA-F:]+\]|[^\s/:@?#\[\]]+)(:\d{1,5})?")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def _section(kind: type[Any], raw: Any, section: str, name: str) -> Any:
    if not isinstance(raw, dict):
        raise InputError(f"{name}: [{section}] is not a table.", hint="See docs/running-a-node.md.")
    hints = get_type_hints(kind)
    unknown = set(raw) - set(hints)
    if unknown:
        raise InputError(f"{name}: unknown key {section}.{min(unknown)}.", hint=f"Known: {', '.join(hints)}")
    return kind(**{key: _value(hints[key], value, f"{section}.{key}", name) for key, value in raw.items()})


def _value(kind: Any, value: Any, key: str, name: str) -> Any:
    wrong = InputError(f"{name}: {key} = {value!r} is not allowed.", hint="See docs/running-a-node.md.")
    if get_origin(kind) is tuple and get_args(kind)[0] is str:
        if not isinstance(value, list) or not all(isinstance(a, str) and _ADDRESS.fullmatch(a) for a in value):
            raise wrong
        return tuple(address.lower() for address in value)
    if kind is int and isinstance(value, str) and value.isdecimal():
        value = int(value)  # wei may be written as a string: other TOML readers stop at 2^63
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise wrong
    if isinstance(value, int | float) and not isinstance(value, bool):
        low = 1 if key in _POSITIVE else 0
        if not low <= value <= _MAXIMA.get(key, 2**96) or (key == "chain.poll_seconds" and value < 0.01):
            raise wrong
    if key == "api.endpoint" and value and not _ENDPOINT.fullmatch(str(value)):
        raise InputError(
            f"{name}: api.endpoint = {value!r} is not https://host:port.",
            hint='As clients reach the node, for example "https://node.example:4480".',
        )
    if key in {"agent.health", "api.listen"}:
        host_port(str(value))
        if key == "agent.health" and not str(value).startswith(("127.", "localhost:", "[::1]")):
            raise InputError(f"{name}: agent.health must be a loopback address.", hint='For example "127.0.0.1:0".')
    return value


def host_port(text: str) -> tuple[str, int]:
    """Split "host:port". Raises InputError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise InputError(f"{text!r} is not host:port.", hint='For example "0.0.0.0:4480".')
    return host.strip("[]"), int(port)


def render(values: dict[str, Any] | None = None) -> str:
    """A config.toml with `values` ("section.key" → value) written out and every other setting as a comment."""
    values = values or {}
    lines = [f"schema = {SCHEMA}"]
    for part in dataclasses.fields(Config):
        section = get_type_hints(Config)[part.name]
        lines += ["", f"[{part.name}]"]
        for item in dataclasses.fields(section):
            key = f"{part.name}.{item.name}"
            mark = "" if key in values else "# "
            lines.append(f"{mark}{item.name} = {_toml(values.get(key, item.default))}")
    return "\n".join(lines) + "\n"


def change(path: Path, values: dict[str, Any]) -> Config:
    """Set `values` ("section.key" → value) in the file at `path`, keep everything else, and return the new Config.

    The file is replaced in one step; a value that is not allowed leaves it as it was. Raises InputError.
    """
    text = _edited(path, values)
    config = Config.parse(text, str(path))
    write_private(path, text.encode())
    return config


def changed(path: Path, values: dict[str, Any]) -> Config:
    """The Config that `change` would lead to; nothing is written. Raises InputError."""
    return Config.parse(_edited(path, values), str(path))


def _edited(path: Path, values: dict[str, Any]) -> str:
    lines = path.read_text().splitlines()
    for dotted, value in values.items():
        section, _, key = dotted.partition(".")
        _set(lines, section, f"{key} = {_toml(value)}", re.compile(rf"\s*(#\s*)?{re.escape(key)}\s*="))
    return "\n".join(lines) + "\n"


def _set(lines: list[str], section: str, line: str, pattern: re.Pattern[str]) -> None:
    try:
        start = next(i for i, text in enumerate(lines) if text.strip() == f"[{section}]") + 1
    except StopIteration:
        lines += ["", f"[{section}]", line]
        return
    end = next((i for i in range(start, len(lines)) if lines[i].lstrip().startswith("[")), len(lines))
    at = [i for i in range(start, end) if pattern.match(lines[i])]
    # A commented default may stand beside the real setting: the real one is what counts.
    real = [i for i in at if not lines[i].lstrip().startswith("#")]
    if at:
        lines[(real or at)[0]] = line
    else:
        lines.insert(start, line)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value) if abs(value) < 2**63 else f'"{value}"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
