"""What this process holds at one moment: descriptors and child processes. For the pytest plugin."""

from __future__ import annotations

import os
import sys
from collections import Counter
from fnmatch import fnmatchcase
from typing import Collection, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from . import Socket, snapshot

PROCESS = "process"

# Libraries open these once and keep them.
_KEPT_BY_LIBRARIES = ("/dev/random", "/dev/urandom")
# Who redirects the standard streams (pytest does, around each test) leaves none behind.
_STANDARD_STREAMS = (0, 1, 2)


class Held(NamedTuple):
    """A descriptor, or a process that this one has started, or one below it."""

    kind: str
    """As in `fdwatch.Descriptor`, or `PROCESS`."""
    number: int
    """Of the descriptor, or the pid."""
    name: str
    """What it refers to, or what the process is called."""
    details: str
    """For a person."""

    def __str__(self) -> str:
        number = f"pid {self.number}" if self.kind == PROCESS else f"fd {self.number}"
        return "  ".join(filter(None, (number, self.kind, printable(self.name), self.details)))

    def is_called(self, patterns: Sequence[str]) -> bool:
        return any(self.kind == pattern or fnmatchcase(self.name, pattern) for pattern in patterns)


# What makes a number the same thing still: a file may be renamed or removed meanwhile.
Key = Tuple[str, int, int, int]
Holding = Dict[Key, Held]


def holding() -> Holding:
    """All that this process holds now, less what the standard library keeps for itself."""
    descriptors, processes = _of_the_standard_library()
    held = {}
    for open in snapshot().descriptors:
        if open.fd in _STANDARD_STREAMS or open.fd in descriptors or open.target in _KEPT_BY_LIBRARIES:
            continue
        try:
            inode = os.fstat(open.fd)
        except OSError:
            # Closed by another thread by now.
            continue
        key = ("fd", open.fd, inode.st_dev, inode.st_ino)
        held[key] = Held(open.kind, open.fd, open.target, _of_socket(open.socket))
    for stat in _processes():
        if stat.pid not in processes:
            held[(PROCESS, stat.pid, stat.start, 0)] = Held(PROCESS, stat.pid, os.fsdecode(stat.name), stat.details())
    return held


def left_behind(before: Holding, after: Holding, unplaced: Collection[Key] = ()) -> List[Held]:
    """What is there after and was not before, less what took the place of another of its kind.

    A connection that was closed and made anew is not left behind, nor is a log file that was exchanged. Nothing takes the
    place of what is `unplaced`.
    """
    gone = [held for key, held in before.items() if key not in after and key not in unplaced]
    places = Counter(held.kind for held in gone)
    numbers = {(held.kind, held.number) for held in gone}
    new = [held for key, held in after.items() if key not in before]
    # The one with the number of one that is gone comes first: it is the likeliest to be in its place.
    new.sort(key=lambda held: ((held.kind, held.number) not in numbers, held.number))
    left = []
    for held in new:
        if places[held.kind] > 0:
            places[held.kind] -= 1
        else:
            left.append(held)
    return left


def printable(text: str) -> str:
    """One line that any terminal can show, whatever bytes a name is made of."""
    shown = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def _of_socket(socket: Optional[Socket]) -> str:
    if socket is None:
        return ""
    ends = " to ".join(printable(end) for end in (socket.local, socket.peer) if end)
    return " ".join(filter(None, (socket.family, socket.state, ends)))


class _Stat(NamedTuple):
    """Of `/proc/PID/stat`."""

    pid: int
    name: bytes
    state: bytes
    parent: int
    group: int
    start: int

    @classmethod
    def read(cls, pid: int) -> Optional[_Stat]:
        """Nothing if it is gone by now."""
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                stat = file.read()
        except OSError:
            return None
        # The name may have any bytes in it, brackets and spaces too.
        name = stat[stat.index(b"(") + 1 : stat.rindex(b")")]
        fields = stat[stat.rindex(b")") + 1 :].split()
        return cls(pid, name, fields[0], int(fields[1]), int(fields[2]), int(fields[19]))

    def has_ended(self) -> bool:
        return self.state in (b"Z", b"X")

    def details(self) -> str:
        state = "ended, but not waited for" if self.has_ended() else "still running"
        return state if self.parent == os.getpid() else f"{state}, below pid {self.parent}"


# More are not looked for: a test that has started so many is told about enough of them.
_PROCESSES_MAX = 4096


def _processes() -> Iterator[_Stat]:
    """Those below this one, however deep, and those that were until their parent ended."""
    below: Set[int] = set()
    waiting = [os.getpid()]
    while waiting and len(below) < _PROCESSES_MAX:
        for pid in _children(waiting.pop()):
            if pid not in below:
                below.add(pid)
                waiting.append(pid)
    for pid in below:
        stat = _Stat.read(pid)
        # One that has ended further down is its own parent's to wait for.
        if stat is not None and not (stat.has_ended() and stat.parent != os.getpid()):
            yield stat
    for stat in _orphans.find():
        if stat.pid not in below:
            yield stat


def _children(pid: int) -> Iterator[int]:
    # Each thread has its own. Kernels without the file do not tell; then none is found.
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for task in tasks:
        try:
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                pids = file.read().split()
        except OSError:
            continue
        yield from map(int, pids)


class _Orphans:
    """Processes whose parent has ended: they are below another process now, and known by our process group, which they have kept.

    A neighbour of ours (`pytest | tee`, a job of the same script) has that group, too; but a process that it starts is below it, in
    the group, and an orphan is not.
    """

    def __init__(self) -> None:
        self.newest = ""
        self.group: List[int] = []

    def find(self) -> Iterator[_Stat]:
        self._look_for_new_ones()
        own = _Stat.read(os.getpid())
        for pid in self.group:
            stat = _Stat.read(pid)
            if stat is None or own is None or stat.group != own.group or stat.has_ended():
                continue
            parent = _Stat.read(stat.parent)
            if pid != own.pid and stat.start >= own.start and (parent is None or parent.group != own.group):
                yield stat

    def _look_for_new_ones(self) -> None:
        newest = _newest_pid()
        # A look at all processes takes milliseconds: only where there may be another one.
        if newest and newest == self.newest:
            return
        self.newest = newest
        group = os.getpgrp()
        stats = (_Stat.read(int(name)) for name in os.listdir("/proc") if name.isdigit())
        self.group = [stat.pid for stat in stats if stat is not None and stat.group == group][:_PROCESSES_MAX]


_orphans = _Orphans()


def _newest_pid() -> str:
    """The number that was given out last; nothing where the kernel does not tell."""
    try:
        with open("/proc/loadavg", encoding="ascii") as file:
            return file.read().split()[-1]
    except (OSError, IndexError):
        return ""


def _of_the_standard_library() -> Tuple[List[int], List[int]]:
    """Descriptors and processes that `multiprocessing` starts once and keeps until the end."""
    tracker = _singleton("multiprocessing.resource_tracker", "_resource_tracker")
    server = _singleton("multiprocessing.forkserver", "_forkserver")
    descriptors = [getattr(tracker, "_fd", None), getattr(server, "_forkserver_alive_fd", None)]
    processes = [getattr(tracker, "_pid", None), getattr(server, "_forkserver_pid", None)]
    return [fd for fd in descriptors if fd is not None], [pid for pid in processes if pid is not None]


def _singleton(module: str, name: str) -> object:
    # Not imported here: where the module was not imported, there is nothing to find.
    return getattr(sys.modules.get(module), name, None)
