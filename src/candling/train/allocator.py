"""Keep large buffers instead of giving them back to the kernel after each use; knows nothing of what they hold.

glibc returns every large block to the kernel when it is freed, and the kernel clears the pages anew when the next layer
asks for the same size: more than half of a float32 training step of a light network is spent there. ``mallopt`` tells
glibc at run time to keep them. It gives what ``GLIBC_TUNABLES`` gives, without starting the process a second time. The
price is a higher resident memory: the largest amount ever in use stays with the process.
"""

from __future__ import annotations

import ctypes
import os
import platform

__all__ = ["keep_large_buffers"]

# malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_MMAP_MAX = -4

_LARGEST_INT = 2**31 - 1


def keep_large_buffers() -> bool:
    """Tune the C library's allocator for training, for the rest of this process; call it before the first large array.

    Does nothing where the C library is not glibc, or where ``CANDLING_KEEP_ALLOCATOR=1`` asks to leave it alone.

    Returns:
        True when the allocator was tuned.
    """
    if os.environ.get("CANDLING_KEEP_ALLOCATOR") == "1" or platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes, mallopt.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    # older glibc refuses a threshold beyond 32 MiB; no mapped block at all has the same effect there
    kept = mallopt(_M_MMAP_THRESHOLD, _LARGEST_INT) or mallopt(_M_MMAP_MAX, 0)
    return bool(kept and mallopt(_M_TRIM_THRESHOLD, -1))  # -1: never trim
