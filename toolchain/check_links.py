"""Every relative link, anchor and named test in the Markdown files points at something that exists."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = {"node_modules", "dist", "out", "cache", "build"}
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|!\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
TEST = re.compile(r"`((?:tests|examples|benchmarks)/[^`\s:]+)(?:::?([A-Za-z0-9_:]+))?`")


def markdown_files() -> list[Path]:
    folders = [path for path in ROOT.iterdir() if path.is_dir() and path.name not in SKIPPED and path.name[0] != "."]
    found = (file for folder in folders for file in folder.rglob("*.md"))
    # Ape keeps copies of its dependencies in a hidden folder beside the contracts.
    return sorted([*ROOT.glob("*.md"), *(file for file in found if ".cache" not in file.parts)])


def slug(heading: str) -> str:
    """The anchor a heading gets on the usual forges."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.replace("`", "")).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(text: str) -> set[str]:
    seen: dict[str, int] = {}
    found = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        name = slug(heading)
        count = seen.get(name, 0)
        seen[name] = count + 1
        found.add(f"{name}-{count}" if count else name)
    return found | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))


def wrong_links(path: Path, text: str) -> list[str]:
    wrong = []
    for match in LINK.finditer(CODE.sub("", FENCE.sub("", text))):
        target = match.group(1) or match.group(2)
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists():
            wrong.append(f"{target}: no such file")
        elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text()):
            wrong.append(f"{target}: no such heading")
    return wrong


def wrong_tests(text: str) -> list[str]:
    """Named tests and files: `tests/sdk/test_x.py::test_y`, `tests/contracts/forge/X.t.sol:test_y`, `examples/x.py`."""
    wrong = []
    for name, tests in TEST.findall(FENCE.sub("", text)):
        if re.search(r"[*<{]", name):
            if not list(ROOT.glob(name)) and "*" in name:
                wrong.append(f"{name}: matches nothing")
            continue
        file = ROOT / name
        if not file.exists():
            wrong.append(f"{name}: no such file")
            continue
        for test in filter(None, tests.split(":")):
            if not re.search(rf"\b(?:def|class|function|contract)\s+{re.escape(test)}\b", file.read_text()):
                wrong.append(f"{name}: no {test} in it")
    return wrong


def main() -> int:
    wrong = []
    for path in markdown_files():
        text = path.read_text()
        wrong += [f"{path.relative_to(ROOT)}: {finding}" for finding in [*wrong_links(path, text), *wrong_tests(text)]]
    for finding in wrong:
        print(finding, file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
