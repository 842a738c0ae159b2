"""What the tests of the installed package share. They are run by `cargo xtask python`."""

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture
def idle():
    """A process that waits for its standard input to end, also when this one is killed."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, close_fds=True) as child:
        yield child


@pytest.fixture
def run_python():
    def run(script):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
