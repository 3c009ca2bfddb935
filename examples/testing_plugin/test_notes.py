"""An application, a notebook that keeps its notes on Blackhole, and its tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blackhole.client import Blackhole
    from blackhole.devnet.handle import Devnet


class Notebook:
    """Notes by title; each is an object of its own."""

    def __init__(self, client: Blackhole) -> None:
        self.client = client
        self.caps: dict[str, str] = {}

    def write(self, title: str, text: str) -> None:
        """Store a note for thirty periods, as long as nothing else is said."""
        self.caps[title] = self.client.storage.put(text.encode(), name=title, profile="dev").cap

    def read(self, title: str) -> str:
        """Fetch a note."""
        data = self.client.storage.get(self.caps[title]).data
        assert data is not None
        return data.decode()


def test_a_note_comes_back(blackhole: Blackhole) -> None:
    notebook = Notebook(blackhole)
    notebook.write("groceries", "milk, bread")
    assert notebook.read("groceries") == "milk, bread"


def test_a_note_survives_dead_nodes(blackhole: Blackhole, devnet: Devnet) -> None:
    notebook = Notebook(blackhole)
    notebook.write("plan", "kill three nodes")
    for node in (2, 5, 7):
        devnet.kill(node)
    try:
        assert notebook.read("plan") == "kill three nodes"
    finally:
        for node in (2, 5, 7):
            devnet.start(node)
