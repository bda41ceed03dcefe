"""Loops over rows that a processor runs, not Python: functions compiled by Numba when they are first called.

To import this takes 0.2 s and 60 MB. So compiled functions are in modules of their own, imported by the functions that call them.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function, compiled at its first call; other threads run meanwhile, and the compiled code is kept in a file.

    The file is beside the module, or else where the user's caches are. Where neither can be written, each process compiles anew.
    Several threads may call at once, and several processes, as long as all give each argument the same type: the files of
    different types have no names of their own until they are written. A writable array is of another type than a read-only one, a
    contiguous one than any other.

    Functions called in it, constants and named tuples are those of its own module: when those of another one change, the file does
    not.
    """
    try:
        found: Callable[P, R] = njit(function, cache=True, nogil=True, error_model="numpy")
    except RuntimeError:  # no directory for the file
        found = njit(function, nogil=True, error_model="numpy")
    return found
