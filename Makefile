# Each target does the complete set-up first; no target needs another, and a second run reuses the set-up.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help setup test test-quick fuzz lint demo demo-online house clean

VENV := .venv
# Processes that share the tests; 0 runs them in one.
WORKERS ?= 2
# Damaged inputs of `make fuzz`.
FUZZ ?= 100000
# A venv belongs to one world: the sourced ROS 2, or the wheels from PyPI.
STAMP := $(VENV)/ready-for-$(or $(ROS_DISTRO),pypi)

# The wheels' bootstrap of another venv must not leak in here: it would load that venv's libraries.
ifdef _ROS_WHEELS_BOOTSTRAP_COMPLETE
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE LD_LIBRARY_PATH
endif

help:
	@echo "make demo         an unseen room through the running nodes; results in out/demo/"
	@echo "make demo-online  rooms of an unseen kind are tagged and learned from; results in out/demo_online/"
	@echo "make test         all tests, in about 20 minutes on 2 cores; some of them: TESTS=tests/bags"
	@echo "make test-quick   the tests that start no node and train nothing"
	@echo "make fuzz         damaged inputs for every reader, FUZZ=100000 of them; a table of what became of them"
	@echo "make lint         ruff and mypy"
	@echo "make house        draw the rooms of the package and their imports: docs/house.png"
	@echo "make clean        remove the set-up and everything built"

setup: $(STAMP)

test: $(STAMP)
	$(VENV)/bin/python -m pytest -n $(WORKERS) --dist loadfile $(TESTS)

test-quick: $(STAMP)
	$(VENV)/bin/python -m pytest -n $(WORKERS) --dist loadfile -m "not slow" $(TESTS)

fuzz: $(STAMP)
	PYTHONPATH=.:tests $(VENV)/bin/python -m fuzz.run --count $(FUZZ)

demo: $(STAMP)
	$(VENV)/bin/wsss demo $(DEMO)

demo-online: $(STAMP)
	$(VENV)/bin/wsss demo-online $(ONLINE)

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

house: $(STAMP)
	$(VENV)/bin/python docs/draw_house.py . docs/house.png

clean:
	rm -rf $(VENV) build install log *.egg-info

$(STAMP): setup.py setup.cfg constraints.txt Makefile
	@install_or_name() {  # install_or_name PACKAGE...: as root install it, otherwise say how and stop
	    echo "Missing on this system: $$*. The command that installs it: sudo apt-get install -y $$*"
	    [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null || exit 1
	    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "$$@"
	}

	# 1. A Python from 3.10 to 3.12; on a ROS 2 machine the one that ROS was built for.
	ros=
	find_python() {
	    local candidate
	    for candidate in $${PYTHON:-} python3 python3.12 python3.11 python3.10; do
	        if "$$candidate" -c "import sys; assert (3, 10) <= sys.version_info < (3, 13)$$1" 2> /dev/null; then
	            python=$$candidate
	            return
	        fi
	    done
	    return 1
	}
	if [ -n "$${ROS_DISTRO:-}" ] && find_python "; import rclpy"; then
	    ros=$$ROS_DISTRO
	elif [ -n "$${ROS_DISTRO:-}" ]; then
	    echo "ROS_DISTRO is '$$ROS_DISTRO', but no Python from 3.10 to 3.12 here can import rclpy."
	    echo "Source a complete ROS 2 (/opt/ros/jazzy/setup.bash), or none at all (unset ROS_DISTRO)."
	    exit 1
	elif ! find_python ""; then
	    echo "Python 3.10, 3.11 or 3.12 is needed; found: $$(python3 --version 2>&1 || true)."
	    echo "Install one, or name it: make PYTHON=/path/to/python3.12 ..."
	    exit 1
	fi

	# 2. The virtual environment; rebuilt where it is broken or belongs to the other world.
	system=$${ros:+true}
	if ! $(VENV)/bin/python -m pip --version > /dev/null 2>&1 ||
	   ! grep -q "include-system-site-packages = $${system:-false}" $(VENV)/pyvenv.cfg; then
	    if ! "$$python" -c "import ensurepip" 2> /dev/null; then
	        install_or_name "$$("$$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
	    fi
	    echo "Setting up $(VENV) with $$("$$python" --version), ROS 2 from: $${ros:-PyPI}"
	    "$$python" -m venv --clear $${ros:+--system-site-packages} $(VENV)
	fi

	# 3. The package and what it needs. A sourced ROS 2 keeps its own rclpy, and the numpy 1 its messages were built with.
	pip() { $(VENV)/bin/python -m pip --disable-pip-version-check "$$@"; }
	pip install -qq "pip>=23.1" "setuptools>=64" wheel
	echo "Installing the package and what it needs; the first time this takes some minutes."
	if [ -n "$$ros" ]; then
	    { grep -E "^(torch|mypy|ruff)==" constraints.txt; "$$python" -c "import numpy; print(f'numpy=={numpy.__version__}')"; } > $(VENV)/constraints.txt
	    pip install -qq --use-pep517 -c $(VENV)/constraints.txt -e ".[test,lint,imagenet,view]"
	else
	    pip install -qq --use-pep517 -c constraints.txt -e ".[test,lint,imagenet,view,ros]"
	fi

	# 4. System libraries: where an import fails, those that are missing are named and, as root, installed.
	imports() { $(VENV)/bin/python -c "import open3d, torch, rclpy, numba.np.ufunc.omppool; rclpy.init()"; }
	if ! imports > /dev/null 2>&1; then
	    missing=()
	    for known in libusb-1.0.so.0=libusb-1.0-0 libgomp.so.1=libgomp1 libGL.so.1=libgl1 libEGL.so.1=libegl1 libX11.so.6=libx11-6; do
	        $(VENV)/bin/python -c "import ctypes; ctypes.CDLL('$${known%=*}')" 2> /dev/null || missing+=("$${known#*=}")
	    done
	    [ "$${#missing[@]}" = 0 ] || install_or_name "$${missing[@]}"
	    imports || { echo "An import fails for a reason this set-up does not know; see above."; exit 1; }
	fi
	touch $@
