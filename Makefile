# Every target builds what it needs in .venv: a machine with Python 3.11 and pip is enough.

PYTHON ?= python3
VENV := .venv
PRODUCT := $(VENV)/.product
READY := $(VENV)/.ready
INSTALL := $(VENV)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --use-pep517 --editable
unexport PYTHONDONTWRITEBYTECODE # else every process of the tests compiles the program and the tests again
PYTEST = $(VENV)/bin/pytest -q -n $(WORKERS)
SOURCES := watchfolder tests docs packaging

.PHONY: demo deb test test-lab nas torture bench check fix man sandbox

demo: $(PRODUCT)
	@$(VENV)/bin/watchfolder demo

# The Debian package of this machine's architecture, or of ARCH=arm64 or amd64; into dist.
deb: $(PRODUCT)
	@$(VENV)/bin/python packaging/debian/build.py $(if $(ARCH),--architecture $(ARCH))

# Four workers a core of two, for the tests wait as much as they compute.
test: WORKERS := 8
test: $(READY)
	@$(PYTEST) --dist=worksteal -m 'not lab'

# All other tests: what takes minutes, wants root or starts programs that `.ci/run` installs. A file's tests stay with
# one worker, which starts its servers once; the longest come first (`tests/conftest.py`).
test-lab: WORKERS := 5
test-lab: $(READY)
	@$(PYTEST) --dist=loadfile --no-loadscope-reorder -m lab

# The part of test-lab that boots a machine with real NFS and SMB mounts: docs/reliability.md, section 9. As root.
nas: $(READY)
	@$(VENV)/bin/pytest -q tests/acceptance/nas

# The thorough part of docs/reliability.md; sections 1 and 2 take four hours on two cores, with SHARE=4 one.
# What needs root, a compiler or strace says so where it is not there, and is left out.
torture: $(READY)
	@$(VENV)/bin/python tests/torture $(if $(SHARE),--share $(SHARE))
	@$(VENV)/bin/pip install --quiet --quiet --editable '.[fuzz]' || echo 'atheris cannot be had here: no fuzzing'
	@$(VENV)/bin/pytest -q -m thorough --thorough

# Writes docs/performance.md, in forty minutes on a quiet machine; SHORT=1 only prints, smaller, in five.
bench: $(READY)
	@$(VENV)/bin/python benchmarks $(if $(SHORT),--short)

check: $(READY)
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/ruff format --quiet --check .
	@$(VENV)/bin/mypy --no-error-summary $(SOURCES)
	@$(VENV)/bin/mypy --no-error-summary benchmarks

fix: $(READY)
	@$(VENV)/bin/ruff check --quiet --fix .
	@$(VENV)/bin/ruff format --quiet .

# The manual page, made from what --help says.
man: $(PRODUCT)
	@$(VENV)/bin/python docs/manual.py >$(VENV)/watchfolder.1
	@mv $(VENV)/watchfolder.1 docs/watchfolder.1

sandbox: $(PRODUCT)
	@$(VENV)/bin/watchfolder sandbox

# A stamp comes last: an installation that was cut short is begun again. The demo needs the program alone; the checks and
# the tests need their tools as well.
$(PRODUCT): pyproject.toml
	@echo 'Installing watchfolder into $(VENV), once.'
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) .
	@touch $@

$(READY): $(PRODUCT)
	@echo 'Installing the tools of checks and tests into $(VENV), once.'
	@$(INSTALL) '.[check]'
	@touch $@
