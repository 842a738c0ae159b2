"""The plugin, on tests of tests: each runs a pytest of its own."""

import subprocess

import pytest

LEAK = """
import os, socket, subprocess, sys, threading
import pytest

KEPT = []

def leak(path=os.devnull):
    KEPT.append(open(path))
"""


@pytest.fixture
def run(pytester, monkeypatch):
    # With one of them set pytest does not shorten its summary, and says every message twice.
    for name in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)

    def run(source, *options, ini=""):
        pytester.makeini(f"[pytest]\nfdwatch_wait_ms = 50\n{ini}")
        pytester.makepyfile(LEAK + source)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *options, timeout=60)

    return run


ONE_LEAK = """
def test_clean(tmp_path):
    with open(tmp_path / "x", "w"):
        pass

def test_leaky(tmp_path):
    (tmp_path / "left open").touch()
    leak(tmp_path / "left open")

def test_clean_again():
    os.close(os.dup(1))
"""


def test_a_leak_fails_its_test_and_is_named(run):
    result = run(ONE_LEAK, "--fdwatch")
    result.assert_outcomes(passed=3, errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["*ERROR at teardown of test_leaky*", "1 left behind by this test*", "  fd [0-9]*  file  */left open"]
    )


def test_without_the_option_nothing_is_checked(run):
    run(ONE_LEAK).assert_outcomes(passed=3)


def test_the_ini_file_asks_for_it(run):
    run(ONE_LEAK, ini="fdwatch = true").assert_outcomes(passed=3, errors=1)


def test_each_kind_is_named(run):
    source = """
def test_leaky():
    server = socket.create_server(("127.0.0.1", 0))
    KEPT.extend([server, os.pipe(), os.memfd_create("stones")])
"""
    result = run(source, "--fdwatch")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "4 left behind*",
            "  fd *  socket  socket:*  tcp listen 127.0.0.1:*",
            "  fd *  pipe  pipe:*",
            "  fd *  pipe  pipe:*",
            "  fd *  memfd  /memfd:stones (deleted)",
        ]
    )


def test_the_marker_allows_some(run):
    source = """
@pytest.mark.fdwatch(allow=2)
def test_within():
    leak(); leak()

@pytest.mark.fdwatch(allow=2)
def test_beyond():
    leak(); leak(); leak()

@pytest.mark.fdwatch(ignore=True)
def test_ignored():
    leak()

@pytest.mark.fdwatch(ignore="*/null")
def test_ignored_by_name():
    leak()

@pytest.mark.fdwatch(ignore=["*/nothing", "device"])
class TestIgnoredByKind:
    def test_device(self):
        leak()

    def test_file(self):
        leak(__file__)

    @pytest.mark.fdwatch
    def test_the_closest_marker_counts(self):
        leak()
"""
    result = run(source, "--fdwatch", "--strict-markers", "-rE")
    result.assert_outcomes(passed=7, errors=3)
    result.stdout.fnmatch_lines(["3 left behind (2 may be) by this test*"])
    result.stdout.fnmatch_lines(["ERROR *::test_beyond*", "ERROR *::test_file*", "ERROR *::test_the_closest_marker_counts*"])


def test_the_ini_file_ignores(run):
    result = run("def test_leaky(): leak(); leak(__file__)", "--fdwatch", ini="fdwatch_ignore =\n  */null\n  epoll")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["1 left behind*", "*file*.py"])


@pytest.mark.parametrize("marker", ["3", "allow='x'", "allow=-1", "allow=True", "ignored=True", "ignore=1"])
def test_a_marker_that_says_nothing_is_an_error(run, marker):
    result = run(f"@pytest.mark.fdwatch({marker})\ndef test_it(): pass", "--fdwatch")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *::test_it: write fdwatch(allow=NUMBER)*"])


def test_what_a_wider_fixture_opens_is_the_fixtures(run):
    source = """
@pytest.fixture(scope="session")
def of_session():
    with open(os.devnull) as held:
        yield held

@pytest.fixture(scope="module", params=[1, 2])
def of_module(of_session, request):
    with open(os.devnull) as held:
        request.getfixturevalue("asked_for_late")
        yield held

@pytest.fixture(scope="module")
def asked_for_late():
    with open(os.devnull) as held:
        yield held

@pytest.fixture
def of_function(of_module):
    with open(os.devnull) as held:
        yield held

def test_one(of_function): pass
def test_two(of_function): pass
def test_three(of_session): pass
"""
    run(source, "--fdwatch").assert_outcomes(passed=5)


def test_a_fixture_that_leaks_is_found_when_it_ends(run):
    source = """
@pytest.fixture(scope="module")
def of_module():
    leak()
    yield

@pytest.fixture
def of_function():
    leak(__file__)
    yield

def test_one(of_module): pass
def test_two(of_function): pass
def test_three(of_module): pass
def test_four(): pass
"""
    result = run(source, "--fdwatch", "-rE")
    result.assert_outcomes(passed=4, errors=2)
    result.stdout.fnmatch_lines(["ERROR *::test_two*", "ERROR *::test_four*"])
    result.stdout.fnmatch_lines(["*at teardown of test_four*", "1 left behind*", "*device*/dev/null"])


def test_what_takes_the_place_of_another_is_no_leak(run):
    source = """
class Log:
    def open(self, name):
        self.file = open(name, "a")

@pytest.fixture(scope="module")
def log(tmp_path_factory):
    log = Log()
    log.folder = tmp_path_factory.mktemp("log")
    log.open(log.folder / "1")
    yield log
    log.file.close()

def test_exchanged(log):
    log.file.close()
    # It does not get the number of the old one.
    with open(os.devnull):
        log.open(log.folder / "2")

def test_renamed_and_removed(log):
    (log.folder / "2").rename(log.folder / "3")
    (log.folder / "3").unlink()

def test_another_kind_is_no_exchange(log):
    log.file.close()
    KEPT.append(socket.socket())

def test_open_again(log):
    log.open(log.folder / "4")
"""
    result = run(source, "--fdwatch", "-rE")
    # The last one opened what the fixture has closed when it ended.
    result.assert_outcomes(passed=4, errors=1)
    result.stdout.fnmatch_lines(["ERROR *::test_another_kind_is_no_exchange*"])


def test_a_failed_test_is_not_judged(run):
    source = """
def test_fails():
    held = open(os.devnull)
    assert False

@pytest.mark.xfail
def test_fails_as_expected():
    held = open(os.devnull)
    assert False

def test_skips():
    held = open(os.devnull)
    pytest.skip("not here")

def test_passes(): pass
"""
    run(source, "--fdwatch").assert_outcomes(failed=1, xfailed=1, skipped=1, passed=1)


@pytest.mark.parametrize("path", ["__file__", "os.devnull"])
def test_what_a_failed_test_held_forgives_no_later_one(run, path):
    # The second has the number and the file of the first, or only its kind.
    source = f"""
def test_fails():
    held = open({path})
    assert False

def test_leaky():
    leak(os.devnull if {path} == os.devnull else sys.executable)

def test_passes(): pass
"""
    result = run(source, "--fdwatch", "-rE")
    result.assert_outcomes(failed=1, passed=2, errors=1)
    result.stdout.fnmatch_lines(["ERROR *::test_leaky*"])


def test_what_a_failed_test_leaves_for_good_gives_no_place(run):
    source = """
def test_fails():
    leak(__file__)
    assert False

def test_closes_it_and_leaks_another():
    KEPT.pop().close()
    # Another number.
    with open(os.devnull):
        leak(sys.executable)

def test_passes(): pass
"""
    result = run(source, "--fdwatch", "-rE")
    result.assert_outcomes(failed=1, passed=2, errors=1)
    result.stdout.fnmatch_lines(["ERROR *::test_closes_it_and_leaks_another*"])


def test_processes_of_processes_are_seen(run):
    source = """
PIDS = []

def start(script):
    child = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    KEPT.append(child)
    PIDS.append(int(child.stdout.readline()))

@pytest.mark.fdwatch(ignore=["pipe", "process"])
def test_ignored():
    start("sleep 300 & echo $!; wait")

def test_below_a_child():
    start("(sleep 301 & echo $!; wait) & wait")

def test_orphan():
    start("sleep 302 >/dev/null & echo $!")
    KEPT[-1].wait()

def test_waited_for():
    subprocess.run(["sh", "-c", "sleep 0 & wait"], check=True)

@pytest.mark.fdwatch(ignore=True)
def test_end():
    for pid in PIDS:
        os.kill(pid, 9)
"""
    result = run(source, "--fdwatch", "-rE")
    result.assert_outcomes(passed=5, errors=2)
    result.stdout.fnmatch_lines(["*at teardown of test_below_a_child*", "*  sleep  still running, below pid *"])
    result.stdout.fnmatch_lines(["*at teardown of test_orphan*", "*  sleep  still running, below pid *"])


def test_processes_of_neighbours_are_not_ours(run, pytester):
    # In our process group, and not below us: as a job of the same script is.
    script = "while :; do sleep 0.01; done"
    with subprocess.Popen(["sh", "-c", script]) as neighbour:
        try:
            run("import time\ndef test_clean(): time.sleep(0.2)", "--fdwatch").assert_outcomes(passed=1)
        finally:
            neighbour.kill()


def test_what_only_a_cycle_holds_is_no_leak(run):
    source = """
def test_cycle():
    holder = [open(os.devnull)]
    holder.append(holder)
"""
    run(source, "--fdwatch", "-W", "ignore::ResourceWarning").assert_outcomes(passed=1)


def test_what_goes_away_in_time_is_no_leak(run):
    source = """
def test_closed_by_another_thread():
    held = os.dup(1)
    threading.Timer(0.2, os.close, [held]).start()
"""
    run(source, "--fdwatch", "-o", "fdwatch_wait_ms=30000").assert_outcomes(passed=1)


def test_children_are_named_and_zombies_too(run):
    source = """
def test_running():
    KEPT.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))

def test_ended():
    child = subprocess.Popen(["true"])
    KEPT.append(child)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

def test_waited_for():
    subprocess.run(["true"], check=True)

@pytest.mark.fdwatch(ignore="process")
def test_ignored():
    KEPT.append(subprocess.Popen(["true"]))
"""
    result = run(source, "--fdwatch")
    result.assert_outcomes(passed=4, errors=2)
    result.stdout.fnmatch_lines(
        [
            "2 left behind*",
            "  fd *  pipe  pipe:*",
            "  pid *  process  *  still running",
            "1 left behind*",
            "  pid *  process  true  ended, but not waited for",
        ]
    )


def test_what_multiprocessing_keeps_is_no_leak(run):
    source = """
import multiprocessing

def work(x):
    return x + 1

@pytest.mark.parametrize("how", ["spawn", "forkserver", "fork"])
def test_pool(how):
    context = multiprocessing.get_context(how)
    with context.Pool(2) as pool:
        assert pool.map(work, [1]) == [2]
        pool.close()
        pool.join()
"""
    run(source, "--fdwatch", "-o", "fdwatch_wait_ms=30000").assert_outcomes(passed=3)


def test_any_bytes_in_a_name_are_shown(run):
    source = r"""
def test_leaky(tmp_path):
    KEPT.append(os.open(os.fsencode(tmp_path) + b"/a\nb\xff", os.O_CREAT))
"""
    for options in [(), ("-n", "1")]:
        result = run(source, "--fdwatch", *options)
        result.assert_outcomes(passed=1, errors=1)
        result.stdout.fnmatch_lines([r"  fd *  file  */a\nb\xff"])


def test_the_list_is_cut(run):
    result = run("def test_leaky(): KEPT.extend(os.dup(1) for _ in range(60))", "--fdwatch")
    result.stdout.fnmatch_lines(["60 left behind*", "  and 10 more"])
    assert result.stdout.str().count("  fd ") == 50


def test_capturing_and_logging_are_not_the_tests(run):
    source = """
import logging

def test_output(capfd, caplog, capsys_or_not=None):
    os.write(1, b"out")
    logging.error("said")
    assert capfd.readouterr().out == "out"
"""
    for options in [(), ("-s",), ("--capture=sys",), ("--log-file=log.txt",), ("--junitxml=x.xml",)]:
        run(source, "--fdwatch", *options).assert_outcomes(passed=1)


def test_the_standard_streams_may_be_exchanged(run):
    source = """
def test_redirects(tmp_path):
    with open(tmp_path / "input", "w+") as file:
        os.dup2(file.fileno(), 0)
"""
    run(source, "--fdwatch").assert_outcomes(passed=1)


def test_each_worker_of_xdist_looks_at_itself(run):
    source = """
@pytest.mark.parametrize("number", range(8))
def test_clean(number):
    with open(os.devnull):
        pass

@pytest.mark.parametrize("number", range(4))
def test_leaky(number):
    leak()
"""
    result = run(source, "--fdwatch", "-n", "2")
    result.assert_outcomes(passed=12, errors=4)
    result.stdout.fnmatch_lines(["1 left behind*", "  fd *  device  /dev/null"])


def test_classes_of_unittest(run):
    source = """
import unittest

class TestIt(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.held = open(os.devnull)

    @classmethod
    def tearDownClass(cls):
        cls.held.close()

    def test_clean(self): pass
    def test_leaky(self): leak()
    def test_the_end(self): pass
"""
    result = run(source, "--fdwatch")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*at teardown of TestIt.test_leaky*"])
