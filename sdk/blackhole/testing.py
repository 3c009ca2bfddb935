"""A pytest plugin: a Blackhole network of real processes as a fixture.

Installed with the package; it imports nothing until a test asks for one of its fixtures.
"""

from __future__ import annotations
