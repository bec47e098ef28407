"""Extraction as a whole: rate from slide to bag, reading at its limit, memory on a huge slide.

python benchmarks/extraction.py                     all parts
python benchmarks/extraction.py stage --pairs 5     slide to bag against the encoder alone
python benchmarks/extraction.py reading             a fast encoder: reading is the limit
python benchmarks/extraction.py memory --side 100000

`benchmarks/encoders.py` measures the encoders, `benchmarks/bags.py` the files,
`benchmarks/extraction_cohort.py` many slides, as beside a GPU.
"""

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import tifffile
import torch

from cmil.run_record import describe_machine
from cohorts.manifest import Slide, SourceKind
from cohorts.smear_drawing import draw_smear
from cohorts.smear_scanner import Laboratory
from feature_extraction.bags import read_bag_attributes
from feature_extraction.encoders import Encoder, load_encoder
from feature_extraction.settings import ExtractionSettings
from feature_extraction.slide_job import Extraction, SlideJob, extract_slide
from feature_extraction.sources import open_source

TILE, SQUARE, LARGE = 256, 2048, 16_384
THREADS = 2
LABORATORY = Laboratory(
    mpp=0.5, white=(252, 236, 222), stain=((0.58, 1.0, 0.2), (0.32, 0.88, 0.74), (1.0, 0.8, 0.12)),
    blur=0.7, sharpening=0.35, noise=2.0, jpeg_quality=85,
)  # fmt: skip


def main() -> None:
    """Run the parts that are asked for and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = {"stage": stage, "reading": reading, "memory": memory}
    parser.add_argument("part", nargs="?", choices=[*parts, "all"], default="all")
    parser.add_argument("--pairs", type=int, default=5, help="of interleaved measurements")
    parser.add_argument("--side", type=int, default=100_000, help="of the huge slide, in pixels")
    parser.add_argument("--encoders", nargs="+", default=["resnet50", "mobilenetv3_large_100"])
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        torch.set_num_threads(THREADS)
    cv2.setNumThreads(1)
    for name, measure in parts.items():
        if arguments.part in {name, "all"}:
            with tempfile.TemporaryDirectory() as folder:
                table = measure(Path(folder), arguments)
            print(f"\n{name}\n\n{markdown(table)}")
    print(f"\n{describe_machine()}")


def markdown(table: pd.DataFrame) -> str:
    """Write a table as Markdown."""
    rows = [list(table.columns), ["---"] * table.shape[1], *table.astype(str).values.tolist()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def drawn_square() -> np.ndarray:
    """Draw a smear that repeats without end: (SQUARE, SQUARE, 3) uint8."""
    rng = np.random.default_rng(0)
    return draw_smear(rng, LABORATORY, size=(SQUARE, SQUARE), clumps=()).image


def write_slide(path: Path, side: int) -> None:
    """Write a pyramid of JPEG tiles, `side` pixels square, of one drawn square over and over."""
    square = drawn_square()
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for downsample in (1, 4, 16, 64):
            level = max(1, side // downsample)
            small = cv2.resize(square, None, fx=1 / downsample, fy=1 / downsample,
                               interpolation=cv2.INTER_AREA)  # fmt: skip
            file.write(
                repeated_tiles(small, level),
                shape=(level, level, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="ycbcr",
                subsampling=(2, 2),
                compression="jpeg",
                subfiletype=int(downsample > 1),
                resolution=(1e4 / (0.5 * downsample), 1e4 / (0.5 * downsample)),
                resolutionunit="CENTIMETER",
            )


def repeated_tiles(square: np.ndarray, side: int) -> Iterator[bytes]:
    """Encode the tiles of a level once each, and give them row by row."""
    times = -(-TILE // square.shape[0])
    square = np.tile(square, (times, times, 1))
    across = square.shape[0] // TILE
    options = [cv2.IMWRITE_JPEG_QUALITY, 85, cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
               cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]  # fmt: skip
    encoded = {}
    for row in range(across):
        for column in range(across):
            tile = square[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
            encoded[row, column] = cv2.imencode(".jpg", tile[..., ::-1], options)[1].tobytes()
    tiles = -(-side // TILE)
    for row in range(tiles):
        for column in range(tiles):
            yield encoded[row % across, column % across]


def write_cells(folder: Path, count: int) -> None:
    """Write cells of 360 x 360 px as JPEG files, cut from one drawn square.

    Quality 75, as the analyser behind the public sets of single cells writes them: 26 kB a cell,
    where those have 17.
    """
    folder.mkdir()
    square, rng = drawn_square(), np.random.default_rng(1)
    for number in range(count):
        x, y = rng.integers(0, SQUARE - 360, 2)
        cell = square[y : y + 360, x : x + 360]
        quality = [cv2.IMWRITE_JPEG_QUALITY, 75]
        cv2.imwrite(str(folder / f"{number:05}.jpg"), cell[..., ::-1], quality)


def settings_of(encoder: str, **named: object) -> ExtractionSettings:
    """Patches of 224 px, all of the candidates kept."""
    usual = {"encoder": encoder, "mpp": "native", "patch_px": 224, "min_stained": 0}
    return ExtractionSettings.model_validate({**usual, **named})


def row_of(path: Path, kind: SourceKind) -> Slide:
    """Give the manifest's row of a source."""
    return Slide("S1", "P1", path, kind, None, 2)


def seconds_to_bag(
    slide: Slide, encoder: Encoder, settings: ExtractionSettings, out: Path
) -> tuple[float, int]:
    """Time one slide from its file to its bag; give the number of embedded patches, too."""
    started = time.perf_counter()
    outcome = extract_slide(SlideJob(slide), encoder, Extraction(settings, out))
    seconds = time.perf_counter() - started
    assert outcome.state == "made", outcome
    said = read_bag_attributes(out / "S1.h5")
    (out / "S1.h5").unlink()
    return seconds, int(said["patches"]) + int(said["dropped"])


def seconds_of_encoder(encoder: Encoder, patches: int, batch: int) -> float:
    """Time the encoder alone on as many patches that are already in memory."""
    rng = np.random.default_rng(2)
    images = rng.integers(0, 255, (batch, 224, 224, 3), dtype=np.uint8)
    sizes = [min(batch, patches - first) for first in range(0, patches, batch)]
    started = time.perf_counter()
    for _ in encoder.stream(images[:size] for size in sizes):
        pass
    return time.perf_counter() - started


def stage(folder: Path, arguments: argparse.Namespace) -> pd.DataFrame:
    """Slide to bag against the encoder alone, in turns."""
    write_slide(folder / "slide.tif", 7168)
    write_cells(folder / "cells", 1024)
    sources = {
        "JPEG TIFF slide": (row_of(folder / "slide.tif", SourceKind.SLIDE), "fields"),
        "folder of JPEG cells": (row_of(folder / "cells", SourceKind.FOLDER), "cells"),
    }
    rows = []
    for name in arguments.encoders:
        for title, (slide, images) in sources.items():
            settings = settings_of(f"untrained:timm:{name}", images=images)
            encoder = load_encoder(settings)
            out = folder / "bags"
            seconds_to_bag(slide, encoder, settings, out)  # warm
            shares, rates = [], []
            for _ in range(arguments.pairs):
                whole, patches = seconds_to_bag(slide, encoder, settings, out)
                alone = seconds_of_encoder(encoder, patches, settings.batch_size)
                shares.append(alone / whole)
                rates.append(patches / whole)
            rows.append(
                {
                    "encoder": name,
                    "source": title,
                    "patches": patches,
                    "slide to bag, patches/s": f"{statistics.median(rates):.1f}",
                    "share of the encoder-only rate": f"{statistics.median(shares):.3f}",
                    "lowest and highest": f"{min(shares):.3f} to {max(shares):.3f}",
                }
            )
    return pd.DataFrame(rows)


class FirstPixel:
    """An encoder that costs nothing, so that reading is what is measured."""

    name, digest, precision, backend = "first pixel", "0", "float32", "numpy"
    drift, dimension, device = None, 3, torch.device("cpu")

    def stream(self, batches: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Give the colour of each patch's first pixel."""
        for batch in batches:
            yield batch[:, 0, 0].astype(np.float32)


def reading(folder: Path, arguments: argparse.Namespace) -> pd.DataFrame:
    """Patches a second, through the whole stage and through each library, in turns."""
    path = folder / "slide.tif"
    write_slide(path, LARGE)
    rows = []
    for title, side in (("aligned", 256), ("unaligned", 224)):
        corners = [
            (x, y)
            for y in range(0, LARGE - side + 1, side)
            for x in range(0, LARGE - side + 1, side)
        ]
        readers: dict[str, Callable[[], None]] = {
            "slide to bag": lambda side=side: read_by_stage(path, side, folder),
            "our reader alone": lambda side=side, c=corners: read_by_source(path, side, c),
            "OpenSlide": lambda side=side, c=corners: read_by_openslide(path, side, c),
            "pyvips": lambda side=side, c=corners: read_by_pyvips(path, side, c),
        }
        if side == TILE:
            readers["tifffile segments"] = lambda: read_by_tifffile(path)
        rates: dict[str, list[float]] = {name: [] for name in readers}
        for turn in range(arguments.pairs + 1):
            for name, read in readers.items():
                started = time.perf_counter()
                read()
                if turn:  # the first turn warms the page cache
                    rates[name].append(len(corners) / (time.perf_counter() - started))
        fastest = max(statistics.median(rates[name]) for name in readers if name not in OURS)
        rows += [
            {
                "patches": f"{title}, {side} px",
                "reader": name,
                "patches/s, two threads": f"{statistics.median(found):.0f}",
                "lowest and highest": f"{min(found):.0f} to {max(found):.0f}",
                "the fastest library is faster by": f"{fastest / statistics.median(found):.2f}",
            }
            for name, found in rates.items()
        ]
    return pd.DataFrame(rows)


OURS = ("slide to bag", "our reader alone")


def read_by_stage(path: Path, side: int, folder: Path) -> None:
    """Slide to bag, quality measures included, with an encoder that costs nothing."""
    settings = settings_of("untrained:timm:resnet18", patch_px=side, storage="float32")
    seconds_to_bag(row_of(path, SourceKind.SLIDE), FirstPixel(), settings, folder / "bags")


def in_threads(read: Callable[[tuple[int, int]], object], corners: list[tuple[int, int]]) -> None:
    """Call `read` with each corner, a row of the slide at a time, in two threads."""

    def part(first: int) -> None:
        for corner in corners[first : first + 32]:
            read(corner)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(part, range(0, len(corners), 32)))


def read_by_source(path: Path, side: int, corners: list[tuple[int, int]]) -> None:
    """Our canvas."""
    with open_source(row_of(path, SourceKind.SLIDE)).open(0) as canvas:
        in_threads(lambda corner: canvas.read_region(*corner, side, side), corners)


def read_by_openslide(path: Path, side: int, corners: list[tuple[int, int]]) -> None:
    """OpenSlide, as CLAM and TRIDENT read."""
    import openslide

    with openslide.OpenSlide(path) as slide:
        in_threads(
            lambda corner: np.asarray(slide.read_region(corner, 0, (side, side)).convert("RGB")),
            corners,
        )


def read_by_pyvips(path: Path, side: int, corners: list[tuple[int, int]]) -> None:
    """Read by libvips, through a region of its own for each thread."""
    import threading

    import pyvips

    local = threading.local()

    def read(corner: tuple[int, int]) -> np.ndarray:
        if not hasattr(local, "region"):
            local.image = pyvips.Image.new_from_file(str(path), access="random")
            local.region = pyvips.Region.new(local.image)
        buffer = local.region.fetch(*corner, side, side)
        return np.frombuffer(buffer, np.uint8).reshape(side, side, -1)

    in_threads(read, corners)


def read_by_tifffile(path: Path) -> None:
    """Decode the segments with tifffile, which serve aligned tiles only."""
    with tifffile.TiffFile(path) as file:
        for _ in file.pages.first.segments(maxworkers=THREADS):
            pass


def memory(folder: Path, arguments: argparse.Namespace) -> pd.DataFrame:
    """Largest memory on a huge slide, in a process of its own, above that of the encoder."""
    path = folder / "huge.tif"
    write_slide(path, arguments.side)
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pd.DataFrame([pool.apply(measure_memory, (path, folder, arguments.encoders[-1]))])


def measure_memory(path: Path, folder: Path, name: str) -> dict[str, object]:
    """Extract with a free encoder that gives 2,048 numbers, as ResNet-50 would."""
    torch.set_num_threads(THREADS)
    real = load_encoder(settings_of(f"untrained:timm:{name}"))
    for _ in real.stream([np.zeros((64, 224, 224, 3), dtype=np.uint8)] * 3):
        pass
    before = peak_mib()

    class Wide(FirstPixel):
        dimension = 2048

        def stream(self, batches: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
            for batch in batches:
                yield np.repeat(batch[:, 0, :1].astype(np.float32), 2048, axis=1)[:, :2048, 0]

    settings = settings_of(f"untrained:timm:{name}")
    slide = row_of(path, SourceKind.SLIDE)
    seconds, patches = seconds_to_bag(slide, Wide(), settings, folder / "bags")
    return {
        "slide, GiB on disk": f"{path.stat().st_size / 2**30:.1f}",
        "patches": patches,
        "seconds": f"{seconds:.0f}",
        f"peak with {name} loaded, MiB": f"{before:.0f}",
        "peak while extracting, MiB": f"{peak_mib():.0f}",
        "above the encoder's, MiB": f"{peak_mib() - before:.0f}",
    }


def peak_mib() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
