"""A person at a terminal: commands run on a pseudo-terminal, and what they ask for is typed."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Terminal:
    """One shell session: an environment, and the answers its user gives.

    Attributes:
        environment: of every command.
        answers: regular expression of a prompt → what is typed.
    """

    def __init__(self, environment: Mapping[str, str], answers: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self.answers = {re.compile(prompt.encode() + rb"\Z"): answer for prompt, answer in answers.items()}

    def type(self, line: str, *codes: int, seconds: float = 60) -> str:
        """Run a command line to its end, which is one of `codes` (default: 0); what the terminal shows."""
        session = Session(self, line)
        session.answer_until(lambda: False, seconds)
        found, screen = session.process.wait(5), session.screen
        session.close()
        assert found in (codes or (0,)), (line, found, screen)
        assert "Traceback" not in screen, screen
        return screen

    def start(self, line: str) -> Session:
        """Start a command line that goes on running."""
        return Session(self, line)


class Session:
    """One command on a terminal of its own."""

    def __init__(self, terminal: Terminal, line: str) -> None:
        self._answers = terminal.answers
        self._seen = b""
        self._answered = 0
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            ["bash", "-c", f"exec {line}"], stdin=slave, stdout=slave, stderr=slave, env=terminal.environment,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)

    @property
    def screen(self) -> str:
        """Everything shown so far."""
        return self._seen.decode(errors="replace").replace("\r\n", "\n")

    def answer_until(self, done: Callable[[], bool], seconds: float) -> None:
        """Read what is shown and type what is asked for, until the command ends or `done()`."""
        until = time.monotonic() + seconds
        while not done():
            if time.monotonic() > until:
                self.process.kill()
                raise AssertionError(f"nothing more within {seconds} s:\n{self.screen}")
            if not select.select([self._master], [], [], 0.1)[0]:
                continue
            try:
                part = os.read(self._master, 65536)
            except OSError:  # the last process that held the terminal has ended
                break
            if not part:
                break
            self._seen += part
            for prompt, answer in self._answers.items():
                if prompt.search(self._seen, self._answered):
                    self._answered = len(self._seen)
                    os.write(self._master, answer.encode() + b"\n")

    def close(self) -> None:
        """Give the terminal back."""
        os.close(self._master)


def documented(page: str, heading: str) -> list[str]:
    """The commands and exports a section of a page shows, as they stand there, without their comments."""
    text = (ROOT / page).read_text()
    section = re.split(rf"^## {re.escape(heading)}$", text, flags=re.MULTILINE)[1].split("\n## ")[0]
    lines = [line.strip() for line in section.splitlines() if line.startswith("    ")]
    return [re.split(r"\s+#\s", line)[0] for line in lines if line.startswith(("blackhole ", "export "))]
