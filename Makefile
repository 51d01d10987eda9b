# genset: the verbs. `make help` lists them. Nothing is cached inside the tree: see CACHE.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/genset
VENV := $(CACHE)/venv/$(shell cat pyproject.toml requirements.lock 2>/dev/null | sha256sum | cut -c1-12)
PY := $(VENV)/bin/python
BIN := PATH="$(VENV)/bin:$$PATH"
FAILED := $(CACHE)/failed/$(subst /,_,$(CURDIR))
COMPILED := $(CACHE)/compiled/$(shell cat tools/compiled.py $$(find operator/genset -name '*.py' | sort) | sha256sum | cut -c1-12)
MESH := e2e/scenarios/test_mesh.py
ROUTER_TESTS := tests/unit/router tests/router
APISERVER_GOLDEN := tests/golden/desired/test_apiserver.py
export PYTHONPATH := $(CURDIR)/operator:$(CURDIR)
export PYTHONDONTWRITEBYTECODE := 1
export PYTEST_ADDOPTS := -p no:cacheprovider $(PYTEST_ADDOPTS)
export RUFF_CACHE_DIR := $(CACHE)/ruff
export MYPY_CACHE_DIR := $(CACHE)/mypy
export HYPOTHESIS_STORAGE_DIRECTORY := $(CACHE)/hypothesis

$(VENV)/.ready: tools/venv.py pyproject.toml requirements.lock
	@python3 tools/venv.py $(VENV)

.PHONY: help venv demo demo-down test lane-scenarios lane-code lane-cluster fmt lint arch one unit unit-rest compiled charts console console-picture integration e2e e2e-kills e2e-day e2e-mesh ledger-day e2e-groups e2e-argocd e2e-vllm clients identity soak crds manifests docs site golden lock bench continuity-bench image clean

help: ## Lists the verbs
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV)/.ready ## Python environment with everything for development, in the user's cache

demo: venv ## Plays the main job on a real cluster (KUBECONFIG=... CONTEXT=name for your own cluster)
	@$(PY) -m e2e.demo up

demo-down: venv ## Ends what the demo started
	@$(PY) -m e2e.demo down

test: lint ## Everything, as CI runs it: three lanes side by side, each part told when it has ended
	@mkdir -p $(dir $(FAILED)) && rm -f $(FAILED)
	@$(MAKE) --no-print-directory -j3 --output-sync=line lane-scenarios lane-code lane-cluster
	@! test -s $(FAILED) || { echo "Failed: $$(xargs < $(FAILED))" >&2; exit 1; }
	@echo "All checks passed"

# Each step of a lane runs whatever became of the one before, so that one run tells all that is wrong.
# Scenarios mostly wait, and measure how long things take: the other lanes give way to them.
lane-scenarios:
	@echo "Lane of the scenarios: the image, then a real one-node cluster (about 30 minutes)"
	@$(MAKE) --no-print-directory e2e || echo e2e >> $(FAILED)

lane-code:
	@echo "Lane of the code: unit tests, the compiled router, the console (about 30 minutes)"
	@nice -n 10 $(MAKE) --no-print-directory unit-rest || echo unit >> $(FAILED)
	@nice -n 10 $(MAKE) --no-print-directory compiled || echo compiled >> $(FAILED)
	@nice -n 10 $(MAKE) --no-print-directory console || echo console >> $(FAILED)

lane-cluster:
	@echo "Lane of the cluster: charts and CRDs, then the operator on a real API server (about 30 minutes)"
	@nice -n 10 $(MAKE) --no-print-directory charts || echo charts >> $(FAILED)
	@nice -n 10 $(MAKE) --no-print-directory integration || echo integration >> $(FAILED)

fmt: venv ## Formats the source and mends what can be mended without a decision
	@$(BIN) ruff check --fix . ; $(BIN) ruff format .

lint: venv ## Style, types, import layers, generated files; known vulnerabilities, where their database can be asked
	@$(BIN) ruff check . && $(BIN) ruff format --check . && $(BIN) mypy && $(BIN) lint-imports --no-cache
	@$(PY) tools/generated.py --check
	@$(PY) tools/audit.py

arch: venv ## The order of the source: import contracts, cycles, sizes of objects, the map
	@$(BIN) lint-imports --no-cache
	@$(BIN) pytest tests/unit/architecture -q

one: venv ## One test: make one T=tests/unit/router/test_gate.py::test_name
	@test -n "$(T)" || { echo "Name a test: make one T=path::test" >&2; exit 2; }
	@$(BIN) pytest "$(T)" -q

unit: unit-rest ## Pure code, golden files, router and puller against real sockets
	@$(BIN) pytest -n $(or $(JOBS),4) --dist worksteal $(ROUTER_TESTS) -q

unit-rest: venv # What `compiled` does not run: all else, and what needs the interpreter
	@$(PY) -m testbed.cluster tools --only crane --only versitygw  # minutes where nothing is cached: no test has them
	@$(PY) -m testbed.cluster packages postgresql promtool
	@$(BIN) pytest -n $(or $(JOBS),4) --dist worksteal tests/unit tests/golden tests/weights tests/bundle tests/ledger tests/testbed -q --ignore=$(APISERVER_GOLDEN) --ignore=tests/testbed/soak --ignore=tests/unit/router
	@$(BIN) pytest -m interpreted $(ROUTER_TESTS) -q
	@$(BIN) pytest tests/testbed/soak -q

compiled: $(COMPILED)/.ready ## Tests of the router, of the compiled one that the image has
	@PYTHONPATH=$(COMPILED):$(CURDIR) $(BIN) pytest -o pythonpath=. --compiled -n $(or $(JOBS),4) --dist worksteal $(ROUTER_TESTS) -q

$(COMPILED)/.ready: $(VENV)/.ready
	@echo "Compiling the router into $(@D) (about a minute)"
	@mkdir -p $(dir $(@D)); rm -rf $$(ls -dt $(dir $(@D))*/ 2>/dev/null | tail -n +4) $(@D); mkdir $(@D); cp -r operator/genset $(@D)
	@$(PY) tools/compiled.py $(@D) && touch $@

charts: venv ## Chart, manifests, CRDs and CEL rules
	@$(PY) -m testbed.cluster tools
	@$(PY) -m testbed.cluster packages promtool
	@$(BIN) pytest tests/chart tests/crds $(APISERVER_GOLDEN) -q

console: venv ## The console on a real API server, with a real router and ledger, in a headless Chromium, too
	@$(PY) -m testbed.cluster tools && $(PY) -m testbed.cluster packages chromium
	@$(BIN) pytest -n 2 --dist worksteal tests/console -q

console-picture: venv ## The picture in docs/console.md, anew, from a real run
	@$(PY) -m testbed.cluster tools && $(PY) -m testbed.cluster packages chromium
	@GENSET_PICTURES=$(CURDIR)/docs $(BIN) pytest tests/console/test_browser.py -q -k failover

integration: venv ## Operator against a real kube-apiserver and etcd
	@$(PY) -m testbed.cluster tools && $(PY) -m testbed.cluster tools --only kwok
	@$(BIN) pytest tests/integration -q

e2e: venv ## Real llama-servers, and the scenarios on a real one-node cluster
	@$(PY) -m testbed.cluster tools && $(PY) -m testbed.images build genset ollama  # minutes where nothing is cached
	@$(BIN) pytest e2e/front e2e/poison e2e/scenarios -q --ignore=$(MESH) --durations=20

e2e-kills: venv ## Fifty kill -9 under running streams on a real one-node cluster, every answer whole (`make e2e` has eight)
	@$(PY) -m testbed.images build genset
	@GENSET_KILLS=50 $(BIN) pytest e2e/scenarios/test_continuation.py -q -rP

e2e-day: venv ## A day of operations on a real one-node cluster: upgrade from the last release, rollback, two teams, no request lost
	@$(PY) -m testbed.images build genset genset-last-release
	@$(BIN) pytest e2e/day -q -rP

e2e-mesh: venv ## Engines and routers behind a stand-in for a mesh's sidecar, on a real one-node cluster
	@$(PY) -m testbed.images build genset
	@$(BIN) pytest $(MESH) -q

ledger-day: venv ## A long day of traffic with a ledger and kills of everything, against a calculation by hand (REQUESTS, KILLS)
	@$(PY) -m testbed.cluster packages postgresql
	@GENSET_DAY_REQUESTS=$(or $(REQUESTS),20000) GENSET_DAY_KILLS=$(or $(KILLS),40) $(BIN) pytest tests/ledger/day -q -rP

e2e-groups: venv ## Models on several nodes by the real controller of LeaderWorkerSets, with a fake of vLLM, on a real one-node cluster
	@$(PY) -m testbed.images build genset lws fakevllm
	@$(BIN) pytest e2e/groups -q

e2e-argocd: venv ## Argo CD installs the chart and the samples on a real one-node cluster
	@$(PY) -m testbed.images build genset && $(PY) -m testbed.cluster tools --only argocd
	@$(BIN) pytest e2e/argocd -q

e2e-vllm: venv ## vLLM for CPU beside llama-server, and as a pod; installs it once and makes an image (6 GB, and 9 for the pod)
	@$(PY) -m testbed.images build llamacpp genset && $(PY) -m e2e.vllm && $(PY) -m e2e.vllm.image
	@$(BIN) pytest e2e/vllm/scenarios -q -rP
	@$(BIN) pytest e2e/vllm/pod -q -rP

clients: $(COMPILED)/.ready ## The clients that people use, newest and unchanged, against the compiled router; installs them once (2 GB)
	@PYTHONPATH=$(COMPILED):$(CURDIR) $(PY) -m e2e.clients $(if $(ONLY),--only "$(ONLY)")
	@$(if $(ONLY),,PYTHONPATH=$(COMPILED):$(CURDIR) $(PY) -m e2e.clients.suite)

identity: venv ## Tokens of an identity provider that others have written (oidc-provider, from npm once), its rotations and its outage
	@$(BIN) pytest e2e/identity -q

soak: $(COMPILED)/.ready ## Router, compiled, at half of capacity under random faults (MINUTES=15)
	@PYTHONPATH=$(COMPILED):$(CURDIR) $(PY) -m testbed.soak --minutes $(or $(MINUTES),15)

crds: venv ## Regenerates crds/ from the types
	@$(PY) tools/generated.py crds

manifests: venv ## Writes the engines into the chart's schema, and manifests/install.yaml from the chart
	@$(PY) tools/generated.py chart manifests

docs: venv ## Regenerates docs/reference/ from the types
	@$(PY) tools/generated.py docs

site: venv ## Builds the documentation's site from docs/ into the user's cache, offline; a dead link ends it
	@$(PY) tools/site.py "$(CACHE)/site"

golden: venv ## Rewrites golden files from what the code makes now; read the diff
	@GENSET_UPDATE_GOLDEN=1 $(BIN) pytest tests/golden tests/unit/docs/test_tutorials.py -q --ignore=$(APISERVER_GOLDEN)

lock: venv ## Re-resolves the lock files within pyproject's pins, with hashes
	@python3 tools/lock.py $(VENV)

bench: venv ## Router side by side with its peers, and the operator at fleet scale
	@$(PY) -m bench router && $(PY) -m bench translations --write && $(PY) -m bench operator

continuity-bench: venv ## What clients get while a cloud or the house is taken away, beside LiteLLM and Envoy (RUNS=20; root; hours)
	@$(PY) -m bench continuity --runs $(or $(RUNS),100)

image: venv ## The project's own image, from the Dockerfile
	@$(PY) -m testbed.images build genset

clean: ## Removes this project's folder in the user's cache (the next run builds again)
	@echo "Removes $(CACHE)"; rm -rf "$(CACHE)"
