"""The file descriptors of any process on Linux: how many, and what they are.

>>> import fdwatch
>>> fdwatch.count() > 0
True
>>> [open.kind for open in fdwatch.snapshot() if open.fd == 0]  # doctest: +SKIP
['device']

The pytest plugin of this package is in `fdwatch.pytest_plugin`. The command `fdwatch` watches processes over time.
"""

from __future__ import annotations

from typing import Iterator, NamedTuple, Optional, Tuple

from . import _native

__all__ = ["Descriptor", "Snapshot", "Socket", "count", "snapshot"]

__version__: str = _native.VERSION


class Socket(NamedTuple):
    """What is known about a socket."""

    family: str
    """`tcp`, `tcp6`, `udp`, `udp6`, `unix`, `netlink`, `packet`, `raw`, `raw6`."""
    state: str
    """In the words of `ss`: `established`, `close-wait`, `listen` and so on."""
    local: str
    """`127.0.0.1:80`, `[::1]:80`, a path, `@name`; empty if it has none."""
    peer: str
    """The other end, in the same form; empty if there is none."""


class Descriptor(NamedTuple):
    """One open descriptor."""

    fd: int
    """Its number."""
    kind: str
    """One word: `file`, `deleted-file`, `directory`, `memfd`, `tmp-file`, `pipe`, `fifo`, `socket`, `event-fd`, `epoll`,
    `inotify`, `timer-fd`, `signal-fd`, `pid-fd`, `io-uring`, `device`, `namespace`, `other`, or `unknown` where the
    kernel does not tell."""
    target: str
    """What it refers to, as the kernel says it: a path, `pipe:[4711]` and so on. Bytes that are no text are escaped as
    `os.fsdecode` does it; `os.fsencode` gives them back."""
    socket: Optional[Socket]
    """For sockets that the tables of the process's network namespace have."""


class Snapshot(NamedTuple):
    """All descriptors of a process at one moment."""

    pid: int
    start_ticks: int
    """When the process started, in clock ticks since boot: with the pid, which process it was."""
    descriptors: Tuple[Descriptor, ...]
    """By number within each table; a number comes twice if a thread has a table of its own."""
    is_cut: bool
    """There were more than a million, or the tables of sockets were longer than 64 MiB."""


def count(pid: Optional[int] = None) -> int:
    """How many descriptors a process has open; without a pid, this one.

    One system call for this process, some ten for others, however many descriptors there are (before Linux 6.2, one for
    every few hundred). For this process, of the table of the calling thread, which is that of all others unless it has
    called `unshare`.

    Raises ProcessLookupError if there is no such process, PermissionError if the kernel does not tell, OSError if /proc
    cannot be read, and ValueError for what is no pid.
    """
    return _native.count(pid)


def snapshot(pid: Optional[int] = None) -> Snapshot:
    """All descriptors of a process, with what they refer to; without a pid, of this one.

    Two or three system calls for each. Those that the look itself takes are not among them. Of other users' processes the
    kernel seldom tells, except to root. Raises like `count`.
    """
    found, start_ticks, rows, is_cut = _native.snapshot(pid)
    return Snapshot(found, start_ticks, tuple(_descriptors(rows)), is_cut)


def _descriptors(rows: list[_native.Row]) -> Iterator[Descriptor]:
    for fd, kind, target, socket in rows:
        yield Descriptor(fd, kind, target, None if socket is None else Socket._make(socket))
