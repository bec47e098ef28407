"""Many slides to bags against the encoder alone, in turns: what a GPU waits for.

python benchmarks/extraction_cohort.py --slides 16 --encoders resnet50 vit_base_patch16_224

Each process that reads for a GPU imports this file once more, so it imports nothing heavy before
it measures. Starting those processes is counted, loading the encoder is not.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cohorts.manifest import Cohort
    from feature_extraction.encoders import Encoder
    from feature_extraction.settings import ExtractionSettings

SIDE = 14_336


def main() -> None:
    """Measure and print a table."""
    import cv2

    from cmil.run_record import describe_machine

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="of interleaved measurements")
    parser.add_argument("--slides", type=int, default=16, help="of 4,096 patches each")
    parser.add_argument("--batch", type=int, default=256, help="patches of a batch")
    parser.add_argument("--encoders", nargs="+", default=["resnet50", "vit_base_patch16_224"])
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        print(f"\n{measured(Path(folder), arguments)}\n\n{describe_machine()}")


def measured(folder: Path, arguments: argparse.Namespace) -> str:
    """Measure every encoder; give a table."""
    import pandas as pd
    from extraction import markdown, settings_of
    from pytest import MonkeyPatch

    from feature_extraction.encoders import load_encoder

    listed = drawn_cohort(folder, arguments.slides)
    rows = []
    for name in arguments.encoders:
        settings = settings_of(f"untrained:timm:{name}", batch_size=arguments.batch)
        encoder = load_encoder(settings)
        with MonkeyPatch.context() as patched:  # it is loaded once, not for each turn
            patched.setattr("feature_extraction.extract.load_encoder", lambda _, made=encoder: made)
            measured = [
                cohort_turn(listed, encoder, settings, folder / f"{name}-{turn}")
                for turn in range(arguments.pairs + 1)
            ][1:]
        shares = [alone / whole for whole, alone, _ in measured]
        rates = [patches / whole for whole, _, patches in measured]
        rows.append(
            {
                "encoder": name,
                "patches": measured[0][2],
                "encoder alone, patches/s": f"{measured[0][2] / measured[0][1]:.0f}",
                "slide to bag, patches/s": f"{statistics.median(rates):.0f}",
                "share of the encoder-only rate": f"{statistics.median(shares):.3f}",
                "lowest and highest": f"{min(shares):.3f} to {max(shares):.3f}",
                "hours for 1,384,007 patches": f"{1_384_007 / statistics.median(rates) / 3600:.2f}",
            }
        )
    return markdown(pd.DataFrame(rows))


def drawn_cohort(folder: Path, count: int) -> "Cohort":
    """Write slides of one patient each."""
    import pandas as pd
    from extraction import write_slide

    from cohorts.manifest import Cohort, Slide, SourceKind

    slides = []
    for number in range(count):
        path = folder / f"{number}.tif"
        write_slide(path, SIDE)
        slides.append(Slide(path.stem, path.stem, path, SourceKind.SLIDE, None, number + 2))
    index = pd.Index([slide.patient_id for slide in slides], name="patient_id")
    return Cohort(tuple(slides), pd.DataFrame(index=index), folder / "cohort.csv")


def cohort_turn(
    listed: "Cohort", encoder: "Encoder", settings: "ExtractionSettings", out: Path
) -> tuple[float, float, int]:
    """Seconds of the whole stage and of the encoder alone, and the number of patches."""
    from extraction import seconds_of_encoder

    from feature_extraction.extract import extract
    from feature_extraction.slide_job import Extraction

    started = time.perf_counter()
    outcomes = extract(listed, Extraction(settings, out))
    whole = time.perf_counter() - started
    patches = sum(outcome.patches + outcome.dropped for outcome in outcomes)
    return whole, seconds_of_encoder(encoder, patches, settings.batch_size), patches


if __name__ == "__main__":
    main()
