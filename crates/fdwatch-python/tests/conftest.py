"""What the tests of the installed package share. They are run by `cargo xtask python`."""

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture
def idle():
    """A process that waits for its standard input to end, also when this one is killed."""
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(["cat"], stdin=pipe, stdout=pipe, stderr=nowhere, bufsize=0, close_fds=True) as child:
        # Once it answers it has its libraries, and opens nothing more.
        child.stdin.write(b"started\n")
        assert child.stdout.readline() == b"started\n"
        yield child


@pytest.fixture
def run_python():
    def run(script):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
