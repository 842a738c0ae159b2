import os
import resource
import subprocess
import sys
import threading
import time
from importlib import metadata

import fdwatch
import pytest


def listed(pid="self"):
    names = os.listdir(f"/proc/{pid}/fd")
    # The folder that was read is one of our own.
    return len(names) - (pid == "self")


def test_our_own():
    assert fdwatch.count() == listed()
    read, write = os.pipe()
    assert fdwatch.count() == listed()
    os.close(read)
    os.close(write)
    assert fdwatch.count() == listed() == fdwatch.count(os.getpid()) == fdwatch.count(pid=None)


def test_of_another_process(idle):
    assert fdwatch.count(idle.pid) == listed(idle.pid)


def test_as_many_as_there_may_be(run_python):
    many = min(20_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 100)
    script = f"""
import fdwatch, os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({many + 100}, {many + 100}))
before = fdwatch.count()
held = [os.dup(0) for _ in range({many})]
assert fdwatch.count() == before + {many}
assert len(fdwatch.snapshot().descriptors) == before + {many}
print("counted")
"""
    assert run_python(script) == "counted\n"


def test_a_missing_process():
    with subprocess.Popen(["true"]) as child:
        pass
    for look in (fdwatch.count, fdwatch.snapshot):
        for pid in (child.pid, 2**31, 2**40):
            with pytest.raises(ProcessLookupError, match=f"no process {pid}"):
                look(pid)


def test_a_zombie_has_none():
    child = subprocess.Popen(["true"], stdin=subprocess.DEVNULL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert fdwatch.count(child.pid) == 0
    assert fdwatch.snapshot(child.pid).descriptors == ()
    child.wait()


@pytest.mark.parametrize("pid", [0, -1])
def test_what_is_no_pid(pid):
    with pytest.raises(ValueError, match="no pid"):
        fdwatch.count(pid)
    with pytest.raises(ValueError, match="no pid"):
        fdwatch.snapshot(pid)


def test_what_is_no_number():
    with pytest.raises(TypeError):
        fdwatch.count("self")
    with pytest.raises(OverflowError):
        fdwatch.count(2**80)


def test_another_users_process_is_not_shown(idle, run_python):
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    # Imported first: another user may not reach this package.
    script = f"""
import fdwatch, os
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
try:
    fdwatch.snapshot({idle.pid})
except PermissionError as error:
    print(error.errno, error.strerror)
"""
    said = run_python(script)
    assert said == f"13 the kernel does not show the descriptors of process {idle.pid}: run as its user or as root\n"


def test_after_a_fork_it_is_the_childs_own():
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        os.write(write, f"{fdwatch.snapshot().pid} {fdwatch.count()} {listed()}".encode())
        os._exit(0)
    os.close(write)
    with open(read) as answer:
        of, counted, found = map(int, answer.read().split())
    os.waitpid(pid, 0)
    assert of == pid
    assert counted == found


def test_other_threads_run_while_it_reads():
    """Threads do not switch by themselves for hours here, so the other thread runs only if the call lets the interpreter go."""
    may_go, went = threading.Event(), []

    def other():
        may_go.wait()
        went.append(True)

    thread = threading.Thread(target=other)
    thread.start()
    before = sys.getswitchinterval()
    sys.setswitchinterval(10_000)
    try:
        may_go.set()
        deadline = time.monotonic() + 20
        while not went and time.monotonic() < deadline:
            fdwatch.snapshot()
        # Not `thread.join()`: that lets go as well.
        ran = bool(went)
    finally:
        sys.setswitchinterval(before)
    thread.join()
    assert ran


def test_the_version_is_that_of_the_package():
    assert fdwatch.__version__ == metadata.version("fdwatch")
