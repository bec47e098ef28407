"""The stage: every slide of a cohort becomes a bag; what fails is listed and stops nobody else."""

from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Event

from cohorts.manifest import Cohort, Slide
from feature_extraction.encoders import load_encoder
from feature_extraction.identity import SourceIdentity, images_of
from feature_extraction.reading_ahead import read_in_threads, slides_at_once
from feature_extraction.reading_processes import ReadingCrews
from feature_extraction.slide_job import Extraction, SlideJob, extract_slide
from feature_extraction.slide_lock import InWorkElsewhere
from feature_extraction.slide_record import SlideOutcome, read_record, write_slide_table

OnSlide = Callable[[SlideOutcome], None]
OnPatches = Callable[[str, int, int], None]
"""Told a slide's id, how many of its blocks are read, and of how many."""

Engine = Callable[[Sequence[SlideJob], Extraction], Generator[SlideOutcome, None, None]]
"""Works off jobs, wherever it does, and gives each outcome when it is there."""


def extract(
    cohort: Cohort,
    extraction: Extraction,
    *,
    engine: Engine | None = None,
    shard: tuple[int, int] = (1, 1),
    on_slide: OnSlide = lambda _: None,
) -> list[SlideOutcome]:
    """Write `<slide_id>.h5` for every slide, and `slides.csv` with what became of each.

    A bag is kept if it was made by the same recipe (encoder, weights, precision, preprocessing)
    from the same bytes; if only the rule of patches differs, it is applied to the bag; whatever
    else is made again. A slide that fails is listed and does not stop the others.

    Parameters
    ----------
    cohort
        Whose slides.
    extraction
        What is asked of them, and where the bags go.
    engine
        Where the work is done; without one, in this process.
    shard
        i and n: only the i-th of n parts of the patients, so that n processes or machines share
        the work on one folder. The slides of a patient stay together.
    on_slide
        Told of each outcome.

    Returns
    -------
    Outcomes of the shard's slides, in the manifest's order.

    Raises
    ------
    EncoderError
        If the encoder cannot be built. A slide's own error is in its outcome, not raised.
    """
    jobs = jobs_of(cohort, shard)
    outcomes: dict[str, SlideOutcome] = {}
    for outcome in _worked_off(jobs, extraction, engine or extract_here()):
        if outcome.slide_id not in outcomes:
            on_slide(outcome)
        outcomes[outcome.slide_id] = outcome
    write_slide_table(extraction.out, cohort.slides)
    return [outcomes[job.slide.slide_id] for job in jobs]


def _worked_off(
    jobs: Sequence[SlideJob], extraction: Extraction, engine: Engine
) -> Iterator[SlideOutcome]:
    """Give the outcomes; of slides that turn out to lack images, another at the end."""
    outcomes = {}
    with closing(engine(jobs, extraction)) as work:
        for outcome in work:
            outcomes[outcome.slide_id] = outcome
            yield outcome
    lacking = [job for job in jobs if _lacks_images(job, outcomes)]
    if lacking:
        with closing(engine(lacking, extraction)) as work:
            yield from work


def _lacks_images(job: SlideJob, outcomes: Mapping[str, SlideOutcome]) -> bool:
    """Whether a slide left images out for the sake of an earlier slide that then failed."""
    failed = any(outcomes[slide.slide_id].state == "failed" for slide in job.earlier)
    return failed and outcomes[job.slide.slide_id].duplicates > 0


def jobs_of(cohort: Cohort, shard: tuple[int, int] = (1, 1)) -> list[SlideJob]:
    """Lay out the work of a shard, slide by slide in the manifest's order."""
    part, parts = shard
    mine = set(cohort.patients.index[part - 1 :: parts])
    earlier: dict[str, tuple[Slide, ...]] = defaultdict(tuple)
    jobs = []
    for slide in cohort.slides:
        if slide.patient_id in mine:
            jobs.append(SlideJob(slide, earlier[slide.patient_id]))
            earlier[slide.patient_id] += (slide,)
    return jobs


def extract_here(on_patches: OnPatches = lambda _id, _done, _all: None) -> Engine:
    """Give the engine of one process: slides in order, beside a GPU some of them at a time.

    A slide that another process is at is put off to the end, and then waited for.
    """

    def run(
        jobs: Sequence[SlideJob], extraction: Extraction
    ) -> Generator[SlideOutcome, None, None]:
        encoder = load_encoder(extraction.settings)
        on_gpu = encoder.device.type == "cuda"
        at_once = slides_at_once(on_gpu=on_gpu)
        stopped = Event()

        def one(job: SlideJob, *, wait: bool) -> SlideOutcome:
            def tell(done: int, of: int) -> None:
                if stopped.is_set():
                    raise _StoppedError
                on_patches(job.slide.slide_id, done, of)

            read_blocks = crews.read if on_gpu else read_in_threads
            return extract_slide(
                job, encoder, extraction, wait=wait, on_patches=tell, read_blocks=read_blocks
            )

        put_off = []
        with (
            closing(ReadingCrews(extraction.settings)) as crews,
            closing(_in_order(partial(one, wait=False), jobs, at_once)) as work,
        ):
            try:
                for job, outcome in work:
                    try:
                        yield outcome()
                    except InWorkElsewhere:
                        put_off.append(job)
            finally:
                stopped.set()
            stopped.clear()
            for job in put_off:
                yield one(job, wait=True)

    return run


class _StoppedError(Exception):
    """The run was stopped while another thread was at a slide."""


def _in_order(
    work: Callable[[SlideJob], SlideOutcome], jobs: Sequence[SlideJob], at_once: int
) -> Generator[tuple[SlideJob, Callable[[], SlideOutcome]], None, None]:
    """Give each job and what waits for its outcome, while the next ones are worked at."""
    if at_once == 1:  # in this very thread, where Ctrl-C ends it at any place
        yield from ((job, partial(work, job)) for job in jobs)
        return
    waiting: deque[tuple[SlideJob, Future[SlideOutcome]]] = deque()
    with ThreadPoolExecutor(at_once, thread_name_prefix="slide") as pool:
        try:
            for job in jobs:
                waiting.append((job, pool.submit(work, job)))
                if len(waiting) > at_once:
                    first, outcome = waiting.popleft()
                    yield first, outcome.result
            for first, outcome in waiting:
                yield first, outcome.result
        finally:
            for _, outcome in waiting:
                outcome.cancel()


def shared_images(slides: Sequence[Slide], out: Path) -> list[str]:
    """Give a line for each pair of slides of two patients that share images, byte for byte.

    As far as their bytes were read. It is an error of the cohort, which `cmil cohort check
    --images` refuses; here the bags are made already, and whoever reads the line decides.
    """
    first_seen: dict[str, Slide] = {}
    shared: dict[tuple[Slide, Slide], int] = defaultdict(int)
    for slide in slides:
        files = read_record(out, slide).files
        identity = SourceIdentity("", tuple(files.get("digests", ())), "")
        for image in images_of(slide, identity) if identity.digests else ():
            first = first_seen.setdefault(image, slide)
            if first.patient_id != slide.patient_id:
                shared[first, slide] += 1
    return [
        f'slides "{a.slide_id}" of patient "{a.patient_id}" (manifest row {a.row}) and '
        f'"{b.slide_id}" of patient "{b.patient_id}" (row {b.row}) share {count} '
        f"{'image' if count == 1 else 'images'}, byte for byte; an image belongs to one "
        "patient: correct the manifest or the folders"
        for (a, b), count in shared.items()
    ]
