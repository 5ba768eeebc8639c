# EdgeRay. `make demo` shows it, `make test` proves it, `make help` lists the rest.
#
# Everything is installed into .venv, with the exact versions of constraints.txt. What you may set:
#   PYTHON=python3.12      the Python to build .venv with (3.10 to 3.13)
#   TORCH_INDEX=URL        a package index with CPU builds of torch (else your pip's default decides)
#   PIP_EXTRA_INDEX=URL    one more package index for everything else
#   PYTEST_ARGS="-k codec" which tests to run

PYTHON ?= python3
TORCH_INDEX ?=
PIP_EXTRA_INDEX ?=
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
TORCH := $(shell grep '^torch==' constraints.txt)

# ip and tc lie in sbin, which Debian leaves out of an ordinary user's PATH.
export PATH := $(PATH):/usr/sbin:/sbin

.DEFAULT_GOAL := help
.PHONY: help demo test check bench setup assets tools clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: tools assets  ## bring up five emulated devices, compare six policies on the video, save the report, tear down
	@$(BIN)/edgeray demo

test: tools assets check  ## every check, then every test
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(STAMP)  ## style, types and the import contract
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: tools assets  ## print what the data plane and the planners reach
	@set -e; for file in tests/benchmarks/[!_]*.py; do echo "== $$file"; \
		$(BIN)/python -m tests.benchmarks.$$(basename "$$file" .py); done

setup: $(STAMP)  ## install into .venv

assets: $(STAMP)  ## fetch the video and the weights into ~/.cache/edgeray
	@$(BIN)/python -m edgeray.assets fetch

clean:  ## take the testbed down and remove .venv, caches and build output (reports stay)
	@if [ -x $(BIN)/edgeray ]; then $(BIN)/edgeray down; fi
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find apps edgeray policies tests -name __pycache__ -type d -prune -exec rm -rf {} +

tools:
	@for tool in ip tc; do command -v $$tool >/dev/null || { \
		echo "$$tool is missing. EdgeRay shapes and routes flows with it. Debian, Ubuntu: apt install iproute2" >&2; \
		exit 2; }; done

# torch goes first, by its exact version: an open range can bring gigabytes of CUDA libraries.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV): a few minutes the first time." >&2
	@$(PIP_INSTALL) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) '$(TORCH)'
	@$(PIP_INSTALL) $(if $(PIP_EXTRA_INDEX),--extra-index-url $(PIP_EXTRA_INDEX)) -e '.[dev]'
	@touch $@

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "$(PYTHON) is missing. EdgeRay needs Python 3.10 to 3.13: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "$(PYTHON) is $$($(PYTHON) --version 2>&1). EdgeRay needs Python 3.10 to 3.13:" \
			"make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) has no venv module. Debian, Ubuntu: apt install python3-venv" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)
