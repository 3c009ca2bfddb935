#!/usr/bin/env bash
# Says at once, before anything is installed, whether this machine can run the project.
set -u
python=${1:-python3}
fail() { printf 'blackhole: %s\n' "$*" >&2; exit 1; }

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) ;;
  *) command -v anvil >/dev/null && command -v forge >/dev/null && command -v cast >/dev/null ||
       fail "no packaged chain for $(uname -s) on $(uname -m): install foundry (anvil, forge, cast) and put it on PATH, then run make again" ;;
esac
command -v "$python" >/dev/null || fail "no $python on PATH: install Python 3.11, 3.12 or 3.13, or say which: make PYTHON=/path/to/python3"
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' ||
  fail "the locked packages are known to work on Python 3.11, 3.12 and 3.13, and this is $("$python" --version 2>&1): make PYTHON=python3.13"
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
  fail "$python has no venv module: on Debian and Ubuntu, apt-get install python3-venv"
