"""Compares Python's structs and codes with those of the library, so that a drifted field cannot corrupt memory."""

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class _Row(ctypes.Structure):
    """struct Layout of native/layout.h."""

    _fields_ = [
        ("owner", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("offset", ctypes.c_int64),
        ("size", ctypes.c_int64),
        ("pointer", ctypes.c_int64),
    ]


@dataclass(frozen=True)
class Place:
    """Where a field lies; of a code, its value and size 0; of a struct, offset 0 and its size."""

    offset: int
    size: int
    pointer: bool = False

    def __str__(self) -> str:
        if not self.size:
            return f"code {self.offset}"
        return f"offset {self.offset}, {self.size} bytes" + (", a pointer" if self.pointer else "")


Table = dict[tuple[str, str], Place]
"""Places by the names of struct and field. A struct's own field name is empty."""


def check(library: ctypes.CDLL, structs: Iterable[type[ctypes.Structure]], codes: Iterable[type[IntEnum]]) -> None:
    """Does nothing if every field and code is the same in Python and in C++.

    Raises:
        RuntimeError: the first difference, with the names of struct and field.
    """
    mine = table_of(structs, codes)
    theirs = table_in(library)
    for owner, name in [*theirs, *mine]:
        here = mine.get((owner, name))
        there = theirs.get((owner, name))
        if here != there:
            field = f"{owner}.{name}" if name else f"the whole of {owner}"
            here_text = here or "missing"
            there_text = there or "missing"
            raise RuntimeError(
                f"structs.py and native/fields.h differ: {field} is {here_text} in Python, {there_text} in C++"
            )


def table_of(structs: Iterable[type[ctypes.Structure]], codes: Iterable[type[IntEnum]]) -> Table:
    """Describes Python's structs and codes."""
    table = {}
    for struct in structs:
        table[struct.__name__, ""] = Place(0, ctypes.sizeof(struct))
        for name, kind, *_ in struct._fields_:
            place = getattr(struct, name)
            table[struct.__name__, name] = Place(place.offset, place.size, kind is ctypes.c_void_p)
    for code in codes:
        for value in code:
            table[code.__name__, value.name] = Place(int(value), 0)
    return table


def table_in(library: ctypes.CDLL) -> Table:
    """Describes the structs and codes that the library was compiled with."""
    rows = ctypes.POINTER(_Row)()
    library.layout.argtypes = [ctypes.POINTER(ctypes.POINTER(_Row))]
    library.layout.restype = ctypes.c_int64
    count = library.layout(ctypes.byref(rows))
    table = {}
    for row in rows[:count]:
        table[row.owner.decode(), row.name.decode()] = Place(row.offset, row.size, bool(row.pointer))
    return table
