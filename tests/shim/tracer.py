"""A tracer that changes a program's system calls as only ptrace(2) can. Also a program: it traces one command.

strace's injections put a result in the place of a call, and kill before it. This one lets the call happen, but with a
smaller count, so that it really is a short read or write, or kills when the call is done and its result not seen yet.

    python -m tests.shim.tracer short BYTES COMMAND...        no read or write moves more bytes
    python -m tests.shim.tracer kill-after NUMBER COMMAND...  SIGKILL after the call of that number; the first is 1
    python -m tests.shim.tracer count 0 COMMAND...            changes nothing

Its last line on standard output is how many calls it saw; its status is the command's, or 137 for a killed one. What
only waits, poll(2) and sched_yield(2), has no number: how often a run does that is up to the machine, and a kill behind
it is one before the next call.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
from collections.abc import Sequence

_TRACEME, _SYSCALL, _SETOPTIONS, _GETREGSET, _SETREGSET = 0, 24, 0x4200, 0x4204, 0x4205
_O_TRACESYSGOOD, _O_EXITKILL = 1, 1 << 20
_PRSTATUS = 1
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_KILLED = 137  # as a shell has it
_MACHINES = {
    # where the call's number and its third argument lie among the registers; read, write, sendto, recvfrom; poll or
    # ppoll, sched_yield
    "x86_64": (15, 12, {0, 1, 44, 45}, {7, 24}),
    "aarch64": (8, 2, {63, 64, 206, 207}, {73, 124}),
}
_NUMBER_AT, _COUNT_AT, _MOVING, _WAITING = _MACHINES[platform.machine()]
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_LIBC.ptrace.restype = ctypes.c_long


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _ptrace(request: int, pid: int, address: int = 0, data: object = None) -> None:
    if _LIBC.ptrace(request, pid, address, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace request {request:#x}")


class _Registers:
    """Those of a stopped process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._values = (ctypes.c_uint64 * 64)()
        self._vector = _Vector(ctypes.addressof(self._values), ctypes.sizeof(self._values))
        _ptrace(_GETREGSET, pid, _PRSTATUS, ctypes.byref(self._vector))

    def call(self) -> int:
        """The number of the system call that it is in."""
        return int(self._values[_NUMBER_AT])

    def limit_count(self, most: int) -> None:
        """Lower the third argument of a call that moves bytes."""
        if self.call() in _MOVING and self._values[_COUNT_AT] > most:
            self._values[_COUNT_AT] = most
            _ptrace(_SETREGSET, self._pid, _PRSTATUS, ctypes.byref(self._vector))


def trace(what: str, number: int, command: Sequence[str]) -> tuple[int, int]:
    """Run a command; returns its status, and how many system calls it began."""
    pid = os.fork()
    if pid == 0:
        _ptrace(_TRACEME, 0)
        os.execv(command[0], list(command))
    os.waitpid(pid, 0)  # stopped behind its execve
    _ptrace(_SETOPTIONS, pid, 0, _O_TRACESYSGOOD | _O_EXITKILL)
    calls, is_inside, is_waiting, deliver = 0, False, False, 0
    while True:
        _ptrace(_SYSCALL, pid, 0, deliver)
        _pid, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else _KILLED, calls
        stop, deliver = os.WSTOPSIG(status), 0
        if stop != _SYSCALL_STOP:
            deliver = stop
            continue
        is_inside = not is_inside
        if is_inside:
            registers = _Registers(pid)
            is_waiting = registers.call() in _WAITING
            calls += not is_waiting
            if what == "short":
                registers.limit_count(number)
        elif what == "kill-after" and calls == number and not is_waiting:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return _KILLED, calls


def main() -> int:
    """Trace what the command line says."""
    status, calls = trace(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
    print(calls)
    return status


if __name__ == "__main__":
    sys.exit(main())
