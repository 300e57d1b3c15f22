# Two commands: `make demo` (type Arabic, find pictures) and `make test`. Both need python3 >= 3.11 and nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# pip would compile 31,000 modules, a minute and a half of one core; a quarter of them is ever imported, and compiled then:
# also where the environment asks Python to store no bytecode, since every process would compile all of it again.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# The ranges of pyproject.toml are for users. What is installed here has the versions of constraints.txt, with which all
# tests have passed (`make lock` renews them), so that a release of another project breaks nothing overnight.
PINS := -c constraints.txt
INSTALL := $(PIP) install --no-compile $(PINS)
BUILD := hatchling editables
EDITABLE := $(INSTALL) $(BUILD) && $(INSTALL) --no-build-isolation

AGAIN := $(MAKE) --no-print-directory

DATA ?= data
WORK ?= work

.PHONY: count demo docs test-docs mutation test checked format-checked types installed packages test-browser test-ocr test-ray tesseract exiftool test-postgres postgres test-oldest test-lowest test-newest suite lock trials bench lint lint-github release-check wheel mini chromium clean
demo: $(VENV)/.demo
	@$(BIN)/araclip demo

# What all tests need, the system's packages too; with `make -j3 installed`, what waits for the network waits together.
installed: $(VENV)/.everything $(VENV)/.lowest $(VENV)/.oldest packages

# One after the other: apt takes one at a time.
packages:
	@$(AGAIN) chromium && $(AGAIN) tesseract && $(AGAIN) postgres && $(AGAIN) exiftool

# Linters and mypy run beside the tests, three processes with a thread each, since some wait for others; what they find comes last.
test: $(VENV)/.test
	@$(AGAIN) -k checked > $(VENV)/checked.txt 2>&1 & checks=$$!; \
	$(AGAIN) suite; tests=$$?; \
	wait $$checks; checks=$$?; cat $(VENV)/checked.txt; exit $$((tests + checks))

suite: $(VENV)/.test
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=20 --durations-min=2

checked: format-checked lint-github types

format-checked: $(VENV)/.test
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.test
	@$(BIN)/mypy

# The page in a real browser: Debian's Chromium, or the one that CHROMIUM names. Installs what is missing.
test-browser: $(VENV)/.browser chromium
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist worksteal tests/browser

# The documentation's site, in build/docs. A broken link, a missing anchor or an undocumented public name is an error.
docs: $(VENV)/.docs
	@OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m sphinx -W --keep-going -q -d build/doctrees -b html docs build/docs
	@echo "build/docs/index.html"

# The site in a real browser (both languages, light and dark, narrow and wide, its search, no other host), the code blocks of
# READMEs and guides, and the tutorials.
test-docs: docs $(VENV)/.browser chromium
	@ARACLIP_DOCS=build/docs HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal tests/browser/test_docs_site.py tests/docs/test_docs_code.py tests/docs/test_docs_strict.py

# OCR with the real Tesseract and RapidOCR; `make test` tries all around them with a program in their place. Installs what
# is missing.
test-ocr: $(VENV)/.ocr tesseract
	@OMP_NUM_THREADS=1 ARACLIP_TEST_OCR=1 $(BIN)/python -m pytest tests/pictures/test_ocr.py

$(VENV)/.ocr: pyproject.toml constraints.txt $(VENV)/.test
	@$(EDITABLE) -e '.[ocr]'
	@touch $@

# Which changes of the metrics and the store does no test notice? SAMPLE of each, drawn by SEED, for a night. Installs what
# is missing.
SAMPLE ?= 100
SEED ?= 0
MUTATION := 'cosmic-ray>=8.7'
mutation: $(VENV)/.test
	@$(INSTALL) $(MUTATION)
	@$(BIN)/python tests/mutation/run.py --sample $(SAMPLE) --seed $(SEED)

# Bulk embedding on this machine, on a real Ray cluster of two daemons, one of which dies, and between buckets. Installs what
# is missing.
test-ray: $(VENV)/.ray
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/cluster tests/bulk

MOTO := 'moto[server]>=5' boto3
$(VENV)/.ray: pyproject.toml constraints.txt $(VENV)/.test
	@$(EDITABLE) -e '.[ray]' $(MOTO)
	@touch $@

# Galleries on a real PostgreSQL server: a private one in a temporary folder, of a user that is not root. Installs what is
# missing; ARACLIP_TEST_POSTGRES=postgresql://… takes a server that runs already.
ARACLIP_TEST_POSTGRES ?= private
test-postgres: $(VENV)/.ray postgres
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 ARACLIP_TEST_POSTGRES=$(ARACLIP_TEST_POSTGRES) $(BIN)/python -m pytest \
	  tests/gallery/test_postgres.py tests/gallery/test_gallery_kinds.py tests/gallery/test_gallery_contract.py tests/server/test_server_writes.py tests/pictures/test_photo_metadata.py tests/cli/test_cli_remote.py tests/bulk tests/server/test_server_browsing.py tests/server/test_server_search.py tests/server/test_server_contract.py tests/server/test_server_remote.py tests/gallery/test_videos.py tests/gallery/test_recorded_model.py -k "postgres or on_a_server or remote"

postgres:
	@test "$(ARACLIP_TEST_POSTGRES)" != private || ls /usr/lib/postgresql/*/lib/vector.so >/dev/null 2>&1 || { \
	  as_root=$$([ $$(id -u) = 0 ] || echo sudo -n); \
	  echo "Installing PostgreSQL with pgvector (once) …"; \
	  $$as_root apt-get update -qq && package=$$(apt-cache search --names-only '^postgresql-[0-9]+-pgvector$$' | sort -V | tail -1 | cut -d' ' -f1); \
	  $$as_root mkdir -p /etc/postgresql-common/createcluster.d && echo 'create_main_cluster = false' | $$as_root tee /etc/postgresql-common/createcluster.d/araclip.conf >/dev/null; \
	  test -n "$$package" && DEBIAN_FRONTEND=noninteractive $$as_root apt-get install -y -qq --no-install-recommends $$package $${package%-pgvector} >/dev/null \
	  || { echo "PostgreSQL with pgvector is needed, and could not be installed. On Debian 13: sudo apt install postgresql-17-pgvector"; exit 1; }; \
	}

tesseract:
	@tesseract --list-langs 2>/dev/null | grep -qx ara || { \
	  as_root=$$([ $$(id -u) = 0 ] || echo sudo -n); \
	  echo "Installing Tesseract (once) …"; \
	  $$as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$as_root apt-get install -y -qq --no-install-recommends tesseract-ocr tesseract-ocr-ara >/dev/null \
	  || { echo "Tesseract with Arabic is needed, and could not be installed. On Debian: sudo apt install tesseract-ocr tesseract-ocr-ara"; exit 1; }; \
	}

# Reads back the keywords of `araclip tag` in a test, which is skipped without it.
exiftool:
	@command -v exiftool > /dev/null || { \
	  as_root=$$([ $$(id -u) = 0 ] || echo sudo -n); \
	  DEBIAN_FRONTEND=noninteractive $$as_root apt-get install -y -qq --no-install-recommends libimage-exiftool-perl >/dev/null \
	  || echo "exiftool could not be installed: its test is skipped."; \
	}

# The other end of the range of transformers that the model class promises to work with (`make test` has the pinned one,
# `make test-newest` the newest).
test-oldest: $(VENV)/.test $(VENV)/.oldest
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 PYTHONPATH=$(VENV)/oldest $(BIN)/python -m pytest --hypothesis-profile=few tests/training/test_model.py tests/training/test_registration.py tests/training/test_transformers_contract.py tests/training/test_processor_contract.py

$(VENV)/.oldest: constraints.txt tests/versions.py $(BIN)/python
	@$(BIN)/python tests/versions.py oldest $(VENV)
	@$(PIP) install --no-compile --upgrade --target $(VENV)/oldest -r $(VENV)/oldest-requirements.txt -c $(VENV)/oldest-constraints.txt
	@touch $@

# The core, without PyTorch, with the lowest version of each dependency that pyproject.toml allows. Old libraries warn
# about still older ones.
LOWEST_TOOLS := pytest pytest-xdist hypothesis httpx httpx2 onnx watchfiles
test-lowest: $(VENV)/.lowest
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 PYTHONPATH=src $(VENV)/lowest/bin/python tests/core_tests.py --of-dependencies --hypothesis-profile=few -n 3 --dist loadfile --no-loadscope-reorder \
	  -W ignore::DeprecationWarning -W ignore::PendingDeprecationWarning

$(VENV)/.lowest: pyproject.toml constraints.txt tests/versions.py $(BIN)/python
	@$(PYTHON) -m venv --clear --without-pip $(VENV)/lowest && $(BIN)/python tests/versions.py lowest $(VENV)
	@$(PIP) --python $(VENV)/lowest/bin/python install --no-compile -r $(VENV)/lowest-requirements.txt -c $(VENV)/lowest-constraints.txt $(LOWEST_TOOLS)
	@touch $@

# The newest versions that pyproject.toml allows, in an environment of their own, in place of the pins; first the list of
# what is newer. Once a week a workflow runs it.
test-newest:
	@rm -f .venv/newest/.test
	@$(AGAIN) .venv/newest/.test VENV=.venv/newest PINS='--upgrade --upgrade-strategy eager'
	@.venv/newest/bin/python tests/versions.py newer
	@$(AGAIN) suite VENV=.venv/newest

# Renew constraints.txt, for Python 3.11 to 3.14 on Linux, macOS and Windows: the newest of all, but of torch what pip takes by
# itself (on some machines a build for their processor), without its local version.
lock: $(BIN)/python
	@$(PIP) install --upgrade uv
	@$(PIP) install --dry-run --ignore-installed --no-deps --report $(VENV)/torch.json torch
	@$(BIN)/python -c 'import json, sys; print("torch==" + json.load(sys.stdin)["install"][0]["metadata"]["version"].split("+")[0])' < $(VENV)/torch.json > $(VENV)/torch.txt
	@printf '%s\n' uv $(BUILD) $(MOTO) $(MUTATION) $(LOWEST_TOOLS) | $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras \
	  --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command 'make lock' -c $(VENV)/torch.txt pyproject.toml - -o constraints.txt

# Speeds as ratios to plain ways, measured in one run, compared with those on record; ends with an error where one has
# lost a quarter. Under five minutes, on a machine that does nothing else.
bench: $(VENV)/.test
	@HF_HUB_OFFLINE=1 $(BIN)/python benchmarks/regressions.py

# Thousands of kills, damages, copies, hostile pictures, requests and model folders: hours. Each script prints its own
# table (docs/reliability.md has the figures) and ends with 1 if anything was lost, wrong or not refused.
trials: $(VENV)/.ray
	@failed=; HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 ARACLIP_TRIALS=1 $(BIN)/python -m pytest tests/trials tests/benchmarks || failed=pytest; \
	for trial in $$(grep -l __main__ tests/trials/*.py); do \
	  echo "== $$trial"; OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python $$trial || failed="$$failed $$trial"; \
	done; echo "failed:$${failed:- none}"; test -z "$$failed"

# The size of the house: lines of Python and files, and kilobytes of documents.
count:
	@for place in src/araclip tests benchmarks; do \
	  echo "$$place: $$(find $$place -name '*.py' -exec cat {} + | wc -l) lines in $$(find $$place -name '*.py' | wc -l) files"; \
	done
	@echo "docs: $$(find docs -name '*.md' -not -path 'docs/log/*' -exec cat {} + | wc -c) bytes, docs/log: $$(cat docs/log/*.md | wc -c)"

lint: $(VENV)/.test lint-github
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format . && $(BIN)/mypy

# The workflows, the forms of issues, the citation and the job for Kubernetes, by their schemas; zizmor looks for what a stranger could
# abuse. actionlint, a program in Go whose packages on PyPI download it, is asked where it is installed.
lint-github: $(VENV)/.test
	@$(BIN)/zizmor --offline --quiet .github
	@! command -v actionlint > /dev/null || actionlint
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.citation-file-format CITATION.cff
	@$(BIN)/kubernetes-validate --strict --quiet deploy/embed.job.yaml

# Wheel and sdist as they would be released, checked: minutes, and the package index. From the unpacked sdist the core's tests
# run; with SDIST_TESTS=all the whole suite in an environment with all that it needs, as before a release; with
# SDIST_TESTS="tests/gallery/test_query.py …" some files. SDIST_WORKERS=1 leaves a core of a busy machine to others.
SDIST_TESTS ?= core
SDIST_WORKERS ?= 2
release-check: $(VENV)/.release
	@$(BIN)/python -u tests/release/check.py --tests $(SDIST_TESTS) --workers $(SDIST_WORKERS)

wheel: $(VENV)/.test
	@$(BIN)/python -m build --wheel --outdir dist

# araclip-mini from its data, hours on two cores (npm fetches the emoji); stop it whenever you like, it goes on where it was.
# bfloat16 is left out on processors that do not compute with it.
mini: $(VENV)/.test
	$(BIN)/python recipes/mini/data.py --data $(DATA) --out $(WORK)/data
	$(BIN)/python recipes/mini/train.py all recipes/mini/mini.toml --set data=$(WORK)/data --runs $(WORK)/runs $(FLOAT32)
	$(BIN)/araclip export $(WORK)/runs/names $(WORK)/araclip-mini --version 12 --weights 'smooth-compact + static-int8' --about recipes/mini/about.toml --dev $(DATA)/flickr8k \
	  --calibrate $(WORK)/data/noto --calibrate $(DATA)/more/flickr30k_subset --calibrate $(DATA)/more/coco_subset

# Each precision that the recipe names, as float32.
FLOAT32 := $(if $(shell grep -lE 'avx512_bf16|amx_bf16' /proc/cpuinfo 2>/dev/null),,$(shell awk -F'[][]' \
	'/^\[/ {stage = $$2} /^(image_)?precision = / {sub(/ .*/, ""); print "--set", stage "." $$0 "=float32"}' recipes/mini/mini.toml))

# Chromium without its windows, which takes half the time of the processor; a Chromium that is there does as well.
CHROMIUM ?=
export CHROMIUM
HEADLESS := /usr/bin/chromium-headless-shell
chromium:
	@test -x "$(CHROMIUM)" || test -x $(HEADLESS) || { \
	  as_root=$$([ $$(id -u) = 0 ] || echo sudo -n); \
	  echo "Installing chromium-headless-shell (once) …"; \
	  $$as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$as_root apt-get install -y -qq --no-install-recommends chromium-headless-shell fonts-vazirmatn-variable >/dev/null; \
	} || test -x /usr/bin/chromium \
	|| { echo "Chromium is needed, and could not be installed. On Debian: sudo apt install chromium-headless-shell fonts-vazirmatn-variable; elsewhere: make test-browser CHROMIUM=/path/to/chromium"; exit 1; }

clean:
	rm -rf .venv dist build

# A marker file stands for "installed": the second run of a command starts at once, a changed pyproject.toml installs anew.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 15), "AraCLIP needs Python 3.11 to 3.14, this is " + sys.version.split()[0]; import ensurepip' \
	|| { echo "Python 3.11 to 3.14 with venv and pip is needed (on Debian and Ubuntu: apt install python3-venv; another: make demo PYTHON=python3.13)."; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt $(BIN)/python
	@echo "Installing (once, about a minute) …"
	@$(EDITABLE) -e '.[demo]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt $(BIN)/python
	@echo "Installing (once, a few minutes) …"
	@$(EDITABLE) -e '.[demo,dev,train,mini,peers]'
	@touch $@ $(VENV)/.demo

# All of these in two steps: pip resolves and builds fewer times, and looks for Ray's packages beside what is there.
$(VENV)/.everything: pyproject.toml constraints.txt $(BIN)/python
	@echo "Installing all that tests need (once, a few minutes) …"
	@$(EDITABLE) -e '.[demo,dev,train,mini,peers,docs,browser]'
	@$(EDITABLE) -e '.[ray]' $(MOTO)
	@touch $(VENV)/.test $(VENV)/.demo $(VENV)/.docs $(VENV)/.browser $(VENV)/.ray $@

$(VENV)/.docs: pyproject.toml constraints.txt $(VENV)/.test
	@$(EDITABLE) -e '.[docs]'
	@touch $@

$(VENV)/.release: pyproject.toml constraints.txt $(BIN)/python
	@$(INSTALL) $$($(BIN)/python tests/release/tools.py)
	@touch $@

$(VENV)/.browser: pyproject.toml constraints.txt $(VENV)/.test
	@$(EDITABLE) -e '.[browser]'
	@touch $@
