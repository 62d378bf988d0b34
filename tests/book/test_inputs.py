"""What a page is made of: found by following imports, compared by content."""

import ast
import json
import re

import pytest

from liprune_utils.book import inputs
from liprune_utils.checks import InputError
from liprune_utils.files import PROJECT

PAGES = {path.stem: path for path in inputs.pages()}


def made_of(page: str, tmp_path) -> dict[str, str]:
    return inputs.page_inputs(PAGES[page], tmp_path, None)


@pytest.mark.parametrize(
    ("page", "uses", "does_not_use"),
    [
        (
            "01_importance_sampling",
            [
                "experiments/importance_sampling/runs.py",
                "liprune_utils/sgd.py",
                "liprune_utils/book/liprune.mplstyle",
                "book/claims.yml",
                "package numpy",
                "Python",
            ],
            [
                "experiments/linear_model/runs.py",
                "liprune_utils/training.py",
                "data/ready.json",
                "package torch",
                "package pytest",
            ],
        ),
        (
            "05_what_accelerates",
            ["experiments/linear_model/runs.py"],
            ["experiments/sine_model/runs.py"],
        ),
        ("06_convex_is_not_enough", ["package torch", "package scikit-learn"], ["data/ready.json"]),
        (
            "09_cifar10",
            [
                "data/ready.json",
                "book/results/09_cifar10/reduced14_curves.csv",
                "liprune_utils/data.py",
            ],
            ["book/results/11_why/dynamics.csv"],
        ),
        (
            "14_verdict",
            ["book/errata.md", "book/claims.yml"],
            ["experiments/stochastic_pruning/runs.py"],
        ),
    ],
)
def test_a_page_is_made_of_what_it_uses(page, uses, does_not_use, tmp_path):
    found = made_of(page, tmp_path)
    assert set(uses) <= set(found)
    assert not set(does_not_use) & set(found)
    assert inputs.ABSENT not in (set(found.values()) - {found.get("data/ready.json")})


@pytest.mark.parametrize("page", PAGES)
def test_recorded_results_that_a_page_names_are_among_its_inputs(page, tmp_path):
    text = "".join(ast.unparse(inputs.page_code(PAGES[page])).split())
    folders = {path.name for path in (PROJECT / "book" / "results").iterdir()}
    named = {name for name in folders if f"'book'/'results'/'{name}'" in text} | {
        name for name in folders if f"recorded/'{name}'" in text or f"book/results/{name}" in text
    }
    read = {
        file.split("/")[2] for file in made_of(page, tmp_path) if file.startswith("book/results")
    }
    assert named <= read


def digest(code: str) -> str:
    return inputs.code_digest(ast.parse(code))


def test_words_do_not_count_and_code_does():
    code = 'def f(x):\n    """One."""\n    return x + 1  # why\n\n\nclass A:\n    """Two."""\n'
    reworded = (
        '"""Three."""\ndef f( x ):\n    """Four."""\n    return x+1\nclass A:\n    """Five"""\n'
    )
    assert digest(code) == digest(reworded)
    assert digest(code) != digest(code.replace("1", "2"))
    assert digest('x = "a"') != digest('x = "b"')


def test_imports_are_followed_by_full_names():
    code = (
        "from liprune_utils import files\nfrom experiments.liprune.runs import stream\nimport a.b"
    )
    found = inputs.imports(ast.parse(code))
    assert found == {
        "liprune_utils",
        "liprune_utils.files",
        "experiments.liprune.runs",
        "experiments.liprune.runs.stream",
        "a.b",
    }
    used = inputs.used_modules(found)
    assert {
        "liprune_utils.files",
        "liprune_utils.checks",
        "experiments.liprune",
        "experiments",
    } < set(used)
    assert not [name for name in used if name.startswith("a")]
    face = inputs.used_modules(inputs.imports(ast.parse("import liprune_utils as lp")))
    assert {"liprune_utils.scores", "liprune_utils.curvature"} < set(face)


def test_another_pages_claim_changes_no_page(monkeypatch, tmp_path):
    entry = {"id": "theorem-1", "page": "01_importance_sampling", "holds": "always"}
    before = {page: made_of(page, tmp_path)["book/claims.yml"] for page in list(PAGES)[:5]}
    monkeypatch.setattr(inputs, "_register", lambda: [*register, entry])
    register = inputs.read_yaml(PROJECT / "book" / "claims.yml", "The register")
    after = {page: made_of(page, tmp_path)["book/claims.yml"] for page in before}
    assert {page for page in before if before[page] != after[page]} == {"01_importance_sampling"}


def test_changes_have_names():
    assert inputs.changes({"a": "1", "b": "1", "c": "1"}, {"b": "2", "c": "1", "d": "1"}) == [
        "d is new",
        "a is gone",
        "b changed",
    ]


def test_a_page_that_was_renamed_leaves_nothing(tmp_path):
    (tmp_path / "notebooks").mkdir()
    executed = '{"metadata": {"liprune": {}}}'
    for page, text in {
        "05_what_accelerates": executed,
        "06_sine_model": executed,
        "mine": "{}",
    }.items():
        (tmp_path / "notebooks" / f"{page}.ipynb").write_text(text)
        (tmp_path / "results" / page).mkdir(parents=True)
    inputs.remove_what_is_no_page(tmp_path)
    for folder in ("notebooks", "results"):  # "mine" is a reader's own
        left = {path.stem for path in (tmp_path / folder).iterdir()}
        assert left == {"05_what_accelerates", "mine"}
    assert [path.stem for path in inputs.executed_pages(tmp_path)] == ["05_what_accelerates"]


def test_each_page_says_why_it_would_run(tmp_path):
    (tmp_path / "notebooks").mkdir()
    page, *others = PAGES.values()
    (tmp_path / "notebooks" / page.name).write_text('{"metadata": {"lipr')  # damaged
    found = inputs.stale_pages(tmp_path, "default")
    assert found[page.stem] == ["its run has not recorded what it used"]
    assert found[others[0].stem] == ["it has not run"]
    assert found[others[-1].stem][0] == f"{page.stem} runs"
    assert re.match(r"\d\d_", page.stem)


def test_what_is_no_python_is_named(tmp_path):
    page = tmp_path / "01_broken.ipynb"
    cells = [{"cell_type": "code", "source": ["%time\n", "x = 1\n", "y = = 2"]}]
    page.write_text(json.dumps({"cells": cells, "metadata": {}}))
    words = r"01_broken\.ipynb has a line that is no Python \(invalid syntax\): y = = 2$"
    with pytest.raises(InputError, match=words):
        inputs.page_code(page)
