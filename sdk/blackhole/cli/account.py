"""`blackhole account`: keys and what they hold."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from blackhole.cli.context import current, home, keystores, new_passphrase
from blackhole.cli.output import confirm, emit, hole, table, would

if TYPE_CHECKING:
    from pathlib import Path

app = typer.Typer(
    epilog="Examples: blackhole account new; blackhole account show; blackhole account send 0x… 2.5",
)

Name = Annotated[str, typer.Argument(help="What you call the key: letters, digits, - and _.")]


def _free(name: str) -> Path:
    from blackhole.errors import InputError

    if not name.replace("-", "").replace("_", "").isalnum():
        raise InputError(f"{name!r} is no name for a key.", hint="Use letters, digits, - and _.")
    path = home().keys / f"{name}.json"
    if path.exists():
        raise InputError(f"There is an account {name!r} already.", hint="Choose another name: keys are never replaced.")
    return path


@app.command()
def new(name: Name = "main") -> None:
    """Make a key and write it to a keystore that a passphrase opens.

    The passphrase is asked for, or read from the file named by BLACKHOLE_PASSPHRASE_FILE. Nobody can restore a lost
    keystore or passphrase: keep a copy of the file it prints.

    Example: blackhole account new laptop
    """
    from blackhole.chain.signers import create_keystore

    path = _free(name)
    if current().dry_run:
        would(f"make a key in {path}", name=name, keystore=str(path))
        return
    made = create_keystore(path, new_passphrase("the key"))
    text = f"account {name}: {made.address}\nkeystore: {path} (keep a copy, and its passphrase)"
    emit({"name": name, "address": made.address, "keystore": str(path)}, text)


@app.command(name="import")
def import_(
    name: Name = "main",
    keystore: Annotated[
        str | None, typer.Option(help="A keystore file of any Ethereum wallet; else a key in hex is read from stdin.")
    ] = None,
) -> None:
    """Take over a key you have: from a keystore, or in hex from stdin (the command line would show it to others).

    Example: blackhole account import old --keystore UTC--2024-….json

    Example: pass show key | blackhole account import old
    """
    from pathlib import Path

    from blackhole.chain.signers import as_signer, create_keystore, find_passphrase
    from blackhole.errors import InputError, SigningKeyError

    path = _free(name)
    if keystore is not None:
        from blackhole.chain.keystore import open_keystore

        source = Path(keystore)
        try:
            content = source.read_bytes()
        except OSError as error:
            raise InputError(f"Cannot read {source}: {error.strerror}.", hint="Check the path.") from error
        key = open_keystore(content, find_passphrase(f"Passphrase of {source.name}: "))
    else:
        if sys.stdin.isatty():
            import getpass

            text = getpass.getpass("Key (64 hex digits, not shown): ")
        else:
            text = sys.stdin.readline()
        as_signer(text.strip())  # its message never shows the text
        try:
            key = bytes.fromhex(text.strip().removeprefix("0x"))
        except ValueError:
            raise SigningKeyError("That is not a key of 64 hex digits.") from None
    if current().dry_run:
        address = as_signer(key).address
        would(f"keep the key of {address} in {path}", name=name, address=address, keystore=str(path))
        return
    made = create_keystore(path, new_passphrase("the key"), key)
    emit(
        {"name": name, "address": made.address, "keystore": str(path)},
        f"account {name}: {made.address}\nkeystore: {path}",
    )


@app.command(name="list")
def list_() -> None:
    """The keys of this machine.

    Example: blackhole account list --json
    """
    import json

    from blackhole.chain.values import address as checked
    from blackhole.errors import InputError

    rows: list[dict[str, str]] = []
    for name, path in keystores().items():
        try:
            owner: str = checked("0x" + str(json.loads(path.read_text())["address"]).removeprefix("0x"))
        except (OSError, ValueError, KeyError, InputError):
            owner = "(not a keystore)"
        rows.append({"name": name, "address": owner, "keystore": str(path)})
    text = table(["NAME", "ADDRESS"], [(row["name"], row["address"]) for row in rows])
    emit({"accounts": rows}, text if rows else "No keys yet: blackhole account new")


@app.command()
def show(
    address: Annotated[str | None, typer.Argument(help="An address; default: your account.")] = None,
) -> None:
    """What an account holds: HOLE in the wallet and in the bank, and the chain's coin for gas.

    Example: blackhole account show
    """
    from blackhole.chain.values import address as checked
    from blackhole.cli.context import connect, require_address
    from blackhole.face import portal
    from blackhole.units import format_tokens

    who = checked(address if address is not None else require_address())
    with connect(signs=False) as blackhole:
        wallet = blackhole.tokens.balance(who)
        bank = blackhole.escrow.balance(who)
        coin = portal().run(blackhole.chain.balance(who))
    data = {"address": who, "wallet_wei": wallet, "bank_wei": bank, "coin_wei": coin}
    rows = [("wallet", hole(wallet)), ("bank", hole(bank)), ("coin for gas", format_tokens(coin))]
    emit(data, table(["ACCOUNT", who], rows))


@app.command()
def send(
    to: Annotated[str, typer.Argument(help="Who gets it.")],
    value: Annotated[str, typer.Argument(help='HOLE, for example "2.5".')],
) -> None:
    """Send HOLE from your wallet.

    Example: blackhole account send 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 2.5
    """
    from blackhole.chain.values import address as checked
    from blackhole.cli.context import amount, connect

    wei, whom = amount(value, least=1), checked(to)
    with connect() as blackhole:
        if current().dry_run:
            blackhole.tokens.transfer.dry_run(whom, wei)
            would(f"send {hole(wei)} to {whom}", to=whom, amount_wei=wei)
            return
        confirm(f"Send {hole(wei)} to {whom}?")
        receipt = blackhole.tokens.transfer(whom, wei)
    emit({"to": whom, "sent_wei": wei, "transaction": receipt.hash}, f"sent {hole(wei)} to {whom}")
