# Every target makes the environment it needs by itself: two commands on a fresh machine, `make demo` and `make test`.
# PYTHON chooses the interpreter the environment is made from (3.11 or newer); EXTRAS what is installed into it.

PYTHON ?= python3
EXTRAS ?= dev
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := demo
DEMO_MINUTES ?= 1.2
DEMO_PRODUCT ?= vials

.PHONY: help venv demo test check format bench docs clean

help: ## say what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

venv: $(READY) ## make .venv with the tested versions of constraints.txt

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "candling needs Python 3.11 or newer; run 'make PYTHON=python3.11 venv'"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "no virtual environment could be made; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip setuptools
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $(READY)

demo: venv ## draw a line of vials (DEMO_PRODUCT=capsules: capsules), train a good minute, judge a kit, name the reports
	$(BIN)/candling demo --product $(DEMO_PRODUCT) --out $(DEMO) --minutes $(DEMO_MINUTES) --overwrite

test: venv ## run every test
	$(BIN)/python -m pytest -n 2 --max-worker-restart=0

check: venv ## lint, format, types, import floors, documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

format: venv ## let ruff put the files into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: venv ## measure the README's figures on this machine (real images: CANDLING_DATA)
	$(BIN)/python benchmarks/all.py

docs: venv ## write the generated parts of README.md and docs/ anew (tables, command reference)
	$(BIN)/python docs/generate.py

clean: ## remove what the targets above made
	rm -rf $(VENV) $(DEMO) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
