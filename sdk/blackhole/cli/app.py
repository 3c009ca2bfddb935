"""`blackhole`: the root of the command line.

Groups are named here with their help and imported only when one of their commands runs, so `blackhole --help` stays
fast. Global options may stand anywhere on the line. Exit codes are those of `blackhole.errors` (docs/cli.md).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from blackhole.cli import context, output

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUPS: dict[str, tuple[str, str]] = {
    "account": ("blackhole.cli.account", "Keys and what they hold."),
    "escrow": ("blackhole.cli.escrow", "Your balance in the bank: deposit, withdraw, allow, lanes."),
    "storage": ("blackhole.cli.storage", "Store files, read them back, keep them healthy."),
    "node": ("blackhole.cli.node", "Run a node and earn."),
    "devnet": ("blackhole.cli.devnet", "A whole network of real processes on this machine."),
    "doctor": ("blackhole.cli.doctor", "Find what is wrong here, and the command that mends it."),
}
"""Group name: (module with `app: typer.Typer`, help line)."""

EVERYWHERE = "Also: --network --account --json --yes --dry-run -v, as in blackhole --help."
"""Last line of every command's help."""

_FLAGS = {"--json": "--json", "--yes": "--yes", "-y": "--yes", "--dry-run": "--dry-run"}
_FLAGS |= {"-v": "--verbose", "--verbose": "--verbose", "-vv": "--verbose"}
_VALUES = ("--network", "--account")


def hoist(arguments: Sequence[str]) -> list[str]:
    """Move global options to the front, wherever they stand; everything after `--` is left alone.

    Raises UsageError for an option at the end that lacks its value: it must not take the next word for it.
    """
    front: list[str] = []
    rest: list[str] = []
    stream: Iterator[str] = iter(arguments)
    for argument in stream:
        if argument == "--":
            rest += [argument, *stream]
        elif argument in _FLAGS:
            front += [_FLAGS[argument]] * (2 if argument == "-vv" else 1)
        elif argument in _VALUES:
            value = next(stream, None)
            if value is None:
                from blackhole.errors import UsageError

                raise UsageError(f"{argument} needs a value.", hint="See blackhole --help.")
            front += [argument, value]
        elif argument.startswith(tuple(f"{name}=" for name in _VALUES)):
            front.append(argument)
        else:
            rest.append(argument)
    return front + rest


class LazyGroup(TyperGroup):
    """A group whose members are imported when they are invoked or asked to complete."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(GROUPS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in GROUPS:
            return None
        if cmd_name not in self.commands:
            group: typer.Typer = import_module(GROUPS[cmd_name][0]).app
            # One look for all groups, no import of rich, completion installed from the root only.
            group.rich_markup_mode = None
            group._add_completion = False
            # A group that is a command itself (doctor) runs when it stands alone.
            alone = group.registered_callback is not None and group.registered_callback.invoke_without_command is True
            group.info.no_args_is_help = not alone
            if not alone:
                group.info.help = GROUPS[cmd_name][1]
            self.commands[cmd_name] = made = typer.main.get_group(group)
            for command in made.commands.values():
                command.epilog = EVERYWHERE
            made.epilog = f"{made.epilog}\n\n{EVERYWHERE}" if made.epilog else EVERYWHERE
        return self.commands[cmd_name]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in GROUPS.items()])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if ctx.resilient_parsing and args and args[-1] in _VALUES:
            args = args[:-1]  # it is just being typed
        return super().parse_args(ctx, hoist(args))


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start here: blackhole devnet up --detach; blackhole storage put FILE; blackhole storage get CAP",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"blackhole {version('blackhole')}")
        raise typer.Exit


@app.callback()
def root(
    network: Annotated[
        str | None,
        typer.Option(envvar="BLACKHOLE_NETWORK", help="Network: a name, a network.json or a run folder."),
    ] = None,
    account: Annotated[
        str | None,
        typer.Option(
            envvar="BLACKHOLE_ACCOUNT",
            help="Whose key signs: a name of `account list`.",
            autocompletion=lambda: list(context.keystores()),
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, errors included.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending or overwriting.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and what it costs.")] = False,
    verbose: Annotated[int, typer.Option("--verbose", "-v", count=True, help="Say more on stderr.")] = 0,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Blackhole: buy and sell storage, and pay only for what was provably delivered."""
    options = context.Options(network=network, account=account, json=as_json, yes=yes, dry_run=dry_run, verbose=verbose)
    context.use(options)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit the process with its documented code."""
    raw = list(sys.argv[1:] if arguments is None else arguments)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller (`>&-`): nobody wants to hear
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for the life of the process
    # Parsing itself can fail, and that failure must be JSON too when JSON was asked for.
    context.use(context.Options(json="--json" in raw))
    sys.exit(run(raw))


def run(arguments: Sequence[str]) -> int:
    """Run one command line in this process and return its exit code."""
    try:
        result = app(list(arguments), prog_name="blackhole", standalone_mode=False)
        code = result if isinstance(result, int) else 0
        if code == output.INTERRUPTED:  # the parser turns Ctrl-C into a bare exit code
            code = output.fail(KeyboardInterrupt())
        output.flush()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException as error:  # noqa: BLE001 every error becomes a message and a documented code
        code = output.fail(error)
    return code


if __name__ == "__main__":
    main()
