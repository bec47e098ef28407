"""A slip of the pen is recognised, another word is not."""

import pytest

from cmil.nearest_name import nearest_name


@pytest.mark.parametrize(
    ("given", "nearest"),
    [("gated_atention", "gated_attention"), ("maxx", "max"), ("zzz", None), ("", None)],
)
def test_nearest_is_the_most_alike_or_none(given: str, nearest: str | None) -> None:
    assert nearest_name(given, ("attention", "gated_attention", "max")) == nearest
