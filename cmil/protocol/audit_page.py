"""The page of an audit: every finding with its level, and the numbers behind them."""

from pathlib import Path

import pandas as pd

from cmil import __version__
from cmil.pages import page_templates
from cmil.protocol.audits import Audit
from cmil.protocol.findings import LEVELS
from cohorts.files import write_text

PAGE = "audit.html"


def write_audit(audit: Audit, folder: Path, title: str) -> Path:
    """Write `audit.html`, `findings.csv` and the tables of an audit into `folder`.

    Returns
    -------
    Path of the page.
    """
    findings = pd.DataFrame([vars(finding) for finding in audit.findings])
    tables = {"findings": findings, "labels": audit.labels, "centres": audit.centres}
    tables |= {"missing": audit.missing, "follow_up": audit.follow_up}
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False))
    page = (
        page_templates({"number": _number, "p_value": _p_value})
        .get_template("audit.html.j2")
        .render(
            title=title,
            result=headline(audit),
            findings=audit.findings,
            labels=audit.labels.to_dict("records"),
            centres=audit.centres.to_dict("records"),
            missing=audit.missing[audit.missing["missing"] > 0].to_dict("records"),
            follow_up=audit.follow_up.to_dict("records"),
            version=__version__,
        )
    )
    write_text(folder / PAGE, page)
    return folder / PAGE


def headline(audit: Audit) -> str:
    """Say in a sentence how many findings of each level there are."""
    counts = {level: sum(f.level == level for f in audit.findings) for level in LEVELS}
    said = (
        f"{counts['blocking']} blocking, {_many(counts['warning'], 'warning')}, "
        f"{_many(counts['note'], 'note')}."
    )
    verdict = "Mend what blocks before going on." if counts["blocking"] else "Nothing blocks."
    return f"{said} {verdict}"


def findings_text(audit: Audit) -> str:
    """Give the findings as lines for a terminal, and what they add up to."""
    lines = [f"{finding.level}: {finding.audit}: {finding.says}" for finding in audit.findings]
    return "\n".join([*lines, headline(audit)])


def _number(value: float, digits: int = 2) -> str:
    return "not estimable" if pd.isna(value) else f"{value:.{digits}f}"


def _p_value(p: float) -> str:
    return "<0.001" if p < 0.001 else _number(p, 3)


def _many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
