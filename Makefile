# make train   train the pocket run on this machine; the first call sets up .venv
# make education FILES=a.json,b.json
#              train the pocket models of Education Dialogue on the dataset's files, then the run
# make test    ruff, mypy and all tests; in as many processes as there are cores and memory for
# make test-fast
#              the tests without training runs, clusters and lost machines: a first answer
# make lint    ruff and mypy alone
# make benchmarks
#              ratios measured side by side, into benchmarks/results.json; leave the machine alone;
#              TRL gets an environment of its own in .trl
# make lock    renew requirements/cpu.txt and gpu.txt (needs uv); LOCK_FLAGS=--upgrade takes new versions
# make wheel   build the wheel into dist
# make docs    renew docs/reference/configuration.md and commands.md
# make clean   remove the environment and caches, never the runs
#
# PYTHON=/path/to/python chooses the interpreter of the environment: Python 3.11, 3.12 or 3.13.

SHELL := bash
VENV := .venv
PYTHON ?=
LOCK_FLAGS ?=
CONFIG ?= configs/pocket.yaml
FILES ?=
READY := $(VENV)/.ready
PYTEST := $(VENV)/bin/python -m pytest -n auto --no-loadscope-reorder

.PHONY: train education test test-fast lint benchmarks lock wheel docs clean
.DEFAULT_GOAL := train

# an environment that was moved or copied with its checkout is set up anew
ifneq ($(shell [ ! -e $(READY) ] || requirements/in_place.sh $(VENV) || echo moved),)
.PHONY: $(READY)
endif

$(READY): requirements/cpu.txt requirements/set_up.sh pyproject.toml
	@requirements/set_up.sh $(VENV) "$(PYTHON)"
	@touch $@

train: $(READY)
	@$(VENV)/bin/curio train $(CONFIG) --set-aside

education: $(READY)
	@$(VENV)/bin/curio sft configs/education_pocket.yaml --set 'task.options.files=[$(FILES)]'
	@$(VENV)/bin/curio train configs/education_pocket.yaml --set-aside \
	    --set 'task.options.files=[$(FILES)]'

test: lint
	@$(PYTEST)

test-fast: $(READY)
	@$(PYTEST) -m "not slow and not gpu"

lint: $(READY)
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy

benchmarks: $(READY)
	@for each in learner dialogues asynchronous weights start runners against_trl \
	    "against_trl --long-talk --iterations 2" "against_trl --one-by-one --iterations 2" \
	    "against_trl --one-by-one --long-talk --iterations 1 --warm-up 1"; do \
	    set -- $$each; \
	    OMP_NUM_THREADS=1 $(VENV)/bin/python benchmarks/$$1.py "$${@:2}" \
	        --output benchmarks/results.json || exit 1; \
	done

lock:
	@requirements/lock.sh $(LOCK_FLAGS)

# setuptools would pack what an earlier build has left
wheel: $(READY)
	@rm -rf build
	@$(VENV)/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

docs: $(READY)
	@$(VENV)/bin/python -m curio_ray.config.reference > docs/reference/configuration.md
	@$(VENV)/bin/typer curio_ray.commands.main utils docs --name curio --title Commands \
	    --output docs/reference/commands.md

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
