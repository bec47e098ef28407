"""What decides the numbers in a bag; one of another recipe is made again, and the log says why."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cohorts.errors import FileFormatError
from cohorts.files import digest_of
from feature_extraction.bags import Attribute, read_bag_attributes
from feature_extraction.colour import ColourReference
from feature_extraction.selection import PatchRule
from feature_extraction.settings import ExtractionSettings

# Raised when a change of this package changes the numbers in a bag.
RECIPE_VERSION = 4

_SHOWN = 24

Recipe = Mapping[str, Any]


def made_by(recipe: Recipe) -> str:
    """Digest by which a bag is known to be of this recipe."""
    return digest_of(dict(recipe))


def stated_of(settings: ExtractionSettings) -> dict[str, Attribute]:
    """Give what a bag states of the settings that decide whether bags compare."""
    return {
        "images_are": settings.images,
        "patch_px": settings.patch_px,
        "mpp_used": settings.mpp,
        "colours": "sRGB" if settings.icc else "as stored",
        "stain": settings.stain,
        "min_stained": settings.min_stained,
        "max_patches": settings.max_patches or "all",
    }


def recipe_text(recipe: Recipe) -> str:
    """Write a recipe into an attribute of a bag."""
    return json.dumps(dict(recipe), sort_keys=True)


def rule_text(rule: PatchRule) -> str:
    """Write the rule by which patches are kept into an attribute of a bag."""
    return json.dumps(rule.model_dump(mode="json"), sort_keys=True)


def reference_text(reference: ColourReference | None) -> str:
    """Write the reference of a colour normalisation into an attribute of a bag."""
    return json.dumps(reference.to_json(), sort_keys=True) if reference else "none"


def attributes_if_any(path: Path) -> Mapping[str, Attribute]:
    """Read what a bag says of itself; nothing if it is absent, cut short or of another version."""
    try:
        return read_bag_attributes(path)
    except FileFormatError:
        return {}  # in each case it is made again


def differences(attributes: Mapping[str, Attribute], recipe: Recipe) -> str:
    """Say in a line what a bag was made with and is to be made with now; empty without a bag."""
    if not attributes:
        return ""
    try:
        before = json.loads(str(attributes.get("recipe", "")))
    except json.JSONDecodeError:
        before = None
    if not isinstance(before, dict):
        return "made again: the bag does not say how it was made"
    now = json.loads(recipe_text(recipe))
    changed = [
        f"{name} from {_short(before.get(name))} to {_short(now.get(name))}"
        for name in dict.fromkeys([*recipe, *before])
        if before.get(name) != now.get(name)
    ]
    return f"made again: changed {', '.join(changed)}" if changed else "made again"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:12]}..."
