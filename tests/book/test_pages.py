"""The pages as text, and as papermill runs them by hand."""

import re
from itertools import product

import jupytext
import nbformat
import papermill
import pytest
import yaml
from by_hand import PAGES, code_cells, rerun

from experiments.cifar10.runs import CifarParameters
from experiments.convex_is_not_enough.runs import ConvexParameters
from experiments.hessian_norm.runs import HessianParameters
from experiments.importance_sampling.runs import ImportanceParameters
from experiments.linear_model.runs import LinearModelParameters
from experiments.liprune.runs import LipruneParameters
from experiments.other_scores.runs import OtherScoresParameters
from experiments.sine_model.runs import SineParameters
from experiments.stochastic_pruning.runs import StochasticParameters
from experiments.what_accelerates.closed_forms import AccelerationParameters
from experiments.why.runs import WhyParameters
from experiments.your_problem.runs import OwnProblemParameters
from liprune_utils.book.verdicts import VerdictParameters
from liprune_utils.checks import InputError
from liprune_utils.files import PROJECT

PARAMETERS = {
    "01_importance_sampling": ImportanceParameters,
    "02_stochastic_pruning": StochasticParameters,
    "03_liprune": LipruneParameters,
    "04_linear_model": LinearModelParameters,
    "05_what_accelerates": AccelerationParameters,
    "06_convex_is_not_enough": ConvexParameters,
    "07_sine_model": SineParameters,
    "08_hessian_norm": HessianParameters,
    "09_cifar10": CifarParameters,
    "10_other_scores": OtherScoresParameters,
    "11_why": WhyParameters,
    "14_verdict": VerdictParameters,
    "13_your_problem": OwnProblemParameters,
}


def pages(function):
    return pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)(function)


def defaults(page: str) -> dict[str, object]:
    """The values in the parameters cell."""
    namespace = {}
    exec(code_cells(page)[0], namespace)
    return {name: value for name, value in namespace.items() if not name.startswith("__")}


def test_every_page_is_in_the_contents_and_has_parameters():
    contents = (PROJECT / "_toc.yml").read_text()
    assert {page.stem for page in PAGES} == set(PARAMETERS)
    assert all(f"notebooks/{page.stem}\n" in contents for page in PAGES)


@pages
def test_a_page_and_its_twin_are_in_step(page):
    text, twin = jupytext.read(page), nbformat.read(page.with_suffix(".ipynb"), as_version=4)
    assert [(c.cell_type, c.source) for c in text.cells] == [
        (c.cell_type, c.source) for c in twin.cells
    ]
    for one, other in zip(text.cells, twin.cells, strict=True):
        for key in ("tags", "mystnb"):
            assert one.metadata.get(key) == other.metadata.get(key)


@pages
def test_a_twin_has_no_outputs(page):
    cells = nbformat.read(page.with_suffix(".ipynb"), as_version=4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pages
def test_a_page_is_one_argument(page):
    cells = jupytext.read(page).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert len(cells) <= 35
    assert all(len(source.splitlines()) <= 30 for source in code)
    assert "assert " in "\n".join(code[2:])  # an independent check
    checked = [source for source in code if ".from_notebook(globals())" in source]
    assert code.index(checked[0]) == 1


@pages
def test_parameters_are_typed_commented_and_known(page):
    found = papermill.inspect_notebook(str(page.with_suffix(".ipynb")))
    fields = {field.name for field in PARAMETERS[page.stem].__dataclass_fields__.values()}
    assert set(found) == fields
    for name, parameter in found.items():
        assert parameter["inferred_type_name"] != "None"
        assert len(parameter["help"]) >= 15, name
        assert re.search(r"\bfrom\b|\bin [(\[]|\bor\b|\bothers\b|\bfolder\b", parameter["help"]), (
            name
        )


IMPOSSIBLE = (-(10**9), 10**9 + 1)
DEPENDENT = {("10_other_scores", "num_images"), ("11_why", "num_images")}  # on other parameters


def refused_range(page: str, name: str, given: float) -> str:
    """The range, in digits, that a page asks for where a parameter is out of it; may be empty."""
    values = defaults(page)
    kind = type(values[name])
    given = [given] if kind is list else kind(given)
    with pytest.raises(InputError) as refused:
        PARAMETERS[page](**(values | {name: given}))
    words = str(refused.value).split("expected ")[-1]
    found = re.search(r"in [(\[][^)\]]+[)\]]|from -?[\d.]+ to \d+(?:\.\d+)?", words)
    return found[0] if found else ""


@pages
def test_help_states_the_range_that_the_page_asks_for(page):
    helps = papermill.inspect_notebook(str(page.with_suffix(".ipynb")))
    numbers = {
        name for name, value in defaults(page.stem).items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    } - {"seed"}  # fmt: skip
    numbers -= {name for stem, name in DEPENDENT if stem == page.stem}
    for name, given in product(numbers, IMPOSSIBLE):
        assert refused_range(page.stem, name, given) in helps[name]["help"], name


@pages
def test_defaults_are_valid(page):
    values = defaults(page.stem)
    if page.stem != "14_verdict":  # valid only where results lie
        PARAMETERS[page.stem](**values)
    assert values["results_dir"] == f"reruns/{page.stem}"


@pytest.mark.parametrize(
    "path", sorted((PROJECT / "notebooks" / "params").glob("*.yml")), ids=lambda path: path.name
)
def test_other_profiles_are_valid(path):
    page = path.name.split(".")[0]
    given = yaml.safe_load(path.read_text())
    assert set(given) <= set(defaults(page))
    PARAMETERS[page](**(defaults(page) | given))


def test_the_papers_profile_is_the_papers():
    given = yaml.safe_load((PROJECT / "notebooks/params/09_cifar10.paper.yml").read_text())
    assert (given["num_images"], given["num_epochs"], given["batch_size"]) == (50_000, 164, 128)
    assert (given["depths"], given["keep_fractions"]) == ([14, 20], [0.2, 0.5])
    assert (given["prune_epochs"], given["learning_rates"]) == ([1, 5], [0.01, 0.1])
    assert given["decay_epochs"] == [80, 120]


def test_names_of_figures_and_sections_are_unique():
    text = "\n".join(page.read_text() for page in PAGES)
    for pattern in (
        r'"figure": \{"name": "([^"]+)"',
        r"^# \(([\w-]+)\)=$",
        r"^# \$\$ \((eq-[\w-]+)\)$",
    ):
        names = re.findall(pattern, text, re.MULTILINE)
        assert len(names) > 5
        assert len(names) == len(set(names)), names


def test_figures_have_caption_and_alternative_text():
    for page in PAGES:
        for cell in jupytext.read(page).cells:
            if re.search(r"^figure = \w*figures\.", cell.source, re.MULTILINE):
                shown = cell.metadata["mystnb"]
                assert len(shown["figure"]["caption"]) > 40
                assert len(shown["image"]["alt"]) > 40


@pytest.mark.slow
def test_a_rerun_by_hand_leaves_the_book_alone(tmp_path):
    book = PROJECT / "build" / "results" / "04_linear_model" / "curves.csv"
    before = book.stat().st_mtime_ns if book.exists() else None
    results = str(tmp_path / "results")
    given = ("-p", "learning_rate", "0.02", "-p", "num_runs", "200", "-p", "results_dir", results)
    result = rerun("04_linear_model", tmp_path / "out.ipynb", *given)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "results" / "curves.csv").exists()
    assert (book.stat().st_mtime_ns if book.exists() else None) == before
