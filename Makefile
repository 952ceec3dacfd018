# The everyday commands; `make` alone lists them. Nothing here is needed to run the service.
PYTHON = .venv/bin/python

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

.venv: requirements-dev.lock
	python3 -m venv .venv
	.venv/bin/pip install -q -r requirements-dev.lock
	.venv/bin/pip install -q --no-deps -e .
	touch .venv

demo: .venv ## the whole product with sample papers, on this machine alone
	$(PYTHON) -m digest demo

test: .venv ## all tests
	$(PYTHON) -m pytest

lint: .venv ## style and types
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

format: .venv ## mend the style where that can be done alone
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

# A lock holds names, versions and hashes; where packages come from is each machine's own matter.
LOCK = uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --upgrade

lock: ## newest dependencies into both locks (needs uv)
	$(LOCK) pyproject.toml --extra postgres -o requirements.lock
	$(LOCK) pyproject.toml --extra postgres --extra dev -c requirements.lock -o requirements-dev.lock

.PHONY: help demo test lint format lock
