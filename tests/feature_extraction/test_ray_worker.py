from importlib.metadata import version
from pathlib import Path

import pytest

from cohorts.errors import AccessError, SettingsError
from cohorts.manifest import Slide, SourceKind
from feature_extraction.ray_worker import Proof, proof_of, refuse_unfit
from feature_extraction.slide_job import SlideJob


def test_a_machine_that_sees_other_files_is_refused(tmp_path: Path) -> None:
    token, slide = tmp_path / "bags" / "state" / "folder.id", tmp_path / "slide.tif"
    token.parent.mkdir(parents=True)
    proof = Proof(token, "0123", slide, version("cmil"))
    with pytest.raises(AccessError, match=f'does not see "{tmp_path / "bags"}"'):
        refuse_unfit(proof)  # the file is not there
    token.write_text("4567")
    with pytest.raises(AccessError, match=f'does not see "{tmp_path / "bags"}"'):
        refuse_unfit(proof)  # another folder lies there
    token.write_text("0123")
    with pytest.raises(AccessError, match=f'does not see "{slide}"'):
        refuse_unfit(proof)
    slide.touch()
    refuse_unfit(proof)
    with pytest.raises(SettingsError, match=r"has cmil .+, but the command is of cmil 0\.0\.0"):
        refuse_unfit(Proof(token, "0123", slide, "0.0.0"))


def test_the_proof_of_a_folder_stays_the_same(tmp_path: Path) -> None:
    there = tmp_path / "there.tif"
    there.touch()
    jobs = [
        SlideJob(Slide(path.stem, "P", path, SourceKind.SLIDE, None, row))
        for row, path in enumerate((tmp_path / "lost.tif", there), start=2)
    ]
    proof = proof_of(tmp_path / "bags", jobs)
    assert proof.slide == there  # one that is missing here cannot be asked for elsewhere
    assert proof == proof_of(tmp_path / "bags", jobs)
    assert proof.text != proof_of(tmp_path / "others", jobs).text
    refuse_unfit(proof)
    refuse_unfit(proof_of(tmp_path / "bags", jobs[:1]))
