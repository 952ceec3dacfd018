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

quick: .venv ## the everyday tests, less than a minute on two cores: without PostgreSQL, browsers, mail servers and what is slow
	@$(PYTHON) -m pytest -q -n 4 --dist loadgroup --database sqlite -m "not slow" --hypothesis-profile=quick --durations=5 --durations-min=1

docs: .venv ## the site of the documentation, into site/
	$(PYTHON) docs/generate.py
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet --strict

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
	$(LOCK) pyproject.toml --extra postgres --extra chat -o requirements.lock
	$(LOCK) pyproject.toml --extra postgres --extra chat --extra docs --extra dev -c requirements.lock -o requirements-dev.lock

release: .venv ## what a release must pass besides the tests: the wheel in a fresh environment, the image
	.ci/release

audit: ## known weaknesses in what the service needs: told, and for people to judge
	python3 -m venv .cache/audit
	.cache/audit/bin/pip install -q pip-audit
	-.cache/audit/bin/pip-audit --disable-pip --require-hashes -r requirements.lock

.PHONY: help demo test quick docs lint format lock release audit
