"""Regions of a tiled image, put together from tiles that are decoded once and then remembered."""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from threading import Lock

import cv2
import numpy as np

from feature_extraction.sources.canvas import Rgb

# A row of 0.5 mpp patches across a slide of 100,000 px touches three rows of 256 px tiles, 230 MB:
# what it shares with the row above is still there.
CACHE_BYTES = 256 * 2**20

Decode = Callable[[int, Rgb | None], Rgb]
"""Give tile `index`, (height, width, 3) uint8, cut off at the level's edge or not.

It may be put into the second argument, of a whole tile's shape, or into memory of its own.
"""


class TileCache:
    """The tiles used last, bounded in bytes; several threads may share it."""

    def __init__(self, capacity: int = CACHE_BYTES) -> None:
        self._capacity = capacity
        self._held = 0
        self._tiles: OrderedDict[tuple[int, int], Rgb] = OrderedDict()
        self._lock = Lock()

    @property
    def held_bytes(self) -> int:
        """Bytes of the tiles that are held."""
        return self._held

    def get(self, key: tuple[int, int], decode: Callable[[int], Rgb], *, keep: bool) -> Rgb:
        """Give tile `key` = (level, index), by `decode(index)` if it is not held; `keep` holds it.

        Decoding happens outside the lock: two threads that meet at a tile may both decode it,
        which costs less than waiting for each other.
        """
        with self._lock:
            tile = self._tiles.get(key)
            if tile is not None:
                self._tiles.move_to_end(key)
                return tile
        tile = decode(key[1])
        if not keep:
            return tile
        tile.flags.writeable = False
        with self._lock:
            if key not in self._tiles:
                self._tiles[key] = tile
                self._held += tile.nbytes
            while self._held > self._capacity:
                self._held -= self._tiles.popitem(last=False)[1].nbytes
        return tile


class TileGrid:
    """One level of a slide: tiles side by side, numbered row by row.

    Parameters
    ----------
    size
        Width and height of the level in px; the last tiles may reach over it.
    tile
        Width and height of a tile in px.
    decode
        Gives a tile.
    cache
        Shared by the levels of a slide.
    level
        Tells the levels apart in the cache.
    """

    def __init__(
        self,
        size: tuple[int, int],
        tile: tuple[int, int],
        decode: Decode,
        cache: TileCache,
        level: int,
    ) -> None:
        self.width, self.height = size
        self._tile = tile
        self._decode = decode
        self._cache = cache
        self._level = level

    def _indices(self, x: int, y: int, width: int, height: int) -> list[int]:
        """Numbers of the tiles that a region within the level touches."""
        across = -(-self.width // self._tile[0])
        rows = range(y // self._tile[1], (y + height - 1) // self._tile[1] + 1)
        columns = range(x // self._tile[0], (x + width - 1) // self._tile[0] + 1)
        return [row * across + column for row in rows for column in columns]

    def read(self, x: float, y: float, width: int, height: int, into: Rgb | None = None) -> Rgb:
        """Read a region, (height, width, 3), into memory of that shape if it is given.

        A corner between pixels is interpolated, as OpenSlide does; then the memory is another.

        Raises
        ------
        IndexError
            If that needs pixels beyond the level's edge.
        """
        left, top = int(x), int(y)
        extra = int(x > left or y > top)
        memory = None if extra else into
        region = self._read_pixels(left, top, width + extra, height + extra, memory)
        if not extra:
            return region
        centre = ((width - 1) / 2 + x - left, (height - 1) / 2 + y - top)
        return np.asarray(cv2.getRectSubPix(region, (width, height), centre), dtype=np.uint8)

    def _decode_tile(self, index: int, into: Rgb | None) -> Rgb:
        tile = self._decode(index, into)
        return into if into is not None and np.may_share_memory(tile, into) else tile

    def _read_pixels(self, x: int, y: int, width: int, height: int, into: Rgb | None) -> Rgb:
        if not (0 <= x <= self.width - width and 0 <= y <= self.height - height):
            raise IndexError(f"{width} x {height} px at x {x}, y {y} reach beyond the level")
        region = np.empty((height, width, 3), dtype=np.uint8) if into is None else into
        across = -(-self.width // self._tile[0])
        for index in self._indices(x, y, width, height):
            left = index % across * self._tile[0] - x
            top = index // across * self._tile[1] - y
            # What lies whole within this region is wanted by no other.
            reaches_out = min(left, top) < 0 or left + self._tile[0] > width
            keep = reaches_out or top + self._tile[1] > height
            whole = not keep and region.shape == (*self._tile[::-1], 3)
            decode = partial(self._decode_tile, into=region if whole else None)
            tile = self._cache.get((self._level, index), decode, keep=keep)
            if tile is region:
                return region
            # Where the tile begins before the region, the rest of it lands at the region's edge.
            part = tile[max(0, -top) : height - top, max(0, -left) : width - left]
            region[
                max(0, top) : max(0, top) + part.shape[0],
                max(0, left) : max(0, left) + part.shape[1],
            ] = part
        return region
