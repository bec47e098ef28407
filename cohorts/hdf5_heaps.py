"""Refuse a damaged heap of an HDF5 file before HDF5 walks through it and never ends.

Texts of any length lie in global heaps ("GCOL"). HDF5, 2.0 included, walks from object to object
by the size each states; where damage makes it step on one of size 0, it stands still for ever, in
a loop that nothing can interrupt. So every heap is walked here first.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import h5py

_SIGNATURE = b"GCOL\x01\0\0\0"
_HEADER = 16  # of a heap, and of an object in it
_BLOCK = 1 << 20
# Contiguous data of at least so many bytes are not searched.
_LARGE = 1 << 16


def check_heaps(file: h5py.File) -> None:
    """Walk all global heaps of a file (HDF5 File Format Specification 3.0, III.E).

    Large contiguous datasets, which hold numbers only, are passed over.

    Raises
    ------
    ValueError
        If an object of a heap does not end within it, or has no size.
    """
    width = file.id.get_create_plist().get_sizes()[1]
    path = Path(file.filename)
    end = path.stat().st_size
    with path.open("rb") as raw:
        for first, last in _gaps(_contiguous(file), end):
            for place in _places(raw, first, last):
                _walk(_heap(raw, place, end, width), width)


def _contiguous(file: h5py.File) -> list[tuple[int, int]]:
    """Where large contiguous datasets begin and end; links out of the file are not followed."""
    found = []
    groups: list[h5py.Group] = [file]
    seen = set()
    while groups:
        group = groups.pop()
        place = h5py.h5o.get_info(group.id).addr
        if place in seen:
            continue
        seen.add(place)
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            member = group[name]
            if isinstance(member, h5py.Group):
                groups.append(member)
            elif isinstance(member, h5py.Dataset) and not member.external:
                offset, size = member.id.get_offset(), member.id.get_storage_size()
                if offset and size >= _LARGE:
                    found.append((offset, offset + size))
    return found


def _gaps(taken: list[tuple[int, int]], end: int) -> Iterator[tuple[int, int]]:
    first = 0
    for begin, stop in sorted(taken):
        if begin > first:
            yield first, begin
        first = max(first, stop)
    if first < end:
        yield first, end


def _places(raw: io.BufferedReader, first: int, last: int) -> Iterator[int]:
    """Where heaps begin between two places of the file."""
    raw.seek(first)
    tail = b""
    at = first
    while block := raw.read(min(_BLOCK, last - at)):
        at += len(block)
        searched = tail + block
        found = searched.find(_SIGNATURE)
        while found >= 0:
            yield at - len(searched) + found
            found = searched.find(_SIGNATURE, found + 1)
        tail = searched[1 - len(_SIGNATURE) :]
        raw.seek(at)


def _heap(raw: io.BufferedReader, place: int, end: int, width: int) -> bytes:
    raw.seek(place)
    header = raw.read(_HEADER)
    size = int.from_bytes(header[8 : 8 + width], "little")
    if place + size > end:
        raise ValueError("a heap ends beyond the file")
    return header + raw.read(max(size - _HEADER, 0))


def _walk(heap: bytes, width: int) -> None:
    at = _HEADER
    while at + _HEADER <= len(heap):
        number = int.from_bytes(heap[at : at + 2], "little")
        length = int.from_bytes(heap[at + 8 : at + 8 + width], "little")
        # What is left over is object 0, and counts its header; others are padded to 8 bytes.
        needed = _HEADER + -(-length // 8) * 8 if number else length
        if needed < _HEADER or at + needed > len(heap):
            raise ValueError(f"an object of a heap has a size of {length} bytes")
        at += needed
