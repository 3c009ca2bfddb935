"""What the global options of one command line say, and the connection they lead to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class Options:
    """The global options.

    Attributes:
        network: a network's name, its network.json or a devnet's run folder; None: `BLACKHOLE_NETWORK` or the default.
        json: one JSON object on stdout instead of text.
        yes: answer every question with yes.
        dry_run: do nothing, say what would be done.
        verbose: 1 explains, 2 also shows the traceback of an internal error.
    """

    network: str | None = None
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
