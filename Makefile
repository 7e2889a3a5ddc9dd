# Coatcheck. `make` lists what there is.
PORT ?= 8000
JOBS ?= 2
BIN := .venv/bin
PYTHON_CODE = backend tests $(wildcard mobile_demo)
.DEFAULT_GOAL := help
MINUTES ?= 10
MAKEFLAGS += --no-print-directory
# Without compiled modules each of the many processes that tests start would take seconds longer.
export PYTHONDONTWRITEBYTECODE :=

##@ Use
run: .venv-run ## serve on http://localhost:8000 (PORT=... for another port)
	@exec $(BIN)/coatcheck serve --port $(PORT)

mobile: .venv-all .system ## open the phone app's window against a running `make run`
	@exec $(BIN)/python -m mobile_demo --server http://localhost:$(PORT)

##@ Develop
test: .venv-all .system ## run all tests (ARGS="-k refresh" for some, JOBS=0 for one at a time)
	@$(BIN)/python -m pytest -n $(JOBS) $(if $(CI),-p tests.no_skips) $(ARGS)

check: .venv-all ## formatting, lint, types, and who may import what
	@$(BIN)/ruff format --check $(PYTHON_CODE)
	@$(BIN)/ruff check $(PYTHON_CODE)
	@$(BIN)/mypy backend/coatcheck tests $(wildcard mobile_demo)
	@$(BIN)/lint-imports --no-logo

fmt: .venv-all ## format the code and mend what can be mended by itself
	@$(BIN)/ruff format $(PYTHON_CODE)
	@$(BIN)/ruff check --fix $(PYTHON_CODE)
	@$(BIN)/ruff format --quiet $(PYTHON_CODE)

bench: .venv-all ## measure what the design promises (ARGS=--help lists the stages)
	@$(BIN)/python -m tests.load.bench $(ARGS)

soak: .venv-all ## many clients, random faults, then a verdict (MINUTES=10, ARGS="--seed 7")
	@$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) $(ARGS)

containers: .venv-all ## bring compose.yaml up for real and look at it (needs `docker compose`; as root)
	@$(BIN)/python -m tests.proxy.containers

screens: .venv-all .system ## take the pictures in docs/ anew, from the running apps
	@$(BIN)/python -m tests.browser.pictures docs/screens/spa
	@$(BIN)/python -m tests.browser.page_pictures docs/screens/pages
	@$(BIN)/python -m tests.mobile.screens

##@ Housekeeping
venv: .venv-all ## make .venv hold exactly what requirements.lock says

lock: .venv-all ## renew the lock files (ARGS=--upgrade for newer versions)
	@.ci/lock $(ARGS)

clean: ## remove everything that was made, except your data in var/
	rm -rf .venv dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find backend tests -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## show this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.system:
	@.ci/system

.venv-run .venv-all: .venv-%:
	@.ci/venv $*

.PHONY: .system run mobile screens test check fmt bench soak containers venv lock clean help .venv-run .venv-all
