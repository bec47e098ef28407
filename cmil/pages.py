"""What pages and cards share: templates that escape everything and miss nothing."""

import re
from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def page_templates(words: Mapping[str, object]) -> Environment:
    """Give the templates of the pages, with the functions in `words` at their disposal."""
    environment = Environment(
        loader=PackageLoader("cmil"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(words)
    return environment


def markdown_templates() -> Environment:
    """Give the templates of Markdown files, in which what is filled in stands as text."""
    environment = page_templates({})
    environment.finalize = _markdown_text
    return environment


def _markdown_text(value: object) -> Markup:
    """Escape what Markdown or HTML in it would read as more than text; a macro's result is done."""
    if isinstance(value, Markup):
        return value
    text = re.sub(r"([\\`*<>|\[\]$])", r"\\\1", " ".join(str(value).split()))
    return Markup(text)  # noqa: S704  (escaped, as Markdown is)
