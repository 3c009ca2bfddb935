"""What the global options of one command line say, and the connection they lead to."""

from __future__ import annotations

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

    Under --dry-run the connection only reads: whatever would send or pay raises UsageError.

    Raises:
        NetworkNotFound: no network is selected. KeyMissing, KeyLocked, WrongPassphrase.
    """
    from blackhole.client import Blackhole

    blackhole = Blackhole(current().network or default, signer(required=signs))
    blackhole.chain.read_only = current().dry_run
    return blackhole


def amount(text: str) -> int:
    """HOLE as people write it ("2.5") as wei. Raises InputError."""
    from blackhole.units import Tokens

    return int(Tokens(text))


def home() -> Home:
    """The user's folder: `$BLACKHOLE_HOME` or ~/.blackhole."""
    from blackhole.paths import Home

    return Home.locate()


def keystores() -> dict[str, Path]:
    """The keys of this machine: name → keystore file."""
    return {path.stem: path for path in sorted(home().keys.glob("*.json"))}


def signer(*, required: bool = True) -> Signer | None:
    """Who signs: --account, else BLACKHOLE_KEY or BLACKHOLE_KEY_FILE, else the only keystore there is.

    Raises:
        KeyMissing: none of them names a key (with `required`), or several keystores and no choice.
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
    if not required:
        return None
    if stores:
        raise KeyMissing(
            f"There are {len(stores)} accounts: {', '.join(stores)}.", hint="Choose one with --account NAME."
        )
    raise KeyMissing("There is no key yet.", hint="Make one with `blackhole account new`, or set BLACKHOLE_KEY_FILE.")
