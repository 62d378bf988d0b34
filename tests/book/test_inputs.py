"""What a page is made of: found by following imports, compared by content."""

import ast
import json

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
                "experiments/importance_sampling/runs.py", "liprune_utils/sgd.py", "Python",
                "liprune_utils/book/liprune.mplstyle", "book/claims.yml", "package numpy",
            ],
            [
                "experiments/linear_model/runs.py", "liprune_utils/training.py", "package torch",
                "data/ready.json", "package pytest",
            ],
        ),
        (
            "05_what_accelerates",
            ["experiments/linear_model/runs.py"],
            ["experiments/sine_model/runs.py"],
        ),
        (
            "06_convex_is_not_enough",
            ["package torch", "package scikit-learn", "data/ready.json"],
            ["book/results/09_cifar10/reduced14_curves.csv"],
        ),
        (
            "09_cifar10",
            [
                "data/ready.json", "book/results/09_cifar10/reduced14_curves.csv",
                "liprune_utils/data.py",
            ],
            ["book/results/11_why/dynamics.csv"],
        ),
        (
            "14_verdict",
            ["book/errata.md", "book/claims.yml", "experiments/verdict/claims.html"],
            ["experiments/stochastic_pruning/runs.py"],
        ),
    ],
)  # fmt: skip
def test_a_page_is_made_of_what_it_uses(page, uses, does_not_use, tmp_path):
    found = made_of(page, tmp_path)
    assert set(uses) <= set(found)
    assert not set(does_not_use) & set(found)
    assert inputs.ABSENT not in (set(found.values()) - {found.get("data/ready.json")})


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_made_of_the_records_that_it_names_and_of_its_claims(page, tmp_path):
    code = "".join(ast.unparse(inputs._page_code(PAGES[page])).split())
    folders = {path.name for path in (PROJECT / "book" / "results").iterdir()}
    named = {
        name for name in folders
        if any(f"{before}{name}" in code for before in ("'results'/'", "recorded/'", "results/"))
    }  # fmt: skip
    found = made_of(page, tmp_path)
    assert named <= {file.split("/")[2] for file in found if file.startswith("book/results")}
    # Page 14 runs after each page that runs, and so after a change in the name of a function.
    claims = PROJECT / "experiments" / page[3:] / "claims.py"
    assert not claims.exists() or claims.relative_to(PROJECT).as_posix() in found


def test_words_do_not_count_and_code_does():
    def digest(code: str) -> str:
        return inputs._code_digest(ast.parse(code))

    code = 'def f(x):\n    """One."""\n    return x + 1  # why\n\n\nclass A:\n    """Two."""\n'
    reworded = (
        '"""Three."""\ndef f( x ):\n    """Four."""\n    return x+1\nclass A:\n    """Five"""\n'
    )
    assert digest(code) == digest(reworded)
    assert digest(code) != digest(code.replace("1", "2"))
    assert digest('x = "a"') != digest('x = "b"')


def test_imports_are_followed_by_full_names():
    def used(code: str) -> set[str]:
        return set(inputs._used_modules(inputs.imports(ast.parse(code))))

    found = used("from liprune_utils import files\nfrom experiments.liprune.runs import stream")
    assert {"liprune_utils.files", "liprune_utils.checks", "experiments.liprune.runs"} < found
    assert {"experiments.liprune", "experiments"} < found
    assert used("import numpy.linalg") == set()
    assert {"liprune_utils.scores", "liprune_utils.curvature"} < used("import liprune_utils as lp")


def test_another_pages_claim_changes_no_page(monkeypatch, tmp_path):
    before = {page: made_of(page, tmp_path)["book/claims.yml"] for page in list(PAGES)[:5]}
    entry = {"id": "new", "page": "01_importance_sampling", "holds": "always"}
    register = inputs.load_register() | {"new": entry}
    monkeypatch.setattr(inputs, "load_register", lambda: register)
    after = {page: made_of(page, tmp_path)["book/claims.yml"] for page in before}
    assert {page for page in before if before[page] != after[page]} == {"01_importance_sampling"}


def test_changes_have_names():
    before, now = {"a": "1", "b": "1", "c": "1"}, {"b": "2", "c": "1", "d": "1"}
    assert inputs.changes(before, now) == ["d is new", "a is gone", "b changed"]


def test_a_page_that_was_renamed_leaves_nothing(tmp_path):
    (tmp_path / "notebooks").mkdir()
    executed = '{"metadata": {"liprune": {}}}'
    texts = {"05_what_accelerates": executed, "06_sine_model": executed, "mine": "{}"}
    for page, text in texts.items():
        (tmp_path / "notebooks" / f"{page}.ipynb").write_text(text)
        (tmp_path / "results" / page).mkdir(parents=True)
    inputs.remove_former_pages(tmp_path)
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


def test_what_is_no_python_is_named(tmp_path):
    page = tmp_path / "01_broken.ipynb"
    cells = [{"cell_type": "code", "source": ["%time\n", "x = 1\n", "y = = 2"]}]
    page.write_text(json.dumps({"cells": cells, "metadata": {}}))
    words = r"01_broken\.ipynb has a line that is no Python \(invalid syntax\): y = = 2$"
    with pytest.raises(InputError, match=words):
        inputs._page_code(page)
