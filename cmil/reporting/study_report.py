"""The report of a study, from the files its stages left."""

from pathlib import Path

from cmil.model_card import CARD
from cmil.report import headline
from cmil.reporting.checklist import CHECKLISTS, checklist_table, checklist_yaml, filled
from cmil.reporting.contents import Report, Section
from cmil.reporting.facts import study_facts
from cmil.reporting.files import write_report_files
from cmil.reporting.patient_sections import model_section, patients_section
from cmil.reporting.referral_sections import referral_sections
from cmil.reporting.study_files import StudyFiles
from cmil.reporting.survival_section import survival_sections
from cmil.reporting.validated_card import validated_card
from cmil.reporting.validation_sections import validation_sections
from cohorts.files import write_text


def write_study_report(study: StudyFiles, folder: Path) -> list[Path]:
    """Write report, tables, figures, both checklists and the model card of a study.

    Returns
    -------
    Everything that was written.
    """
    said = headline(study.validation.performance, study.predictions)
    facts = study_facts(study, said)
    lists = [filled(key, facts) for key in CHECKLISTS]
    left = [
        f"{one.name}: {one.counts()['filled']} of {len(one.items)} items are answered by the "
        f"study's files, {one.counts()['partly']} in part; "
        f"{one.counts()['to write']} are left to write."
        for one in lists
    ]
    report = Report(
        study.settings.title,
        said,
        [
            patients_section(study, facts),
            model_section(study, facts),
            *validation_sections(study),
            *referral_sections(study),
            *survival_sections(study),
            Section("Limitations", [facts["limitations"]]),
            Section("Checklists", left, [checklist_table(one) for one in lists]),
        ],
        study.provenance,
    )
    written = write_report_files(report, folder)
    for one in lists:
        written.append(folder / f"checklist-{one.key.replace('_', '-')}.yaml")
        write_text(written[-1], checklist_yaml(one))
    written.append(folder / CARD)
    write_text(written[-1], validated_card(study, facts, said))
    return written
