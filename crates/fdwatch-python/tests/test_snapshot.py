import os
import pickle
import select
import socket

import fdwatch
import pytest


def find(fd):
    found = [open for open in fdwatch.snapshot().descriptors if open.fd == fd]
    assert len(found) == 1
    return found[0]


def check(fd, kind, target=None):
    found = find(fd)
    assert found.kind == kind, found
    assert target is None or found.target == target


def test_all_of_them_and_none_of_the_look():
    mine = {int(name) for name in os.listdir("/proc/self/fd")}
    with open("/dev/zero") as held:
        seen = fdwatch.snapshot()
        numbers = [open.fd for open in seen.descriptors]
        assert len(numbers) == fdwatch.count()
        assert held.fileno() in numbers
        # The one that listed them is gone again; its number was the lowest that was free, now that of `held`.
        assert set(numbers) == mine | {held.fileno()}
    assert seen.pid == os.getpid()
    with open("/proc/self/stat", "rb") as stat:
        assert seen.start_ticks == int(stat.read().rpartition(b")")[2].split()[19])
    assert not seen.is_cut


def test_files_with_and_without_names(tmp_path):
    path = tmp_path / "it is (deleted)"
    with open(path, "w") as file:
        check(file.fileno(), "file", str(path))
        path.unlink()
        check(file.fileno(), "deleted-file", f"{path} (deleted)")
    folder = os.open(tmp_path, os.O_RDONLY)
    check(folder, "directory", str(tmp_path))
    os.close(folder)
    with open("/dev/null") as null:
        check(null.fileno(), "device", "/dev/null")
    memory = os.memfd_create("stones")
    check(memory, "memfd", "/memfd:stones (deleted)")
    os.close(memory)


def test_pipes_and_what_the_kernel_made_up(tmp_path):
    for fd in os.pipe():
        check(fd, "pipe")
        os.close(fd)
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", os.O_RDWR)
    check(fifo, "fifo")
    os.close(fifo)
    with select.epoll() as epoll:
        check(epoll.fileno(), "epoll", "anon_inode:[eventpoll]")
    pidfd = os.pidfd_open(os.getpid())
    check(pidfd, "pid-fd")
    os.close(pidfd)


@pytest.mark.skipif(not hasattr(os, "eventfd"), reason="this Python is older than os.eventfd")
def test_event_descriptors():
    event = os.eventfd(0)
    check(event, "event-fd", "anon_inode:[eventfd]")
    os.close(event)


def test_sockets_with_both_ends():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = "%s:%d" % server.getsockname()
        assert find(server.fileno()).socket == fdwatch.Socket("tcp", "listen", address, "")
        with socket.create_connection(server.getsockname()) as client:
            own = "%s:%d" % client.getsockname()
            found = find(client.fileno())
            assert (found.kind, found.socket) == ("socket", ("tcp", "established", own, address))
            assert found.socket.peer == address
    assert all(open.socket is None for open in fdwatch.snapshot().descriptors if open.kind != "socket")


def test_any_bytes_in_a_name(tmp_path):
    name = os.fsencode(tmp_path) + b"/two\nlines \xff\xfe \xc3\xa4"
    fd = os.open(name, os.O_CREAT | os.O_RDWR)
    found = find(fd)
    os.close(fd)
    assert found.target == os.fsdecode(name)
    assert os.fsencode(found.target) == name


def test_of_another_process(idle):
    found = {open.fd: open for open in fdwatch.snapshot(idle.pid).descriptors}
    assert found[0].kind == found[1].kind == "pipe"
    assert found[2] == (2, "device", "/dev/null", None)


def test_it_is_plain_data():
    seen = fdwatch.snapshot()
    assert pickle.loads(pickle.dumps(seen)) == seen
    assert len({*seen.descriptors, *seen.descriptors}) == len(seen.descriptors)
