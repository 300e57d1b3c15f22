# Two commands: `make demo` (type Arabic, find pictures) and `make test`. Both need python3 >= 3.11 and nothing else.

PYTHON ?= python3
BIN := .venv/bin

# pip would compile 31,000 modules, a minute and a half of one core; a quarter of them is ever imported, and compiled then:
# also where the environment asks Python to store no bytecode, since every process would compile all of it again.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

AGAIN := $(MAKE) --no-print-directory

DATA ?= data
WORK ?= work

.PHONY: count demo docs test-docs mutation test checked format-checked types installed packages test-browser test-ocr test-ray tesseract exiftool test-postgres postgres test-oldest test-lowest trials bench lint lint-github release-check wheel mini chromium clean
demo: .venv/.demo
	@$(BIN)/araclip demo

# What all tests need, the system's packages too; with `make -j3 installed`, what waits for the network waits together.
installed: .venv/.everything .venv/.lowest .venv/.oldest packages

# One after the other: apt takes one at a time.
packages:
	@$(AGAIN) chromium && $(AGAIN) tesseract && $(AGAIN) postgres && $(AGAIN) exiftool

# Linters and mypy run beside the tests, three processes with a thread each, since some wait for others; what they find comes last.
test: .venv/.test
	@$(AGAIN) -k checked > .venv/checked.txt 2>&1 & checks=$$!; \
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=20 --durations-min=2; tests=$$?; \
	wait $$checks; checks=$$?; cat .venv/checked.txt; exit $$((tests + checks))

checked: format-checked lint-github types

format-checked: .venv/.test
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: .venv/.test
	@$(BIN)/mypy

# The page in a real browser: Debian's Chromium, or the one that CHROMIUM names. Installs what is missing.
test-browser: .venv/.browser chromium
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist worksteal tests/browser

# The documentation's site, in build/docs. A broken link, a missing anchor or an undocumented public name is an error.
docs: .venv/.docs
	@OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m sphinx -W --keep-going -q -d build/doctrees -b html docs build/docs
	@echo "build/docs/index.html"

# The site in a real browser (both languages, light and dark, narrow and wide, its search, no other host), the code blocks of
# READMEs and guides, and the tutorials.
test-docs: docs .venv/.browser chromium
	@ARACLIP_DOCS=build/docs HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal tests/browser/test_docs_site.py tests/docs/test_docs_code.py tests/docs/test_docs_strict.py

# OCR with the real Tesseract and RapidOCR; `make test` tries all around them with a program in their place. Installs what
# is missing.
test-ocr: .venv/.ocr tesseract
	@OMP_NUM_THREADS=1 ARACLIP_TEST_OCR=1 $(BIN)/python -m pytest tests/pictures/test_ocr.py

.venv/.ocr: pyproject.toml .venv/.test
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[ocr]'
	@touch $@

# Which changes of the metrics and the store does no test notice? SAMPLE of each, drawn by SEED, for a night. Installs what
# is missing.
SAMPLE ?= 100
SEED ?= 0
mutation: .venv/.test
	@$(PIP) install --quiet 'cosmic-ray>=8.7'
	@$(BIN)/python tests/mutation/run.py --sample $(SAMPLE) --seed $(SEED)

# Bulk embedding on this machine, on a real Ray cluster of two daemons, one of which dies, and between buckets. Installs what
# is missing.
test-ray: .venv/.ray
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/cluster tests/bulk

MOTO := 'moto[server]>=5' boto3
.venv/.ray: pyproject.toml .venv/.test
	@$(PIP) install --no-compile -e '.[ray]' $(MOTO)
	@touch $@

# Galleries on a real PostgreSQL server: a private one in a temporary folder, of a user that is not root. Installs what is
# missing; ARACLIP_TEST_POSTGRES=postgresql://… takes a server that runs already.
ARACLIP_TEST_POSTGRES ?= private
test-postgres: .venv/.ray postgres
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

# The other end of the range of transformers that the model class promises to work with (`make test` has the newest).
test-oldest: .venv/.test .venv/.oldest
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 PYTHONPATH=.venv/oldest $(BIN)/python -m pytest --hypothesis-profile=few tests/training/test_model.py tests/training/test_registration.py tests/training/test_transformers_contract.py tests/training/test_processor_contract.py

.venv/.oldest: .venv/bin/python
	@$(PIP) install --no-compile --upgrade --target .venv/oldest 'transformers==5.0.0'
	@touch $@

# The core, without PyTorch, with the lowest version of each dependency that pyproject.toml allows. Old libraries warn
# about still older ones.
LOWEST_TOOLS := pytest pytest-xdist hypothesis httpx httpx2 onnx watchfiles
test-lowest: .venv/.lowest
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 PYTHONPATH=src .venv/lowest/bin/python tests/core_tests.py --of-dependencies --hypothesis-profile=few -n 3 --dist loadfile --no-loadscope-reorder \
	  -W ignore::DeprecationWarning -W ignore::PendingDeprecationWarning

.venv/.lowest: pyproject.toml tests/lowest.py .venv/bin/python
	@$(PYTHON) -m venv --clear --without-pip .venv/lowest && $(BIN)/python tests/lowest.py > .venv/lowest/lowest.txt
	@$(PIP) --python .venv/lowest/bin/python install --no-compile -r .venv/lowest/lowest.txt $(LOWEST_TOOLS)
	@touch $@

# Speeds as ratios to plain ways, measured in one run, compared with those on record; ends with an error where one has
# lost a quarter. Under five minutes, on a machine that does nothing else.
bench: .venv/.test
	@HF_HUB_OFFLINE=1 $(BIN)/python benchmarks/regressions.py

# Thousands of kills, damages, copies, hostile pictures, requests and model folders: hours. Each script prints its own
# table (docs/reliability.md has the figures) and ends with 1 if anything was lost, wrong or not refused.
trials: .venv/.ray
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

lint: .venv/.test lint-github
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format . && $(BIN)/mypy

# The workflows, the forms of issues, the citation and the job for Kubernetes, by their schemas; zizmor looks for what a stranger could
# abuse. actionlint, a program in Go whose packages on PyPI download it, is asked where it is installed.
lint-github: .venv/.test
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
release-check: .venv/.release
	@$(BIN)/python -u tests/release/check.py --tests $(SDIST_TESTS) --workers $(SDIST_WORKERS)

wheel: .venv/.test
	@$(BIN)/python -m build --wheel --outdir dist

# araclip-mini from its data, hours on two cores (npm fetches the emoji); stop it whenever you like, it goes on where it was.
# bfloat16 is left out on processors that do not compute with it.
mini: .venv/.test
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
.venv/bin/python:
	@$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 15), "AraCLIP needs Python 3.11 to 3.14, this is " + sys.version.split()[0]; import ensurepip' \
	|| { echo "Python 3.11 to 3.14 with venv and pip is needed (on Debian and Ubuntu: apt install python3-venv; another: make demo PYTHON=python3.13)."; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/.demo: pyproject.toml .venv/bin/python
	@echo "Installing (once, about a minute) …"
	@$(PIP) install --no-compile -e '.[demo]'
	@touch $@

.venv/.test: pyproject.toml .venv/bin/python
	@echo "Installing (once, a few minutes) …"
	@$(PIP) install --no-compile -e '.[demo,dev,train,mini,peers]'
	@touch $@ .venv/.demo

# All of these in two steps: pip resolves and builds fewer times, and looks for Ray's packages beside what is there.
.venv/.everything: pyproject.toml .venv/bin/python
	@echo "Installing all that tests need (once, a few minutes) …"
	@$(PIP) install --no-compile -e '.[demo,dev,train,mini,peers,docs,browser]'
	@$(PIP) install --no-compile -e '.[ray]' $(MOTO)
	@touch .venv/.test .venv/.demo .venv/.docs .venv/.browser .venv/.ray $@

.venv/.docs: pyproject.toml .venv/.test
	@$(PIP) install --no-compile -e '.[docs]'
	@touch $@

.venv/.release: pyproject.toml .venv/bin/python
	@$(PIP) install --no-compile $$($(BIN)/python tests/release/tools.py)
	@touch $@

.venv/.browser: pyproject.toml .venv/.test
	@$(PIP) install --no-compile -e '.[browser]'
	@touch $@
