"""The C library keeps large buffers after tuning, and is left alone when asked."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from candling.train.allocator import keep_large_buffers

FAULTS = """
import ctypes, resource, sys
from candling.train.allocator import keep_large_buffers
print(keep_large_buffers() if sys.argv[1] == "tuned" else None)
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    block = libc.malloc(64 * 2**20)
    libc.memset(block, 1, 64 * 2**20)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tunes glibc only")
def test_large_buffers_are_faulted_in_once():
    """Twenty uses of a block of 64 MiB fault its pages in once, not twenty times."""
    answers = [
        subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True).stdout.split()
        for how in ("tuned", "plain")
    ]
    assert answers[0][0] == "True"
    assert int(answers[0][1]) * 5 < int(answers[1][1])


def test_the_allocator_is_left_alone_when_asked(monkeypatch):
    """CANDLING_KEEP_ALLOCATOR=1 opts out."""
    monkeypatch.setenv("CANDLING_KEEP_ALLOCATOR", "1")
    assert keep_large_buffers() is False


def test_another_c_library_is_left_alone(monkeypatch):
    """Only glibc is tuned: the numbers mean nothing elsewhere."""
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert keep_large_buffers() is False
