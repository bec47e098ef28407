"""What runs on each machine of a cluster: a worker, and its proof that it can do the work."""

import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import cv2
import torch

from cohorts.errors import AccessError
from cohorts.ray_crew import Member, refuse_other_release
from feature_extraction.encoders import Encoder, load_encoder
from feature_extraction.reading_ahead import read_in_threads
from feature_extraction.reading_processes import ReadingCrews
from feature_extraction.slide_job import Extraction, SlideJob, extract_slide
from feature_extraction.slide_record import SlideOutcome


@dataclass(frozen=True)
class Proof:
    """What a worker has to find, to show that it sees the same files and runs the same code."""

    token: Path
    text: str
    slide: Path | None
    release: str


class Worker:
    """An encoder, and the slides it is handed one by one."""

    def __init__(self, extraction: Extraction, torch_threads: int, cv2_threads: int) -> None:
        torch.set_num_threads(torch_threads)
        cv2.setNumThreads(cv2_threads)
        self._extraction = extraction
        self._encoder: Encoder | None = None
        self._crews = ReadingCrews(extraction.settings)  # they end with this process

    def join(self, proof: Proof) -> Member:
        """Show that this machine can do the work, and make ready for it."""
        refuse_unfit(proof)
        self._encoder = made = load_encoder(self._extraction.settings)
        return Member(
            socket.gethostname(),
            f"torch {torch.__version__}, {made.backend}, {made.precision}, "
            f"encoder {made.digest[:12]}",
        )

    def extract(self, job: SlideJob, *, wait: bool) -> SlideOutcome:
        """Work at a slide, as the engine of one process does."""
        if self._encoder is None:
            raise RuntimeError("a worker gets its first slide when it has joined")
        on_gpu = self._encoder.device.type == "cuda"
        read_blocks = self._crews.read if on_gpu else read_in_threads
        return extract_slide(
            job, self._encoder, self._extraction, wait=wait, read_blocks=read_blocks
        )


def proof_of(out: Path, jobs: Sequence[SlideJob]) -> Proof:
    """Lay down, in the folder of the bags, what a worker has to find."""
    token = out / "state" / "folder.id"
    token.parent.mkdir(parents=True, exist_ok=True)
    try:
        with token.open("x", encoding="utf-8") as file:
            file.write(secrets.token_hex(16))
    except FileExistsError:
        pass  # of an earlier run: it serves as well
    slides = (job.slide.path for job in jobs if job.slide.path.exists())
    return Proof(token, token.read_text(encoding="utf-8"), next(slides, None), version("cmil"))


def refuse_unfit(proof: Proof) -> None:
    """Make sure that this machine sees the files of the run and has its software.

    Raises
    ------
    SettingsError
        If another release of this package is installed.
    AccessError
        If it does not see the folder of the bags, or the slides.
    """
    refuse_other_release(proof.release)
    try:
        seen = proof.token.read_text(encoding="utf-8") == proof.text
    except OSError:
        seen = False
    unseen = proof.token.parent.parent if not seen else proof.slide
    if unseen is not None and not (seen and unseen.exists()):
        raise AccessError(
            f'{socket.gethostname()} does not see "{unseen}" as the command does; bags and slides '
            "have to lie on a file system that all machines of the cluster share, under the same "
            "path"
        )
