"""Every error Blackhole raises, in one tree.

Each error says what happened (`message`), what the user does next (`hint`), a stable name for programs (`code`), the
figures (`data`, JSON values; wei as decimal strings) and the exit code the command line ends with. docs/errors.md is
generated from this module. No message, hint or data ever holds a secret.

Exit codes: 1 internal, 2 usage or input, 3 degraded, 4 unreadable, 5 funds, 6 chain or devnet, 7 node or network,
8 key, 9 disk.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"


class Revert:
    """A custom error of a contract, decoded. The generated bindings hold one subclass for each
    (`blackhole.chain.bindings`).
    """

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()
    """The names of the arguments, in order."""
    SELECTOR: ClassVar[bytes] = b""
    """The first four bytes of its data."""
    SIGNATURE: ClassVar[str] = ""
    """As Solidity writes it: `LaneClosed(uint32)`."""

    def fields(self) -> dict[str, Json]:
        """The arguments by name, ready for JSON: integers beyond 53 bits as decimal strings, bytes as 0x-hex."""
        return {name: _plain(getattr(self, name)) for name in self.__match_args__}

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__match_args__)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Revert) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        return f"{self.SIGNATURE.split('(')[0]}({', '.join(f'{k}={v!r}' for k, v in self.fields().items())})"


def _plain(value: object) -> Json:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < 2**53 else str(int(value))
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)


class BlackholeError(Exception):
    """Base of every error of this package. Catch it to catch them all."""

    code: str = "internal"
    hint: str = "This is a defect of Blackhole: report it with the message and what you did."
    exit_code: ClassVar[int] = 1

    def __init__(
        self, message: str, *, hint: str | None = None, data: Mapping[str, Json] | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        if hint is not None:
            self.hint = hint
        if code is not None:
            self.code = code
        self.data: dict[str, Json] = dict(data or {})

    def to_json(self) -> dict[str, Json]:
        """The object the command line prints with `--json` and a node answers with."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "data": self.data}

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> BlackholeError:
        """The error `to_json` came from, in another process. `raw` may name its class as `kind`: a code can be one of
        its own. Of what a class adds (a holder, a status) `data` is all that comes.
        """
        kinds: list[type[BlackholeError]] = [BlackholeError]
        for kind in kinds:
            kinds += kind.__subclasses__()
        named = raw.get("kind")
        found = next(
            (kind for kind in kinds if (kind.__name__ == named if named else kind.code == raw["code"])), kinds[0]
        )
        error = found.__new__(found)
        BlackholeError.__init__(
            error, str(raw["message"]), hint=raw.get("hint"), data=raw.get("data"), code=str(raw["code"])
        )
        return error

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are rebuilt from args alone; ours carry keyword fields, and they cross process borders.
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def _rebuild(kind: type[BlackholeError], args: tuple[object, ...], state: dict[str, object]) -> BlackholeError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


# Usage and input


class UsageError(BlackholeError):
    """The call or command is wrong as written."""

    code = "usage"
    hint = "Read the help of the command or the docstring of the call."
    exit_code = 2


class InputError(BlackholeError):
    """A value or file given by the user cannot be used."""

    code = "bad_input"
    hint = "Correct the value named in the message."
    exit_code = 2


class NetworkNotFound(InputError):
    """No network is selected, or its network.json is missing or malformed."""

    code = "network_not_found"
    hint = "Pass --network NAME_OR_PATH, set BLACKHOLE_NETWORK, or start one with `blackhole devnet up`."


# Chain


class ChainError(BlackholeError):
    """The chain, or an endpoint of it, did not do what was asked."""

    code = "chain"
    hint = "Check the chain's endpoints with `blackhole doctor`."
    exit_code = 6


class RpcUnavailable(ChainError):
    """No endpoint of the chain answered."""

    code = "rpc_unavailable"
    hint = "Check that the endpoint runs and is reachable; name several in network.json so that one may fail."


class RpcRefused(ChainError):
    """An endpoint answered with a JSON-RPC error that is not a revert. `data` holds its number."""

    code = "rpc_refused"
    hint = "Read the endpoint's message; another endpoint may allow what this one refuses."


class WrongChain(ChainError):
    """An endpoint serves another chain than the network file names."""

    code = "wrong_chain"
    hint = "Correct `rpc` or `chain_id` in network.json; nothing was sent."


class EndpointBehind(ChainError):
    """Every endpoint lags behind a block this process has already seen."""

    code = "endpoint_behind"
    hint = "Wait until the endpoint has caught up, or name another one in network.json."


class Reverted(ChainError):
    """A contract refused. `decoded` is the typed custom error, where the data is one this project knows."""

    code = "reverted"
    hint = "The named condition of the contract does not hold; its documentation says what it requires."

    def __init__(
        self,
        message: str,
        *,
        decoded: Revert | None = None,
        raw: bytes = b"",
        transaction: str | None = None,
        hint: str | None = None,
    ) -> None:
        data: dict[str, Json] = {}
        if decoded is not None:
            data |= {"error": decoded.SIGNATURE.split("(")[0], "arguments": decoded.fields()}
        elif raw:
            data["raw"] = "0x" + raw[:1024].hex()
        if transaction is not None:
            data["transaction"] = transaction
        super().__init__(message, hint=hint, data=data)
        self.decoded = decoded
        self.raw = raw
        self.transaction = transaction


class TransactionUnknown(ChainError):
    """A transaction was sent but no endpoint has it mined in time. It may still be; it stays in the journal."""

    code = "transaction_unknown"
    hint = "Run the same command again: it takes up the journalled transaction and never sends it twice."


class TransactionReplaced(ChainError):
    """Another transaction of the same key took this one's nonce: something else signs with that key."""

    code = "transaction_replaced"
    hint = "Use each key from one program only, or give this one a key of its own."


class NotYetChangeable(ChainError):
    """An agreement takes no Change before its node has proven the last period. Nothing was signed."""

    code = "not_yet_changeable"
    hint = "Try again later: after its node's next proof, or when the time for that is over."


class Reorganised(ChainError):
    """The chain went back behind blocks that were taken as final."""

    code = "reorganised"
    hint = "The endpoint contradicts itself or the chain had an accident; compare with another endpoint."


# Keys


class SigningKeyError(BlackholeError):
    """A key is missing, locked, wrong or in use."""

    code = "key"
    hint = "List the keys of this machine with `blackhole account list`."
    exit_code = 8


class KeyMissing(SigningKeyError):
    """The operation signs, and no key was given."""

    code = "key_missing"
    hint = "Pass a signer, set BLACKHOLE_KEY or BLACKHOLE_KEY_FILE, or make a key with `blackhole account new`."


class KeyLocked(SigningKeyError):
    """A keystore needs a passphrase and none can be asked for."""

    code = "key_locked"
    hint = "Name a file that holds the passphrase in BLACKHOLE_PASSPHRASE_FILE, or run in a terminal."


class WrongPassphrase(SigningKeyError):
    """The passphrase does not open the keystore."""

    code = "wrong_passphrase"
    hint = "Try again; without the passphrase or a backup the key is lost."


class KeyInUse(SigningKeyError):
    """Another process sends transactions with this key. Two writers would spend one nonce twice."""

    code = "key_in_use"
    hint = "Wait for that process or stop it; give programs that run side by side a key each."

    def __init__(
        self,
        message: str,
        *,
        holder: int | None = None,
        since: str | None = None,
        data: Mapping[str, Json] | None = None,
    ) -> None:
        super().__init__(message, data={**(data or {}), "holder_pid": holder, "holder_since": since})
        self.holder = holder
        """The pid of the process that has it."""
        self.since = since
        """When that process took it: UTC, ISO 8601."""


# Money


class FundsError(BlackholeError):
    """Money or a limit on it stands in the way."""

    code = "funds"
    hint = "Look at the balances with `blackhole account show`."
    exit_code = 5


class InsufficientFunds(FundsError):
    """A balance, allowance or bond is too small. All amounts are wei; `missing` is what has to be added."""

    code = "insufficient_funds"
    hint = "Add what is missing and try again."

    def __init__(self, what: str, *, have: int, need: int, unit: str = "HOLE", hint: str | None = None) -> None:
        from blackhole.units import format_tokens

        missing = max(need - have, 0)
        super().__init__(
            f"{what}: have {format_tokens(have)}, need {format_tokens(need)}, missing {format_tokens(missing)} {unit}",
            hint=hint,
            data={"what": what, "have": str(have), "need": str(need), "missing": str(missing), "unit": unit},
        )
        self.have, self.need, self.missing, self.unit = have, need, missing, unit

    @classmethod
    def in_wallet(cls, account: str, *, have: int, need: int) -> InsufficientFunds:
        """The wallet of `account` holds too little HOLE, wei."""
        from blackhole.units import format_tokens

        missing = format_tokens(max(need - have, 0))
        hint = f"Receive {missing} HOLE first; on a devnet: blackhole devnet faucet {account} {missing}"
        return cls(f"HOLE of {account}", have=have, need=need, hint=hint)


class PriceTooHigh(FundsError):
    """The quoted price is above the limit the caller set."""

    code = "price_too_high"
    hint = "Raise the limit (--max-price), shorten the term or choose a cheaper profile."


# Nodes


class NodeError(BlackholeError):
    """A node could not be used."""

    code = "node"
    hint = "Try another node; `blackhole doctor` checks the network."
    exit_code = 7


class NodeUnreachable(NodeError):
    """A node does not answer, or too slowly."""

    code = "node_unreachable"
    hint = "The node may be down; with enough redundancy others serve the data."


class NodeRefused(NodeError):
    """A node answered with a refusal. `status` is its HTTP status; `data` what it said."""

    code = "node_refused"
    hint = "The node's own message says why."

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        hint: str | None = None,
        data: Mapping[str, Json] | None = None,
    ) -> None:
        super().__init__(message, hint=hint, code=code, data={**(data or {}), "status": status})
        self.status = status


class WrongCertificate(NodeError):
    """A node shows another TLS key than its registered manifest names: perhaps somebody else answers for it."""

    code = "wrong_certificate"
    hint = "Do not use the node until its operator has registered the new key."


class NoFreeNodes(NodeError):
    """Too few nodes offer what was asked for under the placement rules."""

    code = "no_free_nodes"
    hint = "Choose a smaller profile or fewer periods, or wait for nodes to join; `--json` names every node's reason."


class AgentRunning(NodeError):
    """Another agent runs on this node's folder. Two would sign for the same disk twice."""

    code = "agent_running"
    hint = "One agent a folder: stop the one whose pid is named, or use another folder."

    def __init__(self, message: str, *, holder: int | None = None) -> None:
        super().__init__(message, data={"holder_pid": holder})
        self.holder = holder


# Storage


class StorageError(BlackholeError):
    """Stored data could not be read, proven or restored."""

    code = "storage"
    hint = "`blackhole storage status` shows what is left."
    exit_code = 4


class IntegrityError(StorageError):
    """Bytes are not what their hash, tag or signature promises. Nothing of them was given out."""

    code = "integrity"
    hint = "Fetch from other nodes; the one that sent this is at fault."


class NotEnoughShards(StorageError):
    """Fewer shards of a segment can be reached than decoding needs."""

    code = "not_enough_shards"
    hint = "Try again when more nodes answer; `blackhole storage status` shows which are silent."


class Degraded(StorageError):
    """The data is readable, but its redundancy is below the profile's."""

    code = "degraded"
    hint = "Restore it with `blackhole storage repair`."
    exit_code = 3


class CapError(StorageError):
    """A cap is malformed, truncated, of a newer format, of another network, or of too weak a kind for the
    operation."""

    code = "cap"
    hint = "Copy the whole cap; `blackhole storage ls` lists your own."
    exit_code = 2


# Files of this machine


class DiskError(BlackholeError):
    """A file of Blackhole's own cannot be read or written."""

    code = "disk"
    hint = "Check the folder's permissions and free space."
    exit_code = 9

    @staticmethod
    def of(error: OSError, where: object) -> DiskError:
        """What the system says of `where` (a path, or words for it), as the error of this tree that fits."""
        data: dict[str, Json] = {"path": str(where)}
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return DiskFull(f"No space is left for {where}.", data=data)
        if error.errno == errno.EFBIG:
            return DiskFull(
                f"{where} may not grow: the system limits the size of files.",
                hint="Raise the limit (`ulimit -f`) and run the same command again: it goes on where it stopped.",
                data=data,
            )
        return DiskError(f"{where} cannot be used: {error.strerror or error}.", data=data)


class DiskFull(DiskError):
    """No space is left; what was acknowledged before is safe."""

    code = "disk_full"
    hint = "Free some space and run the same command again: it goes on where it stopped."


class JournalError(DiskError):
    """A journal is damaged, of a newer version, or of another kind. It is left as it is."""

    code = "journal"
    hint = "Keep the file: it says what was promised. Restore it from a copy, or look into it before you move it away."


class JournalInUse(JournalError):
    """Another process holds the journal."""

    code = "journal_in_use"
    hint = "Wait for that process or stop it."

    def __init__(self, message: str, *, holder: int | None = None, since: str | None = None) -> None:
        super().__init__(message, data={"holder_pid": holder, "holder_since": since})
        self.holder = holder
        self.since = since


# Devnet


class DevnetError(BlackholeError):
    """The network of processes on this machine could not be started, found or ended."""

    code = "devnet"
    hint = "Look into the logs of its run folder; `blackhole devnet down` ends what is left."
    exit_code = 6
