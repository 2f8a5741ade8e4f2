# `make serve` and `make test` are all that a fresh machine with Python 3.11+ and pip needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROJECT ?= examples/digits-cnn

.PHONY: serve train test test-slow lint types check lock check-clients check-api clean help

help:  ## Show the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Quorate needs Python 3.11 or newer; set PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.serve: $(VENV)/.made requirements/serve.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --requirement requirements/serve.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.made requirements/dev.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@ $(VENV)/.serve

serve: $(VENV)/.serve  ## Train the digits pool if it is not there, then serve it until Ctrl-C.
	@test -f $(PROJECT)/.quorate/report.json || $(BIN)/quorate train $(PROJECT)
	@exec $(BIN)/quorate serve $(PROJECT)

train: $(VENV)/.serve  ## Train the pool anew where data or code changed.
	$(BIN)/quorate train $(PROJECT)

# A file's tests run in one process, in which they share what the file starts; files in their order, so that the
# slow ones of tests/e2e do not come last. Bytecode is kept even where the environment says otherwise: hundreds of
# processes start, and each would compile the package anew. All cores are taken, so more threads for linear algebra
# would only wait for each other.
test test-slow: export PYTHONDONTWRITEBYTECODE :=
test test-slow: export OPENBLAS_NUM_THREADS := 1
test test-slow: export OMP_NUM_THREADS := 1
JOBS ?= auto
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

test: $(VENV)/.dev  ## Run the test suite, but for what takes minutes.
	$(PYTEST) -m 'not slow' $(ARGS)

test-slow: $(VENV)/.dev  ## Run the rest of it: pages in a browser, killed processes, sick disks, whole examples.
	$(PYTEST) -m slow $(ARGS)

lint: $(VENV)/.dev  ## Lint and check the format.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## Check the types, strictly.
	$(BIN)/mypy

browser:  ## Install Chromium for the tests of the page, which are skipped without it (Debian and its kin).
	@command -v chromium >/dev/null || { $(SUDO) apt-get update -q && \
	$(SUDO) apt-get install -q -y --no-install-recommends chromium; } >build-browser.log 2>&1 || { tail -5 build-browser.log; exit 1; }
	@rm -f build-browser.log
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# Not installed but unpacked: Debian's package would start a server of its own.
PROMTOOL := .venvs/promtool/usr/bin/promtool
check-alerts: $(VENV)/.dev  ## Check the dashboard and the alert rules with promtool, fetched where apt has it.
	@command -v promtool >/dev/null || test -x $(PROMTOOL) || ( mkdir -p .venvs/promtool && cd .venvs/promtool && \
	$(SUDO) apt-get update -q && apt-get download -q prometheus && dpkg-deb -x prometheus_*.deb . && \
	rm prometheus_*.deb usr/bin/prometheus ) >build-promtool.log 2>&1 || \
	{ tail -5 build-promtool.log; echo "promtool could not be fetched; what needs it is skipped."; }
	@rm -f build-promtool.log
	$(BIN)/python -m pytest -q tests/deploy

check: lint types test test-slow  ## Everything CI runs.

.venvs/%/.made: requirements/clients-%.txt
	$(PYTHON) -m venv .venvs/$*
	.venvs/$*/bin/python -m pip install --quiet --requirement $<
	@touch $@

check-clients: $(VENV)/.dev .venvs/triton/.made .venvs/kserve/.made  ## Let stock protocol clients talk to a server.
	$(BIN)/python tests/clients/run.py clients

check-api: $(VENV)/.dev .venvs/schemathesis/.made  ## Hold both ports against their OpenAPI documents.
	$(BIN)/python tests/clients/run.py api

lock: $(VENV)/.made  ## Pin all dependencies anew.
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile $(LOCK) pyproject.toml $(EXTRAS) --extra vw --extra tflite --group dev --output-file requirements/dev.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml $(EXTRAS) --constraints requirements/dev.txt --output-file requirements/serve.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --constraints requirements/dev.txt --output-file requirements/core.txt
	@# PyTorch pins its own CUDA parts exactly, and its CPU build has none.
	sed -i.bak -E -e '/^(nvidia-|cuda-|triton)/d' -e '/^torch==.*< .3\.12/d' -e 's/^(torch==[0-9.]+).*/\1/' $(TORCHED) && rm $(TORCHED:=.bak)
TORCHED := requirements/dev.txt requirements/serve.txt
EXTRAS := --extra train --extra torch --extra console --extra client --extra grpc --extra arrow --extra otel
LOCK := --quiet --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-annotate --no-header

clean:  ## Remove what was built; models and decisions stay.
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: browser check-alerts bench-peers bench-footprint bench-digits

PEERS := $(patsubst %,.venvs/bench-%/.made,flask litserve mlserver bentoml ray)

# A peer that cannot be installed is a row of the table that says so; the next run tries again.
.venvs/bench-%/.made: requirements/bench-%.txt
	@mkdir -p $(@D)
	@if $(PYTHON) -m venv $(@D) && $(@D)/bin/python -m pip install --quiet --disable-pip-version-check \
	  --requirement $< 2>$(@D)/failed.txt; then rm -f $(@D)/failed.txt; touch $@; else tail -3 $(@D)/failed.txt; fi

bench-peers: $(VENV)/.dev $(PEERS)  ## Compare with other servers and with the limit, in one table; ARGS="--workload a --pairs 10" for one.
	$(BIN)/python -m benchmarks.peers $(ARGS)

lock-bench: $(VENV)/.made  ## Pin the environments of the peers anew.
	$(BIN)/python -m pip install --quiet uv
	@grep -E '^(onnxruntime|msgspec)==' requirements/dev.txt > requirements/.same
	printf '%s\n' litserve onnxruntime numpy msgspec | $(BIN)/uv pip compile $(LOCK) -c requirements/.same - -o requirements/bench-litserve.txt
	printf '%s\n' mlserver 'uvloop<0.22' onnxruntime msgspec | $(BIN)/uv pip compile $(LOCK) -c requirements/.same - -o requirements/bench-mlserver.txt
	printf '%s\n' bentoml onnxruntime msgspec | $(BIN)/uv pip compile $(LOCK) -c requirements/.same - -o requirements/bench-bentoml.txt
	printf '%s\n' 'ray[serve]' onnxruntime msgspec | $(BIN)/uv pip compile $(LOCK) -c requirements/.same - -o requirements/bench-ray.txt
	@grep -E '^scikit-learn==' requirements/dev.txt >> requirements/.same
	printf '%s\n' flask gunicorn scikit-learn numpy msgspec | $(BIN)/uv pip compile $(LOCK) -c requirements/.same - -o requirements/bench-flask.txt
	@grep -E '^(numpy|scipy)==' requirements/dev.txt >> requirements/.same
	printf '%s\n' vowpalwabbit river scikit-learn scipy numpy | $(BIN)/uv pip compile $(LOCK) -c requirements/.same - -o requirements/bench-decisions.txt
	printf '%s\n' deslib==0.3.7 scikit-learn==1.6.1 | $(BIN)/uv pip compile $(LOCK) - -o requirements/bench-deslib.txt
	printf '%s\n' venn-abers | $(BIN)/uv pip compile $(LOCK) - -o requirements/bench-venn-abers.txt
	printf '%s\n' autogluon.core | $(BIN)/uv pip compile $(LOCK) - -o requirements/bench-autogluon.txt
	printf '%s\n' mapie | $(BIN)/uv pip compile $(LOCK) - -o requirements/bench-mapie.txt
	@rm requirements/.same

.PHONY: bench-soak bench-faults lock-bench

bench-soak: $(VENV)/.dev  ## Watch memory over many requests and load/unload cycles, and answers over hot swaps (about 2 minutes).
	$(BIN)/python -m benchmarks.soak $(ARGS)

bench-faults: $(VENV)/.dev  ## Break members, inputs, clients, load and disk, and look at every answer (about 3 minutes).
	$(BIN)/python -m benchmarks.faults $(ARGS)

.PHONY: bench-serving

bench-serving: $(VENV)/.dev $(PEERS)  ## Measure everything that is promised of the serving plane, in one sequence (about 75 minutes); ARGS=--quick for ten.
	$(BIN)/python -m benchmarks.serving $(ARGS)

.PHONY: bench-decisions

bench-decisions: $(VENV)/.dev $(patsubst %,.venvs/bench-%/.made,decisions deslib autogluon mapie venn-abers)  ## Measure everything that is promised of decisions, in one table; ARGS="--parts swap" for one.
	$(BIN)/python -m benchmarks.decisions $(ARGS)

bench-footprint: $(VENV)/.dev  ## Measure imports, packages, memory and starts, in one table.
	$(BIN)/python -m benchmarks.footprint $(ARGS)

bench-digits: $(VENV)/.dev  ## Train the pool of networks over five splits and judge members and ensembles (about 10 minutes).
	$(BIN)/python -m benchmarks.digits $(ARGS)

.PHONY: bench-blind

bench-blind: $(VENV)/.dev  ## Try to tell a blind endpoint's strategies apart, in one table.
	$(BIN)/python -m benchmarks.blind $(ARGS)

.PHONY: bench-drawn

bench-drawn: $(VENV)/.dev  ## Let the pool of networks read drawn digits, clean and corrupted, behind three preprocessings.
	$(BIN)/python -m benchmarks.drawn $(ARGS)

.PHONY: bench-page screenshots

bench-page: $(VENV)/.dev  ## Measure the page in a browser: first paint, upload to answer, twenty browsers at once.
	$(BIN)/python -m benchmarks.page $(ARGS)

screenshots: $(VENV)/.dev  ## Take the pictures of the docs again; ARGS="--project FOLDER" for another pool.
	$(BIN)/python docs/screenshots.py $(ARGS)
	$(BIN)/python docs/screenshots_experiments.py
	$(BIN)/python docs/screenshots_evidence.py
	$(BIN)/python docs/screenshots_selection.py

.PHONY: grpc

PROTOS := $(wildcard src/quorate/serving/grpc/*.proto)

grpc: $(VENV)/.dev  ## Compile the gRPC protocol files anew.
	$(BIN)/python -m grpc_tools.protoc --proto_path=src --python_out=src --pyi_out=src $(PROTOS)
