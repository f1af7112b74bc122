# Everything happens in .venv, made with PYTHON (make PYTHON=python3.12 …) from the locked requirements.
# Settings (SCIM_*) are taken from the environment: SCIM_BIND=127.0.0.1:9000 make run

PYTHON = python3
USERS = 100000
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
BIN = .venv/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
# setuptools warns about every editable installation.
EDITABLE = PYTHONWARNINGS=ignore $(PIP) --no-deps --no-build-isolation --editable .
COMPILE = CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe \
    --no-strip-extras --no-emit-options --no-emit-index-url --build-deps-for editable setup.cfg
# The tests start the program hundreds of times: it must not be compiled each time.
TEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest

.DEFAULT_GOAL = help
.PHONY: help run test crash bench lint lock clean

help: ## Show this help.
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' Makefile

run: .venv/.run ## Set everything up and serve; the first start makes a token and shows it.
	@set -e; PATH="$(CURDIR)/$(BIN):$$PATH"; \
	scim-server init; \
	base=$$(scim-server check 2>/dev/null | sed -n 's/^SCIM_BASE_URL=//p'); \
	echo "Base URL: $$base"; \
	if [ -z "$$(scim-server token list)" ]; then \
	    token=$$(scim-server token create --name first --scope admin); \
	    echo "Token, shown this once: $$token"; \
	    echo "Create a user:"; \
	    echo "curl -X POST '$$base/Users' -H 'Authorization: Bearer $$token'" \
	        "-H 'Content-Type: application/scim+json'" \
	        "-d '{\"schemas\": [\"urn:ietf:params:scim:schemas:core:2.0:User\"], \"userName\": \"bjensen\"}'"; \
	else \
	    echo "There are tokens already; $(BIN)/scim-server token create --name NAME makes another."; \
	fi; \
	exec scim-server serve

test: .venv/.dev ## Set everything up and run the whole test suite.
	$(TEST) --cov --numprocesses auto --maxprocesses 4 --dist worksteal

crash: .venv/.dev ## Kill writers and cut the power 10,000 times, and race for long; takes half an hour.
	CRASH_KILLS=10000 CRASH_CUTS=10000 CRASH_SERVER_KILLS=200 RACE_ROUNDS=2000 RACE_OPERATIONS=1000 \
	    $(TEST) --durations=10 tests/crash

bench: .venv-bench/.done ## Measure the server beside Flask, SQL and its peers, and write docs/benchmarks.md.
	.venv-bench/bin/python -m benchmarks --users $(USERS)

lint: .venv/.dev ## Check style, types and the arrows between the packages.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

lock: .venv/.dev ## Renew requirements*.txt from setup.cfg.
	@test "$(VERSION)" = 3.11 || { echo "Lock for the oldest Python: make lock PYTHON=python3.11" >&2; exit 1; }
	$(COMPILE) --output-file requirements.txt
	$(COMPILE) --output-file requirements-dev.txt --extra test --extra lint --extra build
	$(COMPILE) --output-file requirements-bench.txt --extra bench --constraint requirements.txt

clean: ## Remove everything that was made, except the data.
	rm -rf .venv .venv-bench build dist *.egg-info .coverage* .hypothesis .*_cache
	find benchmarks scim_server schemas tests -name __pycache__ -prune -exec rm -rf {} +

# The stamps stand inside .venv, so another version of Python starts anew.
.venv/.python-$(VERSION):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed.")'
	$(PYTHON) -m venv --clear .venv
	@touch $@

.venv/.run: .venv/.python-$(VERSION) requirements.txt setup.cfg pyproject.toml
	$(PIP) --require-hashes --requirement requirements.txt
	$(EDITABLE)
	@touch $@

.venv/.dev: .venv/.python-$(VERSION) requirements-dev.txt setup.cfg pyproject.toml
	$(PIP) --require-hashes --requirement requirements-dev.txt
	$(EDITABLE)
	@touch $@

# The peers have dependencies of their own, which nothing else needs.
.venv-bench/.done: requirements-bench.txt setup.cfg pyproject.toml
	$(PYTHON) -m venv --clear .venv-bench
	$(subst $(BIN),.venv-bench/bin,$(PIP)) --require-hashes --requirement requirements-bench.txt
	$(subst $(BIN),.venv-bench/bin,$(EDITABLE))
	@touch $@
