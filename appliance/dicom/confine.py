"""Takes from this process, step by step and for good, all that reading a file does not need. Linux; each step tells whether it held.

The strongest is the system call filter (seccomp): afterwards there are only the two open pipes, memory and time. No file can be
opened, no socket made (not even to a neighbour's Unix socket), no process or thread started. The rest stands where filters are missing.
"""

import ctypes
import os
import platform
import resource
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38  # linux/prctl.h
_NEW_IPC, _NEW_USER, _NEW_NET = 0x08000000, 0x10000000, 0x40000000  # linux/sched.h
_NOBODY: Final = 65534

# linux/filter.h, linux/seccomp.h, linux/audit.h
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050001, 0x80000000  # REFUSE: the call fails with EPERM
_SET_FILTER, _ALL_THREADS = 1, 1

# What is left, with its numbers on x86_64 and aarch64.
_ARCHITECTURES: Final = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}  # column, audit number, number of seccomp(2)
_CALLS: Final = {
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "close": (3, 57),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "futex": (202, 98),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "gettimeofday": (96, 169),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getrusage": (98, 165),
    "prlimit64": (302, 261),
    "getrandom": (318, 278),
    "membarrier": (324, 283),
    "rseq": (334, 293),
    "restart_syscall": (219, 128),
    "exit": (60, 93),
    "exit_group": (231, 94),
}

_libc = ctypes.CDLL(None, use_errno=True)


def lock(memory: int) -> dict[str, bool]:
    """Once all modules are loaded, in a process of one thread. `memory`: bytes it may still take. What held, by name."""
    held = {"network": _leave_network(), "user": _become_nobody()}
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = {
        "memory": (resource.RLIMIT_AS, pages * resource.getpagesize() + memory),
        "files": (resource.RLIMIT_NOFILE, 8),
        "writing": (resource.RLIMIT_FSIZE, 0),
        "core": (resource.RLIMIT_CORE, 0),
        "processes": (resource.RLIMIT_NPROC, 0),
    }
    for name, (limit, value) in limits.items():
        with suppress(OSError, ValueError):
            resource.setrlimit(limit, (value, value))
        held[name] = resource.getrlimit(limit) == (value, value)
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    held["privileges"] = _drop_capabilities() and _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    held["calls"] = _filter_calls()
    return held


def allow_seconds(seconds: int) -> None:
    """Processor time from now on; beyond it this process dies (SIGXCPU)."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds + 1, hard))


def _leave_network() -> bool:
    """Own, empty network and IPC namespaces; those who may not make them can in a user namespace of their own."""
    return any(_libc.unshare(_NEW_NET | _NEW_IPC | further) == 0 for further in (0, _NEW_USER))


def _become_nobody() -> bool:
    """Root has too much to lose; anybody else stays who they are."""
    with suppress(OSError):
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    return os.geteuid() != 0


def _drop_capabilities() -> bool:
    """capset(2) to none at all: whoever made a user namespace of their own has every one of them in it."""
    version_3_of_this_process, none = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    return bool(_libc.capset(version_3_of_this_process, none) == 0)


def _filter_calls() -> bool:
    """seccomp(2): of all system calls those above, the others fail. A call by another architecture's numbers kills."""
    if platform.machine() not in _ARCHITECTURES:
        return False
    column, architecture, seccomp = _ARCHITECTURES[platform.machine()]
    calls = [numbers[column] for numbers in _CALLS.values()]
    program = [(_LOAD, 0, 0, 4), (_JUMP_IF_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    program += [(_JUMP_IF_EQUAL, len(calls) - place, 0, number) for place, number in enumerate(calls)]
    program += [(_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    head = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    return bool(_libc.syscall(seccomp, _SET_FILTER, _ALL_THREADS, head) == 0)
