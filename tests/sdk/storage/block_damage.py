"""Damage to what nodes keep."""

from __future__ import annotations

from pathlib import Path

from blackhole.devnet.handle import Devnet


class Damage:
    """Blocks of nodes with a bit flipped."""

    def __init__(self, network: Devnet) -> None:
        self._network = network
        self._whole: dict[Path, bytes] = {}

    def __call__(self, node: int) -> None:
        """Flip a bit in every block a node keeps."""
        for path in (self._network.node(node).folder / "store").rglob("*"):
            if path.is_file() and "blocks" in path.parts and path.stat().st_size > 2048:
                raw = self._whole[path] = path.read_bytes()
                path.write_bytes(raw[:100] + bytes([raw[100] ^ 1]) + raw[101:])

    def mend(self) -> None:
        """Give the nodes their bytes back."""
        for path, raw in self._whole.items():
            if path.exists():
                path.write_bytes(raw)
        self._whole.clear()
