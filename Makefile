# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test wheel-test lint format install clean docs

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
# Quantus asks for OpenCV with windows, which would overwrite the headless one: it comes without what it asks for.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps 'quantus>=0.6'
	touch $@

demo: install
	$(BIN)/shapsight demo --out runs/demo --overwrite
	@echo "Open runs/demo/report.html in a browser."

# One thread a worker: the tests' networks are small, and threads of several workers would only get in each other's way.
test: install
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=2 --dist=worksteal $(PYTEST_ARGS)

# Wheel and sdist as people get them: built, installed where nothing else is, used from another folder.
wheel-test: install
	mkdir -p build
	$(BIN)/pytest -p no:cacheprovider --basetemp=build/wheel_test tests/on_the_wheel/installed.py
	rm -r build/wheel_test

# The site, in build/site: open build/site/index.html. Tutorials that have changed are run.
docs: install
	OMP_NUM_THREADS=1 NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Completeness of DeepSHAP over torchvision's and timm's architectures; ZOO_ARGS="--all" tries every one.
.PHONY: zoo
zoo: install
	$(BIN)/python benchmarks/zoo.py $(ZOO_ARGS)
