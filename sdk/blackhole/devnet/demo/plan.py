"""What a run of the demo needs, refused before anything starts when it is not there."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from blackhole.devnet.settings import require_room
from blackhole.errors import InputError
from blackhole.storage.profiles import PROFILES, Profile

SAMPLE_BYTES = 64 * 2**20
"""Size of the file that is made when none is named."""
SHARDED_BYTES = 2**20
"""Smaller objects share segments or lie in their manifests, of which every node has a copy."""
COMPANION_BYTES = 2 * 2**20
"""Size of the object that is stored beside a small file, so that there are shards to lose and to repair."""
CHEATS = 2
"""Nodes that cheat: one invents bytes, one kept nothing and asks its peers."""
PAUSED = 1
"""Nodes that are killed and come back."""
LEAVING = 1
"""Nodes that drain and leave; each needs a spare for its pieces."""


@dataclass(frozen=True)
class Plan:
    """What was asked for.

    Attributes:
        file: the file to store; None: make one.
        nodes: storage nodes of the network.
        kill: nodes killed for good.
        profile: name of the erasure profile.
        json: where the report goes, None: nowhere.
        keep: leave network and run folder in place.
    """

    file: Path | None
    nodes: int
    kill: int
    profile: str
    json: Path | None
    keep: bool

    @property
    def killed(self) -> str:
        """Whom it kills, in words."""
        return f"{self.kill} node{'s' * (self.kill != 1)}"

    @property
    def shape(self) -> Profile:
        """The erasure profile. Raises InputError when there is none of that name."""
        if self.profile not in PROFILES:
            raise InputError(f"There is no profile {self.profile}.", hint=f"Choose one of: {', '.join(PROFILES)}.")
        return PROFILES[self.profile]

    def refuse(self, run: Path) -> int:
        """Check everything that can be known now.

        Args:
            run: the run folder to be.

        Returns:
            The file's size in bytes.

        Raises:
            InputError: too few nodes, too many to kill, no such file; with the number needed.
            DevnetError: too little disk or memory.
        """
        shape = self.shape
        lost = self.kill + CHEATS
        if self.kill < 1:
            raise InputError("The demo kills at least one node.", hint="KILL=1 or more.")
        most = shape.n - shape.k - CHEATS - PAUSED
        if self.kill > most:
            raise InputError(
                f"With {self.kill} nodes dead, {CHEATS} cheating and {PAUSED} away, fewer than {shape.k} of {shape.n} "
                f"shards are left to read: profile {shape.name} bears KILL={most}.",
                hint=f"KILL={most} or fewer, or another PROFILE.",
                data={"kill_max": most},
            )
        needed = shape.n + lost + LEAVING
        if self.nodes < needed:
            raise InputError(
                f"Profile {shape.name} stores on {shape.n} nodes, {lost} of them will be replaced and {LEAVING} "
                f"leaves: {needed} nodes are needed, not {self.nodes}.",
                hint=f"NODES={needed} or more.",
                data={"nodes_needed": needed},
            )
        size = SAMPLE_BYTES if self.file is None else self._size(self.file)
        rebuilt = -(-size * (lost + LEAVING) // shape.k)
        stored = -(-size * shape.n // shape.k)
        # The spool, the rebuilt shards, and two copies read back; the sample file itself when we make it.
        own = stored + rebuilt + 2 * size
        require_room(
            run, nodes=self.nodes, file_bytes=size if self.file is None else 0, stored_bytes=stored, own_bytes=own
        )
        return size

    @staticmethod
    def _size(file: Path) -> int:
        from blackhole.storage.sources import open_source

        source = open_source(file)
        try:
            assert source.size is not None
            return source.size
        finally:
            source.close()


def make_sample(path: Path, size: int = SAMPLE_BYTES) -> None:
    """Write a file of random bytes: nothing in it can be compressed or guessed."""
    with path.open("wb") as file:
        left = size
        while left:
            left -= file.write(secrets.token_bytes(min(left, 2**22)))
