"""A bundle is read as it was written, or refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cmil.bundle import FACTS, WEIGHTS, ModelBundle, facts_text, load_weights, read_bundle
from cmil.model_card import write_model_card
from cmil.settings import MilSettings
from cohorts.errors import FileFormatError
from cohorts.files import digest_of, json_text, write_text


@pytest.fixture
def folder(trained: tuple[ModelBundle, Path], tmp_path: Path) -> Path:
    """A copy of the bundle that a test may spoil."""
    return shutil.copytree(trained[1], tmp_path / "model")


@pytest.fixture
def edit(folder: Path) -> Callable[..., None]:
    def change(**facts: Any) -> None:
        content = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        (folder / FACTS).write_text(json.dumps({**content, **facts}), encoding="utf-8")

    return change


def test_round_trip(trained: tuple[ModelBundle, Path], folder: Path) -> None:
    bundle, read = trained[0], read_bundle(folder)
    assert read.facts == bundle.facts
    assert read.digest == bundle.digest
    assert len(read.models) == len(bundle.models) == 3
    for ours, theirs in zip(bundle.models, read.models, strict=True):
        assert not theirs.training
        for name, tensor in ours.state_dict().items():
            assert torch.equal(tensor, theirs.state_dict()[name])


def test_bundle_of_an_earlier_release_keeps_its_digest(folder: Path) -> None:
    """It lacks a setting that has come since and has a default."""
    content = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    del content["mil"]["search_folds"]
    write_text(folder / FACTS, json_text(content))
    read = read_bundle(folder)
    assert read.digest == digest_of(content)
    assert read.facts.mil.search_folds == MilSettings().search_folds
    assert facts_text(read.facts) == (folder / FACTS).read_text(encoding="utf-8")


def test_one_changed_byte_in_the_weights_is_refused(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    # Everywhere in the header's first entries, then here and there to the end of the tensors.
    for position in [*range(200), *range(200, len(whole), 97), len(whole) - 1]:
        spoilt = bytearray(whole)
        spoilt[position] ^= 1
        (folder / WEIGHTS).write_bytes(spoilt)
        with pytest.raises(FileFormatError, match="was changed after training"):
            read_bundle(folder)
    (folder / WEIGHTS).write_bytes(whole)
    read_bundle(folder)


def test_changed_fact_is_another_model(
    trained: tuple[ModelBundle, Path], folder: Path, edit: Callable[..., None]
) -> None:
    edit(threshold=0.123)
    assert read_bundle(folder).digest != trained[0].digest


def test_newer_version_says_what_to_upgrade(folder: Path, edit: Callable[..., None]) -> None:
    edit(format_version=2, something_new=True)
    with pytest.raises(FileFormatError, match=r"format version 2.*upgrade cmil"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"threshold": "high"}, "threshold"),
        ({"note": "mine"}, "note"),
        ({"calibration": {"slope": 1.0}}, r"calibration\.intercept"),
        ({"format": "cmil-bag"}, "format"),
    ],
)
def test_fact_that_does_not_fit_is_named(
    folder: Path, edit: Callable[..., None], facts: dict[str, Any], named: str
) -> None:
    edit(**facts)
    with pytest.raises(FileFormatError, match=rf"model\.json\": {named}: "):
        read_bundle(folder)


@pytest.mark.parametrize("name", [FACTS, WEIGHTS])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(FileFormatError, match=name):
        read_bundle(folder)


def test_facts_that_are_no_json_are_refused(folder: Path) -> None:
    (folder / FACTS).write_text("{", encoding="utf-8")
    with pytest.raises(FileFormatError, match="not valid JSON"):
        read_bundle(folder)


def test_truncated_weights_are_refused(folder: Path, quick: MilSettings) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileFormatError, match="missing or damaged"):
        load_weights(folder / WEIGHTS, quick, 4)


@pytest.mark.parametrize(("aggregator", "width"), [("mean", 4), ("gated_attention", 5)])
def test_weights_of_another_aggregator_or_width_are_refused(
    folder: Path, quick: MilSettings, aggregator: str, width: int
) -> None:
    other = MilSettings.model_validate({**quick.model_dump(), "aggregator": aggregator})
    with pytest.raises(FileFormatError, match="another aggregator"):
        load_weights(folder / WEIGHTS, other, width)


def test_model_card_says_what_the_facts_say(
    trained: tuple[ModelBundle, Path], tmp_path: Path
) -> None:
    bundle = trained[0]
    write_model_card(bundle, tmp_path)
    card = (tmp_path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert bundle.digest in card
    assert f"| threshold | {bundle.facts.threshold:.4f} (youden" in card
    assert "| development patients | 18, 9 of them positive |" in card
    assert "| centres | Lund, Oslo |" in card
    assert "| encoder | timm:resnet18 |" in card
    assert "Research use only" in card
    assert "training patient" not in card
    mil = bundle.facts.mil.model_copy(update={"aggregator": "codebook"})
    facts = bundle.facts.model_copy(update={"mil": mil})
    write_model_card(replace(bundle, facts=facts), tmp_path)
    said = (tmp_path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "what was counted of each training patient" in said
