"""The build's rules, at toy size: what is stale, what a failure and a kill leave behind."""

import os
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import toy
from pypdf import PdfReader

from liprune_utils.book import build

ALL = {"01_toy", "14_verdict", "render"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    project = toy.make_project(tmp_path_factory.mktemp("book"))
    toy.write_page(project, "14_verdict", extra="\n# %%\nimport experiments.liprune.tables\n")
    result = toy.make(project, "book")
    assert result.returncode == 0, result.stdout + result.stderr
    assert toy.ran(result) == ALL
    return project


def status(project: Path) -> dict[str, str]:
    """What `make status` says of each page."""
    said = toy.make(project, "status").stdout.splitlines()
    return dict(line.removeprefix("[").split("] ") for line in said)


def test_a_built_book_is_whole(built):
    html = built / "build" / "html"
    assert "A toy" in (html / "book" / "intro.html").read_text()
    assert (html / "notebooks" / "01_toy.html").exists()
    assert (html / "_static" / "vendor" / "mathjax" / "es5" / "tex-mml-chtml.js").exists()
    assert "exit_status" in (html / "book" / "api" / "module-checks.html").read_text()
    assert "module-checks.html" in (html / "book" / "api.html").read_text()


def test_a_second_build_runs_nothing_whatever_the_times_of_its_files(built):
    draw = random.Random(0)
    for path in built.rglob("*"):
        if path.is_file() and not {"node_modules", "stage"} & {*path.parts}:
            os.utime(path, (1e9 + draw.random(),) * 2)
    result = toy.make(built, "book")
    assert result.returncode == 0
    assert toy.ran(result) == set()
    assert "[01_toy] skipped: nothing has changed since its run" in result.stderr


def test_a_sentence_is_written_without_the_other_pages(built):
    page = built / "build" / "stage" / "_build" / "html" / "notebooks" / "01_toy.html"
    before = page.stat().st_mtime
    with (built / "book" / "rerun.md").open("a") as file:
        file.write("\nA new sentence.\n")
    result = toy.make(built, "book")
    assert toy.ran(result) == {"render"}
    assert "[render] writing book/rerun.md" in result.stdout
    assert "A new sentence." in (built / "build" / "html" / "book" / "rerun.html").read_text()
    assert page.stat().st_mtime == before


def test_a_clock_that_was_set_back_hides_no_edit(built):
    complete = built / "build" / "stage" / "_build" / "complete"
    os.utime(complete, (time.time() + 3600,) * 2)
    with (built / "book" / "rerun.md").open("a") as file:
        file.write("\nA sentence of an hour ago.\n")
    assert "[render] writing the pages" in toy.make(built, "book").stdout
    page = built / "build" / "html" / "book" / "rerun.html"
    assert "A sentence of an hour ago." in page.read_text()


def test_a_fault_in_a_sentence_is_found_again_and_the_book_stays(built):
    path = built / "book" / "rerun.md"
    text = path.read_text()
    path.write_text(text + "\n{ref}`nowhere`\n")
    for _ in range(2):
        result = toy.make(built, "book")
        assert result.returncode != 0
        assert "nowhere" in result.stderr
        assert "A new sentence." in (built / "build" / "html" / "book" / "rerun.html").read_text()
    path.write_text(text)


def test_a_rendering_that_is_stopped_while_it_stages_is_begun_anew(tmp_path, monkeypatch):
    complete = tmp_path / "stage" / "_build" / "complete"
    complete.parent.mkdir(parents=True)
    complete.touch()
    (tmp_path / "html").mkdir()

    def stop(folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "executed_pages", lambda folder: [folder])
    monkeypatch.setattr(build, "stage", stop)
    with pytest.raises(KeyboardInterrupt):
        build.render(tmp_path)
    assert not complete.exists()  # what it has staged already would not look changed next time


def test_an_edit_reaches_what_uses_it_alone(built):
    for room, text in {"linear_model": "NEW = 1", "liprune": "# A comment."}.items():
        with (built / "experiments" / room / "runs.py").open("a") as file:
            file.write(f"\n{text}\n")  # neither page uses the first
    assert set(status(built).values()) == {"up to date"}
    with (built / "experiments" / "liprune" / "runs.py").open("a") as file:
        file.write("\nNEW = 1\n")
    why = "would run: experiments/liprune/runs.py changed"
    assert status(built) == {"01_toy": "up to date", "14_verdict": why}
    assert toy.ran(toy.make(built, "build/notebooks/14_verdict.ipynb")) == {"14_verdict"}


def test_a_table_that_was_overwritten_is_made_again(built):
    table = built / "build" / "results" / "01_toy" / "values.csv"
    expected = table.read_text()
    table.write_text("seed\n9\n")
    assert status(built) == {
        "01_toy": "would run: its result values.csv changed",
        "14_verdict": "would run: 01_toy runs",
    }
    assert toy.ran(toy.make(built, "build/notebooks/01_toy.ipynb")) == {"01_toy"}
    assert table.read_text() == expected
    assert status(built) == {
        "01_toy": "up to date", "14_verdict": "would run: the run of 01_toy changed",
    }  # fmt: skip


def test_an_edit_reaches_the_twin_the_page_and_the_verdict(built):
    toy.write_page(built, "14_verdict", extra="\n# %%\nprint('a new line')\n")
    os.utime(built / "notebooks" / "14_verdict.py", (0, 0))  # no time counts
    assert toy.ran(toy.make(built, "build/notebooks/14_verdict.ipynb")) == {"14_verdict"}
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
    edit = """
# %%
page = Path("notebooks/01_toy.py")
page.write_text(page.read_text().replace("# 01_toy", "# 01_toy!", 1))
"""  # by the page itself, at its end
    toy.write_page(built, "01_toy", extra=edit)
    for _ in range(2):
        assert toy.ran(toy.make(built, "build/notebooks/01_toy.ipynb")) == {"01_toy"}


def test_a_failing_cell_stops_the_build_with_page_and_traceback(built):
    toy.write_page(built, "01_toy", extra="\n# %%\nsides = 0\n1 / sides\n")
    result = toy.make(built, "book")
    assert result.returncode != 0
    assert "notebooks/01_toy.ipynb: cell" in result.stderr
    assert "ZeroDivisionError" in result.stderr
    assert "1 / sides" in result.stderr
    assert not (built / "build" / "notebooks" / "01_toy.ipynb").exists()
    assert "render" not in toy.ran(result)


def test_one_page_is_run_and_shown_alone(built):
    toy.write_page(built, "01_toy", extra="\n# %%\nprint('seen alone')\n")
    result = toy.make(built, "page", "PAGE=1")
    assert toy.ran(result) == {"01_toy"}
    shown = built / "build" / "view" / "01_toy" / "_build" / "html" / "page.html"
    assert f"[view] open {shown.relative_to(built)}" in result.stdout
    assert "seen alone" in shown.read_text()
    assert "seen alone" not in (built / "build/html/notebooks/01_toy.html").read_text()


def test_a_rerun_is_shown_as_the_book_would(built, tmp_path):
    new, path, results = toy.nbformat.v4, tmp_path / "out.ipynb", tmp_path / "it's mine"
    how = new.new_output("display_data", {"text/html": '<a href="../book/rerun.html#own">how</a>'})
    cells = [
        new.new_markdown_cell("# A rerun\nAs in [Ayed and Hayou (2022)](cite:ayed2022)."),
        new.new_markdown_cell("[`all`](14_verdict.ipynb#end), [own](../results/01_toy/a.csv)."),
        new.new_markdown_cell(
            "[there](there), [here](here), [nowhere](nowhere).\n\n(here)=\n# Here"
        ),
        new.new_code_cell('results_dir: str = "reruns/01_toy"  # of the book'),
        new.new_code_cell(f"results_dir = {str(results)!r}", execution_count=1, outputs=[how]),
    ]
    toy.nbformat.write(new.new_notebook(cells=cells), path)
    results.mkdir()
    (results / "a.csv").touch()
    with (built / "notebooks" / "14_verdict.py").open("a") as file:
        file.write('\n# %% [markdown]\n# <a id="there"></a>\n')
    result = toy.make(built, "view", f"NOTEBOOK={path}")
    assert result.returncode == 0, result.stderr
    shown = (built / "build" / "view" / "out" / "_build" / "html" / "page.html").read_text()
    assert "The curse of (non)convexity" in shown
    book = (built / "build" / "html").as_uri()
    assert f'<a href="{book}/notebooks/14_verdict.html#end">' in shown
    assert f'<a href="{book}/book/rerun.html#own">how</a>' in shown
    assert f'<a href="{book}/notebooks/14_verdict.html#there">there</a>' in shown
    assert 'href="#here"' in shown
    assert f'<a href="{(results / "a.csv").as_uri()}">own</a>' in shown
    result = toy.make(built, "view", "NOTEBOOK=notebooks/01_toy.ipynb")
    assert "01_toy.ipynb, not executed'; expected an executed one" in result.stderr


@pytest.mark.browser
@pytest.mark.skipif(not shutil.which("chromium"), reason="Chromium is missing: run `make browser`")
def test_the_book_is_one_pdf_with_bookmarks(built):
    result = toy.make(built, "pdf")
    assert result.returncode == 0, result.stderr
    reader = PdfReader(built / "build" / "book.pdf")
    titles = [entry.title for entry in reader.outline if not isinstance(entry, list)]
    assert titles[:4] == ["A toy", "01_toy", "14_verdict", "Rerun a page"]
    links = [link.get_object() for sheet in reader.pages for link in sheet.get("/Annots", [])]
    assert any("/Dest" in link for link in links)
    assert not [link for link in links if "file:" in str(link.get("/A"))]
    assert str(built).encode() not in (built / "build" / "book.pdf").read_bytes()


def test_two_builds_at_once_run_each_page_once(built):
    toy.write_page(built, "01_toy", seconds=2.0)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: toy.make(built, "book"), range(2)))
    assert [result.returncode for result in results] == [0, 0], results
    ran = [name for result in results for name in toy.ran(result) - {"render"}]
    assert sorted(ran) == ["01_toy", "14_verdict"]
    assert status(built) == {"01_toy": "up to date", "14_verdict": "up to date"}


def test_a_damaged_package_of_javascript_is_one_sentence(built, tmp_path):
    link = built / "node_modules"
    original = link.readlink()
    link.unlink()
    link.mkdir()
    (link / "ready").touch()
    with (built / "book" / "rerun.md").open("a") as file:
        file.write("\nAnother sentence.\n")
    try:
        result = toy.make(built, "book")
        assert f"error: {link} is damaged; delete it, and run the command again." in result.stderr
        assert (built / "build" / "html" / "index.html").exists()
    finally:
        shutil.rmtree(link)
        link.symlink_to(original)


@pytest.mark.slow
def test_after_a_kill_at_any_moment_the_next_build_is_right(tmp_path_factory):
    project = toy.make_project(tmp_path_factory.mktemp("killed"))
    toy.write_page(project, "01_toy", seconds=1.0)
    assert toy.make(project, "book").returncode == 0
    expected = toy.outputs(project)
    for seconds in np.random.default_rng(0).uniform(0.5, 10, size=20).round(1):
        toy.write_page(project, "01_toy", seconds=1.0 + seconds / 1000)
        toy.make_and_kill(project, seconds, "book")
        result = toy.make(project, "book")
        assert result.returncode == 0, result.stdout + result.stderr
        assert toy.outputs(project) == expected
        assert (project / "build" / "html" / "index.html").exists()
        assert toy.ran(toy.make(project, "book")) == set()
