"""The pages as text, and as papermill runs them by hand."""

import re
import subprocess
import sys
from functools import cache
from importlib import import_module

import jupytext
import nbformat
import papermill
import pytest
import yaml
from by_hand import PAGES, parameters_and_check, rerun

from liprune_utils.book.parameters import Parameters
from liprune_utils.checks import InputError
from liprune_utils.files import PROJECT


def pages(function):
    return pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)(function)


def defaults(page: str) -> dict[str, object]:
    """The values in the parameters cell."""
    namespace = {}
    exec(parameters_and_check(page)[0], namespace)
    return {name: value for name, value in namespace.items() if not name.startswith("__")}


@cache
def parameters_of(page: str) -> type[Parameters]:
    """The class that checks a page's parameters."""
    check = parameters_and_check(page)[1]
    module, name = re.search(r"^from (\S+) import (\w+)$", check, re.M).groups()
    return getattr(import_module(module), name)


def test_every_page_is_in_the_contents():
    contents = (PROJECT / "_toc.yml").read_text()
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


def exercises(page) -> list:
    """The cells of a page's exercises: from their heading to the next one."""
    cells = jupytext.read(page).cells
    heads = [i for i, cell in enumerate(cells) if re.search(r"^## ", cell.source, re.MULTILINE)]
    ranges = zip(heads, [*heads[1:], len(cells)], strict=True)
    parts = [cells[start:end] for start, end in ranges]
    return next((part for part in parts if part[0].source.startswith("## Exercises\n")), [])


@pages
def test_a_page_is_one_argument(page):
    cells = jupytext.read(page).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert len(cells) - len(exercises(page)) <= 28
    assert all(len(source.splitlines()) <= 30 for source in code)
    assert max(len(line) for source in code for line in source.splitlines()) <= 88
    assert re.search(r"^(assert |np\.testing\.assert_)", "\n".join(code), re.MULTILINE)


@pages
def test_a_page_opens_with_its_question_answer_and_figure(page):
    title, answer, figure, own, *_, last = jupytext.read(page).cells
    assert re.fullmatch(rf"# {int(page.stem[:2])}\. [^\n]+\?", title.source)
    assert answer.source.endswith('first_screen.reserve("answer")')
    assert figure.source == 'first_screen.reserve("figure")'
    assert len(figure.metadata["mystnb"]["figure"]["caption"]) > 60
    assert len(figure.metadata["mystnb"]["image"]["alt"]) > 40
    assert own.source.startswith("## Run it yourself")
    assert "\nfirst_screen.fill(" in f"\n{last.source}"
    assert all(cell.metadata["tags"] == ["remove-input"] for cell in (answer, figure, last))


@pages
def test_what_is_no_argument_is_folded(page):
    cells = [cell for cell in jupytext.read(page).cells if cell.cell_type == "code"]
    tags = {cell.source: set(cell.metadata.get("tags", [])) for cell in cells}
    parameters, check = parameters_and_check(page.stem)
    assert "hide-cell" in tags[parameters]
    assert [tags[source] for source in tags if f"{source}\n".startswith(check)] == [{"hide-cell"}]
    plain = [source for source, tag in tags.items() if not tag]
    assert len(plain) >= 2  # the method, and its comparison with the library


@pytest.mark.parametrize("page", PAGES[:8], ids=lambda path: path.stem)
def test_pages_on_the_theory_have_two_exercises_with_folded_solutions_that_are_checked(page):
    questions, first, words, second = exercises(page)
    assert re.findall(r"^(\d)\. \*\*[^*]+[.?]\*\* ", questions.source, re.MULTILINE) == ["1", "2"]
    for number, text, code in ((1, questions, first), (2, words, second)):
        summary = f"<details><summary>Solution of exercise {number}, in words</summary>"
        assert text.source.count("<details>") == 1
        assert text.source.partition(summary)[2].endswith("</details>")
        assert code.metadata["tags"] == ["hide-cell"]
        prompt = f"Solution of exercise {number}, in code"
        assert set(code.metadata["mystnb"].values()) == {prompt}
        assert re.search(r"^ *(assert |np\.testing\.assert_)", code.source, re.MULTILINE)


@pages
def test_a_page_reads_as_text_wherever_it_is_opened(page):
    texts = [cell.source for cell in jupytext.read(page).cells if cell.cell_type == "markdown"]
    roles = re.findall(r"\{[\w:-]+\}`[^`]*`", "\n".join(texts))
    assert roles == []


def test_another_kernel_is_told_which_one_to_take():
    first = jupytext.read(PAGES[0]).cells[1].source
    command = [sys.executable, "-S", "-c", first]  # without what is installed
    result = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    expected = "This page needs the kernel LiPrune, which `make book` installs.\n"
    assert (result.returncode, result.stderr) == (1, expected)
    assert all(jupytext.read(page).cells[1].source == first for page in PAGES)


def helps(page) -> dict[str, str]:
    """What papermill tells of each parameter, which has a type and a comment."""
    found = papermill.inspect_notebook(str(page.with_suffix(".ipynb")))
    assert all(parameter["inferred_type_name"] != "None" for parameter in found.values())
    return {name: parameter["help"] for name, parameter in found.items()}


@pages
def test_parameters_are_typed_commented_and_known(page):
    assert set(helps(page)) == set(parameters_of(page.stem).model_fields)
    for name, text in helps(page).items():
        assert len(text) >= 15, name
        assert re.search(r"\bfrom\b|\bin [(\[]|\bor\b|\bothers\b|\bfolder\b", text), name


NOT_RANGES = ("seed", "depth", "num_images")  # those of some pages have other conditions


def numbers(text: str) -> set[float]:
    return {float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text.replace(",", ""))}


@pages
def test_help_states_the_range_that_the_page_asks_for(page):
    values, model, texts = defaults(page.stem), parameters_of(page.stem), helps(page)
    own = {n: v for n, v in values.items() if type(v) in (int, float) and n not in NOT_RANGES}
    for name, value in own.items():
        for given in (-(10**9), 10**9 + 1):
            with pytest.raises(InputError) as refused:
                model(**(values | {name: type(value)(given)}))
            expected = str(refused.value).split("; expected ")[-1]
            if not any(other in expected for other in values):
                assert numbers(expected) <= numbers(texts[name]), (name, expected)


@pages
def test_defaults_are_valid(page):
    values = defaults(page.stem)
    if page.stem != "14_verdict":  # valid only where results lie
        parameters_of(page.stem)(**values)
    assert values["results_dir"] == f"reruns/{page.stem}"


@pytest.mark.parametrize(
    "path", sorted((PROJECT / "notebooks" / "params").glob("*.yml")), ids=lambda path: path.name
)
def test_other_profiles_are_valid(path):
    page = path.name.split(".")[0]
    given = yaml.safe_load(path.read_text())
    assert set(given) <= set(defaults(page))
    parameters_of(page)(**(defaults(page) | given))


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
        r'^# <a id="([\w-]+)"></a>$',
        r"\\label\{(eq-[\w-]+)\}\n# \$\$$",
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
