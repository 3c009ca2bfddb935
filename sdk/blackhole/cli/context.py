"""What the global options of one command line say, and the connection they lead to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blackhole.chain.signers import Signer
    from blackhole.client import Blackhole
    from blackhole.paths import Home


@dataclass(frozen=True, slots=True)
class Options:
    """The global options.

    Attributes:
        network: a network's name, its network.json or a devnet's run folder; None: the default network.
        account: name of a key in the keys folder; None: the environment's key, else the only one there is.
        json: one JSON object on stdout instead of text.
        yes: answer every question with yes.
        dry_run: do nothing, say what would be done.
        verbose: 1 explains, 2 also shows the traceback of an internal error.
    """

    network: str | None = None
    account: str | None = None
    json: bool = False
    yes: bool = False
    dry_run: bool = False
    verbose: int = 0


_current = Options()


def use(options: Options) -> None:
    """Make `options` those of this process."""
    global _current
    _current = options


def current() -> Options:
    """The options of the command that runs."""
    return _current


def connect(*, signs: bool = True, default: str | None = None) -> Blackhole:
    """The network of --network, else `default`, and the key of this command. Close it: `with connect() as blackhole`.

    Without `signs` no keystore is opened: what only reads asks for no passphrase.

    Under --dry-run the connection only reads: whatever would send or pay raises UsageError.

    Raises:
        NetworkNotFound: no network is selected. KeyMissing, KeyLocked, WrongPassphrase.
    """
    from blackhole.client import Blackhole

    blackhole = Blackhole(current().network or default, signer() if signs else None)
    blackhole.chain.read_only = current().dry_run
    return blackhole


def amount(text: str, *, least: int = 0) -> int:
    """HOLE as people write it ("2.5") as wei. Raises InputError, also for less than `least` wei."""
    from blackhole.errors import InputError
    from blackhole.units import Tokens

    wei = int(Tokens(text))
    if wei < least:
        raise InputError(f"{text} HOLE is too little.", hint="Say how much it shall be, for example 2.5.")
    return wei


def home() -> Home:
    """The user's folder: `$BLACKHOLE_HOME` or ~/.blackhole."""
    from blackhole.paths import Home

    return Home.locate()


def keystores() -> dict[str, Path]:
    """The keys of this machine: name → keystore file."""
    return {path.stem: path for path in sorted(home().keys.glob("*.json"))}


def signer() -> Signer:
    """Who signs: --account, else BLACKHOLE_KEY or BLACKHOLE_KEY_FILE, else the only keystore there is.

    Raises:
        KeyMissing: none of them names a key, or several keystores and no choice.
        KeyLocked, WrongPassphrase: the keystore does not open.
    """
    from blackhole.chain.signers import load_keystore, signer_from_environment
    from blackhole.errors import KeyMissing

    stores = keystores()
    if (name := current().account) is not None:
        if name not in stores:
            raise KeyMissing(f"There is no account {name!r}.", hint="Names: " + (", ".join(stores) or "none yet"))
        return load_keystore(stores[name])
    if (from_environment := signer_from_environment()) is not None:
        return from_environment
    if len(stores) == 1:
        return load_keystore(next(iter(stores.values())))
    if stores:
        raise KeyMissing(
            f"There are {len(stores)} accounts: {', '.join(stores)}.", hint="Choose one with --account NAME."
        )
    raise KeyMissing("There is no key yet.", hint="Make one with `blackhole account new`, or set BLACKHOLE_KEY_FILE.")


def own_address() -> str | None:
    """The address of the key `signer` would find; no keystore is opened for it. None: there is no key yet.

    Raises KeyMissing for several keystores and no choice, SigningKeyError and InputError for a key that cannot be read.
    """
    from blackhole.chain.signers import KEY_FILE_VARIABLE, KEY_VARIABLE, signer_from_environment
    from blackhole.errors import KeyMissing
    from blackhole.node.setup import keystore_address

    stores = keystores()
    if (chosen := current().account) is not None:
        if chosen not in stores:
            raise KeyMissing(f"There is no account {chosen!r}.", hint="Names: " + (", ".join(stores) or "none yet"))
        return keystore_address(stores[chosen])
    named = os.environ.get(KEY_FILE_VARIABLE)
    if named and not os.environ.get(KEY_VARIABLE) and _is_keystore(Path(named)):
        return keystore_address(Path(named))
    if (found := signer_from_environment()) is not None:
        return found.address
    if len(stores) > 1:
        raise KeyMissing(f"There are {len(stores)} accounts and none is chosen.", hint="export BLACKHOLE_ACCOUNT=NAME")
    return keystore_address(next(iter(stores.values()))) if stores else None


def require_address() -> str:
    """As `own_address`; raises KeyMissing when there is no key yet."""
    from blackhole.errors import KeyMissing

    if (found := own_address()) is None:
        raise KeyMissing(
            "There is no key yet.", hint="Make one with `blackhole account new`, or set BLACKHOLE_KEY_FILE."
        )
    return found


def _is_keystore(path: Path) -> bool:
    import json

    try:
        return isinstance(json.loads(path.read_text()), dict)
    except (OSError, ValueError):
        return False


def new_passphrase(what: str) -> str:
    """A passphrase for a new keystore of `what`: from the file BLACKHOLE_PASSPHRASE_FILE names, else asked for twice.

    Raises InputError: empty, or typed differently the second time. KeyLocked: nobody is there to ask.
    """
    import getpass

    from blackhole.chain.signers import PASSPHRASE_FILE_VARIABLE, find_passphrase
    from blackhole.errors import InputError

    chosen = find_passphrase(f"New passphrase for {what}: ")
    if not os.environ.get(PASSPHRASE_FILE_VARIABLE) and getpass.getpass("Again: ") != chosen:
        raise InputError("The two passphrases differ.", hint="Try again.")
    if not chosen:
        raise InputError("The passphrase is empty.", hint="Whoever copies the file would have the key.")
    return chosen
