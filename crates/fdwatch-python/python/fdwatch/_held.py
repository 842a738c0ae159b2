"""What this process holds at one moment: descriptors and child processes. For the pytest plugin."""

from __future__ import annotations

import os
import sys
from collections import Counter
from fnmatch import fnmatchcase
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from . import Socket, snapshot

PROCESS = "process"

# Libraries open these once and keep them.
_KEPT_BY_LIBRARIES = ("/dev/random", "/dev/urandom")
# Who redirects the standard streams (pytest does, around each test) leaves none behind.
_STANDARD_STREAMS = (0, 1, 2)


class Held(NamedTuple):
    """A descriptor, or a child process."""

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
    for pid in _children():
        found = _child(pid)
        if found is not None and pid not in processes:
            start, child = found
            held[(PROCESS, pid, start, 0)] = child
    return held


def left_behind(before: Holding, after: Holding) -> List[Held]:
    """What is there after and was not before, less what took the place of another of its kind.

    A connection that was closed and made anew is not left behind, nor is a log file that was exchanged.
    """
    gone = [held for key, held in before.items() if key not in after]
    places = Counter(held.kind for held in gone)
    numbers = {(held.kind, held.number) for held in gone}
    new = [held for key, held in after.items() if key not in before]
    # Whoever has the number of one that is gone comes first: it is the likeliest to be in its place.
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


def _children() -> Iterator[int]:
    # Each thread has its own. Kernels without the file do not tell; then none is found.
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/children", "rb") as file:
                pids = file.read().split()
        except OSError:
            continue
        yield from map(int, pids)


def _child(pid: int) -> Optional[Tuple[int, Held]]:
    """With when it started; nothing if it is gone by now."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return None
    # The name may have any bytes in it, brackets and spaces too.
    name = stat[stat.index(b"(") + 1 : stat.rindex(b")")]
    fields = stat[stat.rindex(b")") + 1 :].split()
    state = "ended, but nobody has waited for it" if fields[0] == b"Z" else "still running"
    return int(fields[19]), Held(PROCESS, pid, os.fsdecode(name), state)


def _of_the_standard_library() -> Tuple[List[int], List[int]]:
    """Descriptors and processes that `multiprocessing` starts once and keeps until the end."""
    tracker = _singleton("multiprocessing.resource_tracker", "_resource_tracker")
    server = _singleton("multiprocessing.forkserver", "_forkserver")
    descriptors = [getattr(tracker, "_fd", None), getattr(server, "_forkserver_alive_fd", None)]
    processes = [getattr(tracker, "_pid", None), getattr(server, "_forkserver_pid", None)]
    return [fd for fd in descriptors if fd is not None], [pid for pid in processes if pid is not None]


def _singleton(module: str, name: str) -> object:
    # Not imported: where nobody has, there is nothing to find.
    return getattr(sys.modules.get(module), name, None)
