"""What the HTML pages share: templates that escape everything and miss nothing."""

from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined


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
