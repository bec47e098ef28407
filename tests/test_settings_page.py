"""`docs/settings.md` names every setting with its default, and no other."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from cmil.explanations.settings import ExplanationSettings
from cmil.histograms.settings import HistogramSettings
from cmil.settings import MilSettings
from cmil.study_settings import StudySettings
from cmil.validation.settings import CostSettings, ReferralSettings, ValidationSettings
from cohorts.endpoints import Endpoint
from cohorts.settings import CohortSettings
from feature_extraction.selection import PatchRule
from feature_extraction.settings import ExtractionSettings
from survival.cut_rules import CutPointRule
from survival.neuroblastoma_factors import NeuroblastomaColumns
from survival.settings import SurvivalSettings

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"
TABLES = {"cohort", "extraction", "histogram", "keep", "mil", "explanations", "survival"}
TABLES |= {"validation", "cost", "referral", "cutpoint"}


def documented(heading: str) -> dict[str, str]:
    _, _, section = PAGE.read_text("utf-8").partition(f"\n## {heading}\n")
    first_table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert first_table
    _, _, *rows = first_table[0].splitlines()
    cells = [row.split("|")[1:3] for row in rows]
    return {name.strip(" `"): default.strip() for name, default in cells}


def stated(model: type[BaseModel]) -> dict[str, str]:
    return {
        name: _default(field.get_default(call_default_factory=True))
        for name, field in model.model_fields.items()
        if name not in TABLES
    }


def _default(value: object) -> str:
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("Top level", StudySettings),
        ("`[cohort]`", CohortSettings),
        ('`[cohort.endpoints."NAME"]`', Endpoint),
        ("`[extraction]`", ExtractionSettings),
        ("`[extraction.keep]`", PatchRule),
        ("`[mil]`", MilSettings),
        ("`[mil.histogram]`", HistogramSettings),
        ("`[explanations]`", ExplanationSettings),
        ("`[validation]`", ValidationSettings),
        ("`[validation.cost]`", CostSettings),
        ("`[validation.referral]`", ReferralSettings),
        ("`[survival]`", SurvivalSettings),
        ("`[survival.cutpoint]`", CutPointRule),
        ("`[survival.risk_group]`", NeuroblastomaColumns),
    ],
)
def test_settings_and_defaults_are_those_of_the_models(
    heading: str, model: type[BaseModel]
) -> None:
    assert documented(heading) == stated(model)
