"""A slip in `study.toml` is named, with what was probably meant."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cmil.settings import MilSettings
from cmil.study_settings import StudySettings, read_study_settings
from cohorts.errors import SettingsError
from survival.settings import SurvivalSettings

LEAST = """
[cohort]
manifest = "cohort.csv"
[extraction]
encoder = "timm:resnet18"
mpp = 0.5
"""

Read = Callable[..., StudySettings]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def write_and_read(text: str, **options: Path) -> StudySettings:
        (tmp_path / "study.toml").write_text(text, encoding="utf-8")
        return read_study_settings(tmp_path / "study.toml", **options)

    return write_and_read


def refusal(read: Read, text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(text)
    return str(caught.value).splitlines()


def test_least_study_takes_defaults_for_the_rest(read: Read) -> None:
    settings = read(LEAST)
    assert settings.seed == 0
    assert settings.mil == MilSettings()
    assert settings.survival == SurvivalSettings()


def test_whole_study_is_read(read: Read) -> None:
    settings = read(
        'title = "Marrow"\nseed = 7\n'
        + LEAST
        + """
        [cohort.endpoints."overall survival"]
        time = "os_months"
        event = "os_event"
        [mil]
        aggregator = "mean"
        folds = 3
        [survival]
        covariates = ["age"]
        """
    )
    assert (settings.title, settings.seed) == ("Marrow", 7)
    assert settings.cohort.endpoints["overall survival"].event == "os_event"
    assert (settings.mil.aggregator, settings.mil.folds) == ("mean", 3)
    assert settings.survival.covariates == ("age",)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("tittle = 'x'\n" + LEAST, 'tittle is not a setting; did you mean "title"?'),
        (
            LEAST.replace("[extraction]", "lable = 'x'\n[extraction]"),
            'cohort.lable is not a setting; did you mean "label"?',
        ),
        (
            LEAST + "patch_pxl = 224\n",
            'extraction.patch_pxl is not a setting; did you mean "patch_px"?',
        ),
        (LEAST + "[mil]\nepoch = 3\n", 'mil.epoch is not a setting; did you mean "epochs"?'),
        (
            LEAST + "[survival]\ncut_point = 'median'\n",
            'survival.cut_point is not a setting; did you mean "cutpoint"?',
        ),
        (
            LEAST + "[cohort.endpoints.os]\ntime = 't'\nevent = 'e'\nunits = 'days'\n",
            'cohort.endpoints.os.units is not a setting; did you mean "unit"?',
        ),
        (
            LEAST + "[survival]\nzzzzzz = 1\n",
            "survival.zzzzzz is not a setting; known keys: cutpoint, covariates, penalty, "
            "risk_group, subgroups, horizons, rmst_until, landmark, interval, bootstrap_samples",
        ),
    ],
)
def test_unknown_key_names_the_nearest_known_one(read: Read, text: str, line: str) -> None:
    assert refusal(read, text) == [f"study.toml: {line}"]


def test_all_problems_are_said_at_once(read: Read) -> None:
    lines = refusal(
        read,
        """
        sede = 3
        [cohort]
        [extraction]
        encoder = "timm:resnet18"
        mpp = 0.5
        [mil]
        folds = 1
        dropout = 1.0
        """,
    )
    assert sorted(line.removeprefix("study.toml: ") for line in lines) == [
        "cohort.manifest is not set; add it",
        "mil.dropout: Input should be less than 1 (it is 1.0)",
        "mil.folds: Input should be greater than or equal to 2 (it is 1)",
        'sede is not a setting; did you mean "seed"?',
    ]


def test_missing_tables_are_named_by_what_they_must_hold(read: Read) -> None:
    assert refusal(read, "") == [
        "study.toml: cohort.manifest is not set; add it",
        "study.toml: extraction.encoder is not set; add it",
        "study.toml: extraction.mpp is not set; add it",
    ]


@pytest.mark.parametrize("name", ["cohort", "extraction"])
def test_table_that_is_a_value_is_refused(read: Read, name: str) -> None:
    (line,) = refusal(read, f"{name} = 3\n")
    assert line == f"study.toml: {name} must be a table: write [{name}] on its own line"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("seed = -1\n" + LEAST, "seed"),
        ("seed = 'many'\n" + LEAST, "seed"),
        ("mil = 3\n" + LEAST, "mil"),
        (LEAST + "[mil]\nepochs = 2.5\n", "mil.epochs"),
        (LEAST + "[mil]\naggregator = 'median'\n", "mil.aggregator"),
        (LEAST + "[survival]\ncutpoint = 'best'\n", "survival.cutpoint.method"),
        (
            LEAST + "[cohort.endpoints.os]\ntime = 't'\nevent = 'e'\nunit = 'weeks'\n",
            "cohort.endpoints.os.unit",
        ),
        (LEAST + "precision = 16\n", "extraction.precision"),
    ],
)
def test_value_of_the_wrong_kind_is_shown(read: Read, text: str, named: str) -> None:
    (line,) = refusal(read, text)
    assert line.startswith(f"study.toml: {named}: ")
    assert "(it is " in line


@pytest.mark.parametrize(
    ("mil", "said"),
    [
        ("layers = [-4]", "mil.layers.0: Input should be greater than or equal to 1 (it is -4)"),
        ("layers = [8, 0]", "mil.layers.1: Input should be greater than or equal to 1 (it is 0)"),
        (
            "search.layers = [[8], [0]]",
            "mil: search.layers: [0]: Input should be greater than or equal to 1",
        ),
    ],
)
def test_layer_has_a_width_of_one_at_least(read: Read, mil: str, said: str) -> None:
    assert refusal(read, f"{LEAST}[mil]\n{mil}\n") == [f"study.toml: {said}"]


TOP_K = "needs a whole number of instances, 1 or more, or a share of the bag, above 0 and below 1"


@pytest.mark.parametrize(
    ("mil", "said"),
    [
        (
            "search.hidden = 64",
            "mil.search: hidden = 64 is no list; write the values to try in brackets",
        ),
        (
            "search.balance = 'loss'",
            "mil.search: balance = 'loss' is no list; write the values to try in brackets",
        ),
        (
            "search.learn_rate = [0.1]",
            "mil: search.learn_rate is not a setting that can be searched; did you mean "
            '"learning_rate"?',
        ),
        ("search.hidden = [8, 9, 8]", "mil: search.hidden names 8 twice; leave one out"),
        ("search.layers = [[8], [], [8]]", "mil: search.layers names [8] twice; leave one out"),
        ("search.top_k = [2, 1.5]", f"mil: search.top_k: 1.5: {TOP_K}"),
        ("top_k = 1.5", f"mil.top_k: {TOP_K} (it is 1.5)"),
        ("top_k = 'all'", f"mil.top_k: {TOP_K} (it is 'all')"),
    ],
)
def test_value_of_a_search_or_a_share_is_explained_in_one_line(
    read: Read, mil: str, said: str
) -> None:
    assert refusal(read, f"{LEAST}[mil]\n{mil}\n") == [f"study.toml: {said}"]


def test_search_over_what_no_aggregator_reads_is_refused(read: Read) -> None:
    idle = "[mil]\naggregator = 'codebook'\nsearch.dropout = [0.0, 0.5]\n"
    (line,) = refusal(read, LEAST + idle)
    assert line == "study.toml: mil.search.dropout changes nothing about codebook; leave it out"
    beside = read(LEAST + idle.replace("search", "compare = ['mean']\nsearch", 1)).mil
    assert beside.search and not beside.searched
    assert beside.model_copy(update={"aggregator": "mean"}).searched == {"dropout": (0.0, 0.5)}


def test_setting_that_cannot_be_searched_has_no_other_meant(read: Read) -> None:
    (line,) = refusal(read, LEAST + "[mil.search]\nfolds = [3, 5]\n")
    assert "search.folds is not a setting that can be searched; those that can are epochs," in line
    assert "repeats" not in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[mil]\naggregator = 'gated_atention'",
            "(it is 'gated_atention'); did you mean \"gated_attention\"?",
        ),
        ("[mil]\ncompare = ['maxx']", "(it is 'maxx'); did you mean \"max\"?"),
        ("[mil]\naggregator = 'zzz'", "(it is 'zzz')"),
        ("[mil]\naggregator = 3", "(it is 3)"),
    ],
)
def test_misspelt_value_names_the_nearest_permitted_one(read: Read, text: str, said: str) -> None:
    (line,) = refusal(read, f"{LEAST}{text}\n")
    assert line.endswith(said)


@pytest.mark.parametrize("top_k", [1, 7, 0.25])
def test_top_k_is_a_number_or_a_share(read: Read, top_k: float) -> None:
    of_top_k = f"[mil]\naggregator = 'top_k'\ntop_k = {top_k}\nsearch.top_k = [3, 0.5]\n"
    read_k = read(f"{LEAST}{of_top_k}").mil.top_k
    assert (read_k, type(read_k)) == (top_k, type(top_k))


def test_settings_that_contradict_each_other_are_explained(read: Read) -> None:
    (line,) = refusal(read, LEAST + "mean = [0.5, 0.5, 0.5]\n")
    assert line == "study.toml: extraction: mean and std belong together; give both or neither"


def test_paths_are_relative_to_the_study(read: Read, tmp_path: Path) -> None:
    rest = '[validation]\nratings = "read/ratings.csv"\n'
    settings = read(LEAST + 'weights = "../weights.safetensors"\n' + rest)
    assert settings.validation.ratings == tmp_path / "read" / "ratings.csv"
    assert settings.cohort.manifest == tmp_path / "cohort.csv"
    assert settings.extraction.weights == tmp_path / "../weights.safetensors"


def test_questions_of_a_validation_are_checked_when_they_are_read(read: Read) -> None:
    table = "[validation]\nsensitvity = 0.9\nprevalences = [1.5]\n[validation.cost]\nmissed = 5\n"
    lines = refusal(read, LEAST + table)
    assert any(
        'validation.sensitvity is not a setting; did you mean "sensitivity"' in li for li in lines
    )
    assert any("validation.prevalences.0: " in line for line in lines)
    assert any("validation.cost.prevalence is not set; add it" in line for line in lines)


def test_absolute_paths_stay(read: Read, tmp_path: Path) -> None:
    absolute = (tmp_path / "elsewhere" / "cohort.csv").as_posix()
    settings = read(LEAST.replace('"cohort.csv"', f'"{absolute}"'))
    assert settings.cohort.manifest == Path(absolute)


def test_options_take_the_place_of_paths_and_are_relative_to_the_working_folder(
    read: Read,
) -> None:
    manifest, weights = Path("a/cohort.csv"), Path("b/weights.safetensors")
    text = LEAST.replace('manifest = "cohort.csv"', "")
    settings = read(text, manifest=manifest, weights=weights)
    assert settings.cohort.manifest == manifest
    assert settings.extraction.weights == weights
    over = read(LEAST + 'weights = "w"\n', manifest=manifest, weights=weights)
    assert over == settings


def test_text_that_is_no_toml_is_refused(read: Read) -> None:
    (line,) = refusal(read, "[cohort\n")
    assert line.startswith("study ")
    assert "study.toml" in line
    assert "is not valid TOML" in line


def test_missing_study_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"study\.toml\" does not exist"):
        read_study_settings(tmp_path / "study.toml")


def test_folder_and_other_encodings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not valid TOML"):
        read_study_settings(tmp_path)
    (tmp_path / "study.toml").write_bytes('title = "Märow"'.encode("latin-1"))
    with pytest.raises(SettingsError, match="is not valid TOML"):
        read_study_settings(tmp_path / "study.toml")


@pytest.mark.parametrize(
    ("cohort", "mil", "said"),
    [
        ("", 'task = "classes"', 'mil.task "classes" and .* go together'),
        ('classes = ["a", "b", "c"]', "", 'mil.task "classes" and .* go together'),
        ('classes = ["a", "b"]', 'task = "classes"', "name three or more different classes"),
        ('classes = ["a", "b", "kind"]', 'task = "classes"', 'have a column "score_kind" already'),
        ("", 'task = "survival"\nendpoint = "OS"\nhorizon = 9', 'mil.endpoint "OS" is not in'),
        ("", "search.dropuot = [0.1]", "search.dropuot is not a setting that can be searched"),
    ],
)
def test_task_that_the_cohort_does_not_hold_is_refused(
    tmp_path: Path, cohort: str, mil: str, said: str
) -> None:
    text = f"""[cohort]
manifest = "c.csv"
{cohort}
[extraction]
encoder = "stain-filters"
mpp = 0.25
patch_px = 224
[mil]
{mil}
"""
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(SettingsError, match=said):
        read_study_settings(tmp_path / "study.toml")
