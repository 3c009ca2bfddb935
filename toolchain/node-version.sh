#!/usr/bin/env bash
# True when the Node.js on PATH is new enough for npm and the compiler.
command -v node >/dev/null && [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] 2>/dev/null
