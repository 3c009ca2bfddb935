"""The pytest plugin costs nothing until a test uses it."""

from __future__ import annotations

import subprocess
import sys


def test_the_plugin_imports_nothing_of_blackhole_until_it_is_used() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import blackhole.testing;"
        "print(sorted(set(sys.modules) - before))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert found.strip() == "['blackhole', 'blackhole.testing']"
