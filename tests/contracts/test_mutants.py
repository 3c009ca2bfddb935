"""The mutants still fit the contracts: running them takes minutes, noticing that one fits no more takes none."""

from __future__ import annotations

from pathlib import Path

from mutants.run import ROOT, SUITES, load


def test_every_mutant_weakens_one_text_that_is_there() -> None:
    mutants = load(Path(__file__).parent / "mutants" / "mutants.toml")
    assert len(mutants) > 40
    for mutant in mutants:
        assert (ROOT / mutant.file).read_text().count(mutant.find) == 1, mutant.name
        assert mutant.find != mutant.replace, mutant.name
        assert all((ROOT / SUITES / test).is_file() for test in mutant.tests), mutant.name
