# One vocabulary of commands for people, hooks and CI. `make help` prints it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
BIN := .venv/bin
PYTEST := $(BIN)/pytest
NOT_SLOW := -m "not slow and not night and not cluster and not bucket"
# Two workers with a Spark session each; tests/conftest.py says what never runs beside what.
TWO := -n 2 --no-loadscope-reorder
# Packages ask home less: nothing of a build is anybody else's business (`nightrank doctor` reports these).
export DO_NOT_TRACK ?= 1
export HF_HUB_DISABLE_TELEMETRY ?= 1
export MLFLOW_DISABLE_TELEMETRY ?= true

.PHONY: help setup demo test test-unit test-spark test-distributed test-e2e test-night test-cluster test-bucket test-airflow test-slow mutation check format bench bench-nightly bench-accuracy doctor package clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing into .venv; a second call returns at once
	@scripts/setup

demo: setup ## a night on a simulated market, with its report, under lake/demo
	$(BIN)/nightrank demo --root lake/demo

test: setup ## unit, spark, distributed and end-to-end tests, in one pytest with two workers; those of architecture are part of check
	$(PYTEST) $(TWO) $(NOT_SLOW) tests/golden tests/unit tests/spark tests/distributed tests/e2e

test-unit: setup ## no JVM, seconds
	$(PYTEST) $(TWO) $(NOT_SLOW) tests/architecture tests/golden tests/unit

test-spark: setup ## transforms and jobs on one local session per worker
	$(PYTEST) $(TWO) $(NOT_SLOW) tests/spark

test-distributed: setup ## two Horovod ranks
	$(PYTEST) $(NOT_SLOW) tests/distributed

test-e2e: setup ## the pipeline as a user runs it
	$(PYTEST) $(NOT_SLOW) tests/e2e

test-night: setup ## a tiny market: full runs, nights, held, erased and empty days, a small shop; WHAT="-k test_pipeline" for a part
	$(PYTEST) $(TWO) -m night tests/e2e $(WHAT)

test-cluster: setup ## a Spark standalone master and two workers as processes; WHAT="-k doctor" for a part
	$(PYTEST) -m cluster tests/cluster $(WHAT)

test-bucket: setup ## a full run and two nights in a bucket of a local S3 server, with faults of it, and a lake on HDFS; WHAT="-k two_runs" for a part
	$(PYTEST) -m bucket tests/bucket tests/unit/test_storage.py $(WHAT)

test-airflow: setup ## the DAG in an Airflow of its own: parsing, runs, a back-fill, a real date; WHAT="-k parse" for a part
	@scripts/setup_airflow
	PYTHONPATH=$(CURDIR) .build/airflow-venv/bin/python -m pytest --confcutdir tests/airflow -p no:cacheprovider tests/airflow $(WHAT)

test-slow: setup ## real data sets, every failpoint, hundreds of epochs; may take hours
	$(PYTEST) -m slow --timeout 7200 tests

mutation: setup ## small faults in the modules that decide, one at a time; MODULE=ranker.growth for one module; half an hour for all
	$(BIN)/python -m scripts.mutation $(MODULE)

check: setup ## ruff, mypy, import contracts, declared dependencies, cold imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(PYTEST) -q tests/architecture

format: setup ## let ruff fix what check reports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## speed against peers and limits, results under benchmarks/results; training compared with PEERS on DATA=Beauty.txt, top-k with what TOPK=PYTHON has
	nice $(BIN)/python -m benchmarks $(if $(PEERS),--data $(DATA) --peer-python $(PEERS)) $(if $(TOPK),--topk-python $(TOPK))

bench-nightly: setup ## seconds and bytes of a night's data stages on a history of 1, 3 and 10 million events; an hour
	nice $(BIN)/python -m benchmarks.nightly

bench-accuracy: setup ## accuracy tables on public sets under DATA=FOLDER, peers by PEERS="rectools=PYTHON replay=PYTHON"; hours
	nice $(BIN)/python -m benchmarks.accuracy.tables --data $(or $(DATA),$(error say where the data sets are: make bench-accuracy DATA=FOLDER)) $(if $(PEERS),--peer-python $(PEERS))
	$(BIN)/python -m benchmarks.accuracy.draw

package: setup ## dist/: the wheel, its lock, the zip for --py-files; ARCHIVE=1: an environment for --archives too (gigabytes), CUDA=0: without what only GPUs need
	$(BIN)/python -m scripts.package $(if $(ARCHIVE),--archive) $(if $(filter 0,$(CUDA)),--no-cuda)

doctor: setup ## what is missing or risky on this machine, and how to fix it
	@$(BIN)/nightrank doctor

clean: ## remove the environment and every cache of the checkout; Horovod's wheel and lakes are kept
	rm -rf .venv .build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f trainer/data/*.so ranker/retrieval/*.so feature_store/object_storage/log_store.jar
