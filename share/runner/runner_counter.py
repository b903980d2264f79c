"""Counters of a run, for Python programs that are slices of it; the standard library is all it needs.

    import runner_counter
    rows = runner_counter.Counter("rows")
    rows.add()                      # or rows.add(n); from any thread and process
    for row in rows.each(table):    # counts every item that it hands out, more than twice as fast
        ...
    tick = rows.ticker()            # a function, as fast as each()
    tick()                          # adds 1

All of it is in shared memory at once: nothing is lost, however the program ends. What an attempt counts is added to the
run's totals when it has succeeded, else dropped. Outside of a run nothing is counted. The format of the file is
described in counter.hpp. Python has no atomic addition, so every thread has a cell of its own; a process holds its
cells by locks, and a forked child takes others.
"""
import array
import errno
import fcntl
import itertools
import mmap
import operator
import os
import re
import struct
import threading
import weakref

_HEADER = struct.Struct("@8sII48x")
_CELL = struct.Struct("@qQ48s")
_MAGIC, _VERSION, _OWNED, _MAX_CELLS = b"runcount", 1, 2, 16384
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,46}")
_OFD_SETLK, _OFD_SETLKW = 37, 38  # fcntl(2)

_mutex = threading.RLock()  # over all of these
_file = None  # the descriptor by which this process holds its cells
_cells = set()  # where they are in the file
_free = {}  # name -> the values of cells that no thread has any more
_leases = weakref.WeakSet()
_locals = {}  # name -> what every thread has of it


class _Lease:
    """A cell for one thread at a time; `value` is a sequence of one number."""

    __slots__ = ("name", "value", "process", "__weakref__")

    def __init__(self, name):
        self.name, self.process = name, os.getpid()
        with _mutex:
            self.value = _free[name].pop() if _free.get(name) else _take(name)
            _leases.add(self)

    def __del__(self):
        if self.process == os.getpid() and hasattr(self, "value"):
            with _mutex:
                _free.setdefault(self.name, []).append(self.value)


def _lock(command, kind, start):
    """Of one byte of the file; whether it was granted."""
    try:
        fcntl.fcntl(_file, command, struct.pack("@hhqqi4x", kind, os.SEEK_SET, start, 1, 0))
        return True
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        return False


def _take(name):
    global _file
    path = os.environ.get("RUNNER_COUNTERS")
    if not path:
        return memoryview(array.array("q", [0]))
    if _file is None:
        os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
        _file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if os.fstat(_file).st_size == 0:
            os.fchmod(_file, 0o600)  # whatever the umask takes away
    _lock(_OFD_SETLKW, fcntl.F_WRLCK, 0)
    try:
        start = _find_or_append(name.encode())
        page = start // mmap.PAGESIZE * mmap.PAGESIZE
        mapped = mmap.mmap(_file, start - page + _CELL.size, offset=page)
    finally:
        _lock(_OFD_SETLK, fcntl.F_UNLCK, 0)
    _cells.add(start)
    return memoryview(mapped)[start - page:start - page + 8].cast("q")


def _find_or_append(name):
    """Where a cell of this name begins that nobody else has, with a lock on it. The file is locked."""
    size = os.fstat(_file).st_size
    if size == 0:
        _write(_HEADER.pack(_MAGIC, _VERSION, _CELL.size), 0)
        size = _HEADER.size
    content = os.pread(_file, size, 0)
    if size % _CELL.size or _HEADER.unpack_from(content) != (_MAGIC, _VERSION, _CELL.size):
        raise OSError(errno.EINVAL, "not counters that this program can read")
    for start in range(_HEADER.size, size, _CELL.size):
        _, kind, found = _CELL.unpack_from(content, start)
        if kind == _OWNED and found.rstrip(b"\0") == name and start not in _cells:
            if _lock(_OFD_SETLK, fcntl.F_WRLCK, start):
                return start
    if size // _CELL.size > _MAX_CELLS:
        raise OSError(errno.ENOSPC, "too many counters")
    _lock(_OFD_SETLK, fcntl.F_WRLCK, size)
    _write(_CELL.pack(0, _OWNED, name), size)
    return size


def _write(data, start):
    if os.pwrite(_file, data, start) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _Ticks(map):
    """Every step of it adds 1. It is C from end to end, which is what makes it fast, and keeps its lease."""

    __slots__ = ("lease",)

    def __new__(cls, lease):
        totals = itertools.count(lease.value[0] + 1)
        ticks = super().__new__(cls, operator.setitem, itertools.repeat(lease.value), itertools.repeat(0), totals)
        ticks.lease = lease
        return ticks


class Counter:
    """A handle: those of one name are the same counter."""

    def __init__(self, name):
        if not _NAME.fullmatch(name):
            raise ValueError(f"no name for a counter: {name!r}")
        self.name = name
        with _mutex:
            self._local = _locals.setdefault(name, threading.local())

    def add(self, n=1):
        """OverflowError, and nothing is added, when the sum does not fit into 64 bits."""
        try:
            value = self._local.lease.value
        except AttributeError:  # the first time in this thread
            self._local.lease = _Lease(self.name)
            value = self._local.lease.value
        total = value[0] + n
        try:
            value[0] = total
        except ValueError:
            raise OverflowError(f"counter {self.name}: {total} does not fit into 64 bits") from None

    def each(self, items):
        """An iterator over the items that counts those it hands out. For one thread at a time; not across a fork."""
        return itertools.compress(items, zip(_Ticks(_Lease(self.name))))  # which are (None,), and that is true

    def ticker(self):
        """A function that adds 1. For one thread at a time; not across a fork."""
        return _Ticks(_Lease(self.name)).__next__


def _after_fork():
    """The cells are the parent's; who goes on with an iterator or ticker of its gets an error."""
    global _file, _mutex
    _mutex = threading.RLock()
    for lease in list(_leases):
        lease.value.release()
    _leases.clear()
    _cells.clear()
    _free.clear()
    for local in _locals.values():
        local.__dict__.clear()
    if _file is not None:
        os.close(_file)
        _file = None


os.register_at_fork(after_in_child=_after_fork)
