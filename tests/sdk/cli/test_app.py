"""The command line's conventions: lazy groups, options anywhere, one JSON object, documented exit codes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from blackhole.cli import context, output
from blackhole.cli.app import GROUPS, LazyGroup, hoist, run


@pytest.fixture(autouse=True)
def fresh_options() -> Iterator[None]:
    """A command line that runs in this process leaves its options behind."""
    yield
    context.use(context.Options())


def blackhole(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "blackhole.cli.app", *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def test_help_names_every_group_without_loading_one() -> None:
    code = "import sys, blackhole.cli.app as a; a.run(['--help']); print('LOADED', *sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True).stdout
    loaded = set(shown.split("LOADED")[1].split())
    assert all(f"\n  {name} " in shown for name in GROUPS)
    assert not loaded & {module for module, _ in GROUPS.values()}
    assert not loaded & {"rich", "aiohttp", "pydantic", "numpy", "cryptography"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["storage", "get", "--json", "X"], ["--json", "storage", "get", "X"]),
        (["a", "--network", "dev", "-y"], ["--network", "dev", "--yes", "a"]),
        (["a", "--network=dev"], ["--network=dev", "a"]),
        (["a", "--", "--json"], ["a", "--", "--json"]),
        (["a", "-vv"], ["--verbose", "--verbose", "a"]),
    ],
)
def test_global_options_may_stand_anywhere(given: list[str], expected: list[str]) -> None:
    assert hoist(given) == expected


def test_an_option_without_its_value_does_not_take_the_next_word() -> None:
    done = blackhole("escrow", "show", "--json", "--network")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["message"] == "--network needs a value."


def every_command() -> Iterator[tuple[str, ...]]:
    for name in GROUPS:
        group = LazyGroup().get_command(None, name)
        yield (name,)
        yield from ((name, command) for command in group.commands)


def test_every_command_teaches_with_an_example_and_names_the_global_options(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for command in every_command():
        assert run([*command, "--help"]) == 0
        shown = capsys.readouterr().out
        assert "Example" in shown or "In this order:" in shown, command
        assert "--network" in shown, command


def test_the_page_of_the_command_line_names_every_command_and_exit_code() -> None:
    from blackhole.errors import BlackholeError

    def tree(kind: type[BlackholeError]) -> set[int]:
        return {kind.exit_code}.union(*map(tree, kind.__subclasses__()))

    page = (Path(__file__).resolve().parents[3] / "docs" / "cli.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE))
    for name in GROUPS:
        commands = {command for group, *rest in every_command() if group == name for command in rest}
        assert set(re.findall(r"`(\w+)`", rows[name])) == commands, name
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert codes == tree(BlackholeError) | {0, output.INTERRUPTED}


def test_a_wrong_option_is_one_json_object_in_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for command in every_command():
        code = run([*command, "--no-such-option", "--json"])
        out, err = capsys.readouterr()
        error = json.loads(out)["error"]
        assert (code, err, error["code"]) == (2, "", "usage"), command
        assert set(error) == {"code", "message", "hint", "data"}
        assert error["hint"].startswith("See blackhole"), command


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_groups_commands_options_and_values(shell: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "laptop.json").write_text("{}")

    def complete(line: str) -> str:
        """What the shell is told for a line whose last word is being typed."""
        words = line.split(" ")
        environment = {**os.environ, "BLACKHOLE_HOME": str(tmp_path), "_BLACKHOLE_COMPLETE": f"complete_{shell}"}
        environment |= {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        environment |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
        code = "from blackhole.cli.app import main; main()"
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False).stdout

    assert "storage" in complete("blackhole sto")
    assert {"quote", "put", "repair"} <= set(re.findall(r"\w+", complete("blackhole storage ")))
    assert "--max-price" in complete("blackhole storage put --max")
    assert "std" in complete("blackhole storage put film --profile s")
    assert "laptop" in complete("blackhole --account l")
    assert "show" in complete("blackhole --json account sh")


def test_a_usage_error_is_one_json_object_and_code_2() -> None:
    done = blackhole("nowhere", "--json")
    assert done.returncode == 2
    assert done.stderr == ""
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "usage"
    assert "nowhere" in error["message"]
    assert error["hint"]


def test_a_usage_error_for_people_goes_to_stderr() -> None:
    done = blackhole("nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "next: " in done.stderr


def test_no_command_shows_help_and_code_2() -> None:
    done = blackhole()
    assert done.returncode == 2
    assert "Commands:" in done.stderr


def test_the_doctor_looks_when_called_alone() -> None:
    done = blackhole("doctor", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == (0 if answer["ok"] else 3)
    assert {"Python", "libraries", "network"} <= {finding["check"] for finding in answer["findings"]}


def test_amounts_in_wei_are_decimal_strings() -> None:
    assert output.plain({"cost_wei": 2**70, "shards": 3, "x": {"y_wei": [1]}}) == {
        "cost_wei": str(2**70),
        "shards": 3,
        "x": {"y_wei": ["1"]},
    }


def test_hole_shows_every_digit() -> None:
    assert output.hole(1_250_000_000_000_000_000) == "1.25 HOLE"
    assert output.hole(1) == "0.000000000000000001 HOLE"
    assert output.hole(-(10**18)) == "-1 HOLE"


def test_errors_carry_their_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    from blackhole import errors

    failure = errors.UsageError("It is wrong.", hint="Do it right.")
    assert output.fail(failure) == 2
    assert capsys.readouterr().err == "error: It is wrong.\n  next: Do it right.\n"
    assert output.fail(KeyboardInterrupt()) == output.INTERRUPTED


def test_a_question_nobody_can_answer_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from blackhole import errors

    with (tmp_path / "empty").open("w+") as silent:
        monkeypatch.setattr(sys, "stdin", silent)
        with pytest.raises(errors.UsageError):
            output.confirm("Spend it?")


def shell(line: str) -> subprocess.CompletedProcess[str]:
    whole = line.replace("blackhole", f"{sys.executable} -m blackhole.cli.app", 1)
    return subprocess.run(["bash", "-c", whole], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("how", ["", "--json"])
def test_an_answer_nobody_could_write_is_code_9_and_said_on_stderr(tmp_path: Path, how: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    done = shell(f"blackhole {how} storage cid {tmp_path / 'file'} > /dev/full")
    assert done.returncode == 9, done.stderr
    assert "error: No space is left for the output." in done.stderr
    assert "the command itself is done" in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_closed_streams_are_no_defect(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    assert shell(f"blackhole storage cid {tmp_path / 'file'} >&- 2>&-").returncode == 0
    assert shell("blackhole storage cid /none >&-").returncode == 2
    fed = shell("blackhole storage cid - <&-")
    assert fed.returncode == 2
    assert "stdin is closed" in fed.stderr


def test_run_returns_zero_for_help() -> None:
    assert run(["--help"]) == 0


def test_durations_are_told_in_the_unit_people_use() -> None:
    assert [output.span(each) for each in (45, 300, 7_200, 30 * 86_400)] == [
        "45 seconds",
        "5 minutes",
        "2 hours",
        "30 days",
    ]
