"""A tracer that changes a program's system calls as only ptrace(2) can. Also a program: it traces one command.

strace's injections put a result in the place of a call, and kill before it. This one lets the call happen, but with a
smaller count, so that it really is a short read or write, or kills when the call is done and its result not seen yet.

    python -m tests.shim.tracer short BYTES COMMAND...        no read or write moves more bytes
    python -m tests.shim.tracer kill-after NUMBER COMMAND...  SIGKILL after the call of that number; the first is 1
    python -m tests.shim.tracer count 0 COMMAND...            changes nothing

Its last line on standard output is how many calls it saw; its status is the command's, or 137 for a killed one.
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
    # where the call's number and its third argument lie among the registers; read, write, sendto, recvfrom
    "x86_64": (15, 12, {0, 1, 44, 45}),
    "aarch64": (8, 2, {63, 64, 206, 207}),
}
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_LIBC.ptrace.restype = ctypes.c_long


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _ptrace(request: int, pid: int, address: int = 0, data: object = None) -> None:
    if _LIBC.ptrace(request, pid, address, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace request {request:#x}")


def _limit_count(pid: int, most: int) -> None:
    """Lower the third argument of a call that moves bytes."""
    number_at, count_at, calls = _MACHINES[platform.machine()]
    registers = (ctypes.c_uint64 * 64)()
    vector = _Vector(ctypes.addressof(registers), ctypes.sizeof(registers))
    _ptrace(_GETREGSET, pid, _PRSTATUS, ctypes.byref(vector))
    if registers[number_at] in calls and registers[count_at] > most:
        registers[count_at] = most
        _ptrace(_SETREGSET, pid, _PRSTATUS, ctypes.byref(vector))


def trace(what: str, number: int, command: Sequence[str]) -> tuple[int, int]:
    """Run a command; returns its status, and how many system calls it began."""
    pid = os.fork()
    if pid == 0:
        _ptrace(_TRACEME, 0)
        os.execv(command[0], list(command))
    os.waitpid(pid, 0)  # stopped behind its execve
    _ptrace(_SETOPTIONS, pid, 0, _O_TRACESYSGOOD | _O_EXITKILL)
    calls, is_inside, deliver = 0, False, 0
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
        calls += is_inside
        if is_inside and what == "short":
            _limit_count(pid, number)
        if not is_inside and what == "kill-after" and calls == number:
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
