"""A pytest plugin that fails a test which leaves descriptors or child processes behind.

Asleep without `--fdwatch` or the ini option `fdwatch`. What is looked at is the difference between the moment before the
fixtures of a test are set up and the moment after they are torn down. What a fixture of a wider scope opens is the
fixture's until that ends; then it is the last test's. A test that has failed is not judged: its traceback keeps alive
what its frames hold. That is let go before the next test begins, and what is still there then belongs to no later test:
nothing can take its place.
"""

from __future__ import annotations

import gc
import sys
import time
from typing import Any, Dict, Generator, List, Sequence, Set, Tuple

import pytest

from ._held import Held, Holding, Key, holding, left_behind

NAMED_MAX = 50
POLL_SECONDS = 0.01
WAIT_MS = "500"


def pytest_addoption(parser: pytest.Parser) -> None:
    about = "fail tests that leave file descriptors or child processes behind"
    parser.getgroup("fdwatch", "descriptor leaks").addoption("--fdwatch", action="store_true", help=about)
    parser.addini("fdwatch", about, type="bool", default=False)
    parser.addini(
        "fdwatch_ignore",
        "what may be left behind: patterns of paths and other targets, or kinds; one a line",
        type="linelist",
        default=[],
    )
    parser.addini(
        "fdwatch_wait_ms",
        f"how long what is left behind may take to go away by itself ({WAIT_MS})",
        default=WAIT_MS,
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "fdwatch(allow=0, ignore=()): the test may leave so many behind, or those that match these patterns of targets "
        "or are of these kinds; ignore=True: any",
    )
    if config.getoption("fdwatch") or config.getini("fdwatch"):
        config.pluginmanager.register(LeakCheck(config), "fdwatch_leak_check")


class LeakCheck:
    """The hooks, where the check was asked for."""

    def __init__(self, config: pytest.Config) -> None:
        self.ignored: List[str] = config.getini("fdwatch_ignore")
        try:
            self.wait_seconds = int(config.getini("fdwatch_wait_ms")) / 1000
        except ValueError:
            raise pytest.UsageError("fdwatch_wait_ms is a number of milliseconds") from None
        # What may be there after the test, and which of it belongs to which fixture.
        self.expected: Holding = {}
        self.of_fixtures: Dict[Any, Holding] = {}
        self.has_failed = False
        # What failed tests have left: no later test has a right to its place.
        self.of_failed: Set[Key] = set()

    def pytest_collection_modifyitems(self, items: List[pytest.Item]) -> None:
        for item in items:
            allowed(item)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        if self.has_failed:
            forget_failure()
        expected = holding()
        if self.has_failed:
            self.of_failed.update(key for key in expected if key not in self.expected)
        self.of_failed.intersection_update(expected)
        self.has_failed = False
        self.expected = expected
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        if fixturedef.scope == "function":
            return (yield)
        before = holding()
        try:
            return (yield)
        finally:
            # Less what those have opened that were set up meanwhile.
            known = set(before).union(*self.of_fixtures.values())
            own = {key: held for key, held in holding().items() if key not in known}
            self.of_fixtures[fixturedef] = own
            self.expected.update(own)

    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        for key in self.of_fixtures.pop(fixturedef, ()):
            self.expected.pop(key, None)

    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> None:
        self.has_failed = self.has_failed or call.excinfo is not None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        result = yield
        allow, patterns = allowed(item)
        if allow is not None and not self.has_failed:
            left = self.left([*self.ignored, *patterns], allow)
            if len(left) > allow:
                pytest.fail(message(left, allow), pytrace=False)
        return result

    def left(self, patterns: Sequence[str], allow: int) -> List[Held]:
        """What stays when there was time for it to go away: a server closes its end later than its client."""
        deadline = time.monotonic() + self.wait_seconds
        is_collected = False
        while True:
            found = left_behind(self.expected, holding(), self.of_failed)
            left = [held for held in found if not held.is_called(patterns)]
            if len(left) <= allow or (is_collected and time.monotonic() >= deadline):
                return left
            if is_collected:
                time.sleep(POLL_SECONDS)
            else:
                # What is only part of a cycle would be closed sooner or later.
                gc.collect()
                is_collected = True


def forget_failure() -> None:
    """Lets go of the frames of a failed test, which pytest itself does only when the next one is called, in its midst."""
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        if hasattr(sys, name):
            delattr(sys, name)
    # An exception and its frames hold each other.
    gc.collect()


def allowed(item: pytest.Item) -> Tuple[Any, Sequence[str]]:
    """How many a test may leave behind, and patterns that it may as well. Nothing instead of a number: any."""
    marker = item.get_closest_marker("fdwatch")
    if marker is None:
        return 0, ()
    allow, ignore = marker.kwargs.get("allow", 0), marker.kwargs.get("ignore", ())
    if isinstance(ignore, str):
        ignore = (ignore,)
    is_known = not marker.args and set(marker.kwargs) <= {"allow", "ignore"}
    if not is_known or type(allow) is not int or allow < 0 or not isinstance(ignore, (bool, list, tuple)):
        raise pytest.UsageError(f"{item.nodeid}: write fdwatch(allow=NUMBER) or fdwatch(ignore=PATTERNS or True)")
    if isinstance(ignore, bool):
        return (None if ignore else allow), ()
    return allow, ignore


def message(left: Sequence[Held], allow: int) -> str:
    but = f" ({allow} may be)" if allow else ""
    lines = [f"{len(left)} left behind{but} by this test, or by a fixture that ended with it:"]
    lines += [f"  {held}" for held in left[:NAMED_MAX]]
    if len(left) > NAMED_MAX:
        lines.append(f"  and {len(left) - NAMED_MAX} more")
    return "\n".join(lines)
