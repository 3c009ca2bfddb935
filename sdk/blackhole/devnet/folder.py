"""The run folder of a devnet: the one place where all its processes write."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

FOLDER_VARIABLE = "BLACKHOLE_DEVNET"
"""Names the run folder; without it it is `.blackhole/devnet` in the current folder."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths inside a run folder."""

    path: Path

    @classmethod
    def default(cls) -> RunFolder:
        """The run folder of this shell: `$BLACKHOLE_DEVNET` or `.blackhole/devnet` here."""
        named = cls.named()
        return cls((Path(named) if named else Path.cwd() / ".blackhole" / "devnet").absolute())

    @staticmethod
    def named() -> str | None:
        """What `$BLACKHOLE_DEVNET` says, None if nothing."""
        return os.environ.get(FOLDER_VARIABLE) or None

    @property
    def network(self) -> Path:
        """network.json: what clients need to find chain and contracts."""
        return self.path / "network.json"

    @property
    def processes(self) -> Path:
        """processes.json: pid and start time of everything that runs."""
        return self.path / "processes.json"

    @property
    def state(self) -> Path:
        """devnet.json: nodes, accounts and settings, as the supervisor wrote them."""
        return self.path / "devnet.json"

    @property
    def control(self) -> Path:
        """The supervisor's socket."""
        return self.path / "control.sock"

    @property
    def chain(self) -> Path:
        return self.path / "chain"

    @property
    def accounts(self) -> Path:
        """Key files (0600) of the funded accounts; one line of hex each."""
        return self.path / "accounts"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def log(self, name: str) -> Path:
        """The log of a process."""
        return self.logs / f"{name}.log"

    def node(self, number: int) -> Path:
        """The folder of node `number`, counted from 1 as on chain."""
        return self.path / "nodes" / str(number)

    def home(self, name: str) -> Path:
        """The `$BLACKHOLE_HOME` of an account."""
        return self.path / "homes" / name

    def create(self) -> None:
        """Make the folder; only its owner may look inside."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)
        for folder in (self.chain, self.accounts, self.logs):
            folder.mkdir(exist_ok=True)
