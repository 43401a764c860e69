# `make` lists the targets. PYTHON and PROFILE choose what they run on:
#   make test PYTHON=python3.13            another interpreter
#   make test PROFILE=bookworm             numpy<2, as Raspberry Pi OS Bookworm's camera packages need
#   make test-arm64 ARM64='--board pi5'    what to emulate, see docs/arm64.md
PYTHON  ?= python3
PROFILE ?= default
VENV    ?= .venv$(if $(filter-out default,$(PROFILE)),-$(PROFILE))
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready-$(PROFILE)
OUT     ?= out
RELEASE ?= bookworm

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-arm64 test-install lint types check torture clients fuzz benchmarks lock clean

help: ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(READY) ## Make the virtual environment with all CPU runtimes, all outputs and the tools for the tests

$(READY): requirements/$(PROFILE).txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "piaccel needs Python 3.11 or newer, $(PYTHON) is older: make PYTHON=python3.11 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/$(PROFILE).txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## Predict and benchmark the demo model on all runtimes, then run it on a camera's frames; writes a report
	@mkdir -p $(OUT)
	$(BIN)/piaccel predict demo/bundle demo/images --backend litert --top 1
	$(BIN)/piaccel bench demo/bundle --backend all --threads 1 --image demo/images --duration 1 --repeats 3 --json $(OUT)/report.json --html $(OUT)/report.html
	$(BIN)/piaccel run --source synthetic:demo/images,fps=30 --model demo/bundle --backend litert --sink jsonl:$(OUT)/results.jsonl --deadline 80ms --seconds 5
	@echo "The report: $(CURDIR)/$(OUT)/report.html, the pipeline's results: $(OUT)/results.jsonl"

test: $(READY) ## Run all tests; TESTS='tests/cli -x' for some
	$(BIN)/python -m pytest $(TESTS)

test-arm64: $(READY) ## Run tests with the aarch64 wheels on emulated boards (minutes)
	$(BIN)/python -m tests.arm64 --profile $(PROFILE) $(ARM64)

test-install: $(READY) ## Try packaging/install.sh in a clean arm64 Debian under qemu-user; RELEASE=trixie, as root (long)
	PYTHON=$(BIN)/python packaging/test_install.sh $(RELEASE)

lint: $(READY) ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## Check types
	$(BIN)/mypy

check: lint types test ## Everything a change must pass

torture: $(READY) ## The long tests of the service in full: 500 swaps, overload, power cuts (about half an hour)
	PIACCEL_TORTURE=1 $(BIN)/python -m pytest -s tests/torture tests/serving/test_power_loss.py

clients: ## Make the environment of the protocol's reference clients that some tests use
	test -x .venv-clients/bin/python || $(PYTHON) -m venv .venv-clients
	.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check -r tests/serving/clients/requirements.txt -r tests/serving/clients/requirements-kserve.txt
	.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check --no-deps kserve==0.21.0

fuzz: $(READY) ## Open thousands of mutated files per format (long)
	PIACCEL_FUZZ_CASES=5000 $(BIN)/python -m pytest -s tests/fuzz

benchmarks: $(READY) ## Measure piaccel's own cost against the bare runtimes and their tools (minutes)
	$(BIN)/python -m benchmarks

COMPILE = $(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --extra runtimes --extra run --extra serve --extra grpc --extra trace --group dev pyproject.toml
lock: $(READY) ## Resolve the lock files anew
	$(BIN)/python -m pip install --quiet uv
	$(COMPILE) --universal -c requirements/default.in -o requirements/default.txt
	$(COMPILE) --python-platform aarch64-manylinux_2_35 -c requirements/bookworm.in -o requirements/bookworm.txt

clean: ## Remove what the other targets made
	rm -rf .venv .venv-* $(OUT) build/arm64 build/install .mypy_cache .ruff_cache .pytest_cache .hypothesis
