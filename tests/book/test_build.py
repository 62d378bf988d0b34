"""The build's rules, at toy size: what is stale, what a failure and a kill leave behind."""

import time
from pathlib import Path

import pytest
import toy

ALL = {"01_toy", "14_verdict", "render"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    project = toy.make_project(tmp_path_factory.mktemp("book"))
    result = toy.make(project, "book")
    assert result.returncode == 0, result.stdout + result.stderr
    assert toy.ran(result) == ALL
    return project


def touch(path: Path) -> None:
    time.sleep(0.05)  # past the resolution of file times; one to come would outdate the next build
    path.touch()


def test_a_built_book_is_whole(built):
    html = built / "build" / "html"
    assert "A toy" in (html / "book" / "intro.html").read_text()
    assert (html / "notebooks" / "01_toy.html").exists()
    assert (html / "_static" / "vendor" / "mathjax" / "es5" / "tex-mml-chtml.js").exists()


def test_a_second_build_is_quick_and_says_why(built):
    began = time.monotonic()
    result = toy.make(built, "book")
    assert result.returncode == 0
    assert time.monotonic() - began < 10
    assert toy.ran(result) == set()
    assert "[01_toy] skipped: nothing that it depends on is newer" in result.stdout


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("notebooks/14_verdict.py", {"14_verdict", "render"}),
        ("liprune_utils/intervals.py", ALL),
        ("book/intro.md", {"render"}),
    ],
)
def test_what_is_stale_runs_again(built, path, expected):
    touch(built / path)
    assert toy.ran(toy.make(built, "book")) == expected


def test_an_edit_reaches_the_twin_the_page_and_the_verdict(built):
    toy.write_page(built, "14_verdict", extra="\n# %%\nprint('a new line')\n")
    (built / "notebooks" / "14_verdict.ipynb").write_bytes(
        (built / "notebooks" / "01_toy.ipynb").read_bytes()
    )
    touch(built / "notebooks" / "14_verdict.py")
    assert toy.ran(toy.make(built, "book")) == {"14_verdict", "render"}
    assert "a new line" in toy.outputs(built)["14_verdict.ipynb"]


def test_a_parameter_file_of_the_profile_is_used(built):
    (built / "notebooks" / "params").mkdir()
    (built / "notebooks" / "params" / "01_toy.small.yml").write_text("seed: 7\n")
    result = toy.make(built, "PROFILE=small", "build-small/notebooks/01_toy.ipynb")
    assert result.returncode == 0, result.stderr
    table = built / "build-small" / "results" / "01_toy" / "values.csv"
    assert table.read_text().splitlines()[1] == "7"
    page = (built / "build-small" / "notebooks" / "01_toy.ipynb").read_text()
    assert "build-small/results\\n" in page  # a profile judges its own results


def test_an_edit_during_the_run_is_not_lost(built):
    edit = "Path('notebooks/01_toy.ipynb').touch()"  # by the page itself, at its end
    toy.write_page(built, "01_toy", extra=f"\n# %%\n{edit}\n")
    for _ in range(2):
        assert "01_toy" in toy.ran(toy.make(built, "book"))


def test_a_failing_cell_stops_the_build_with_page_and_traceback(built):
    toy.write_page(built, "01_toy", extra="\n# %%\nsides = 0\n1 / sides\n")
    touch(built / "notebooks" / "01_toy.py")
    result = toy.make(built, "book")
    assert result.returncode != 0
    assert "notebooks/01_toy.ipynb: cell" in result.stderr
    assert "ZeroDivisionError" in result.stderr
    assert "1 / sides" in result.stderr
    assert not (built / "build" / "notebooks" / "01_toy.ipynb").exists()
    assert "render" not in toy.ran(result)


@pytest.mark.slow
def test_after_a_kill_at_any_moment_the_next_build_is_right(tmp_path_factory):
    project = toy.make_project(tmp_path_factory.mktemp("killed"))
    toy.write_page(project, "01_toy", seconds=1.0)
    assert toy.make(project, "book").returncode == 0
    expected = toy.outputs(project)
    for seconds in (2.0, 5.0, 9.0):
        touch(project / "notebooks" / "01_toy.py")
        toy.make_and_kill(project, seconds, "book")
        result = toy.make(project, "book")
        assert result.returncode == 0, result.stdout + result.stderr
        assert toy.outputs(project) == expected
        assert (project / "build" / "html" / "index.html").exists()
        assert toy.ran(toy.make(project, "book")) == set()
