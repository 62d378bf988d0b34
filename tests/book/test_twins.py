"""A page's notebook follows its text, and no edit of either is lost without a word."""

import os
import re
import subprocess

import nbformat
import pytest

from liprune_utils.book.twins import NOTE, bring_in_step
from liprune_utils.checks import InputError
from liprune_utils.files import PROJECT

TEXT = '# %% [markdown]\n# # A page\n\n# %% tags=["parameters"]\nseed: int = 1\n'


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "01_page.py"
    path.write_text(TEXT)
    (tmp_path / "jupytext.toml").write_bytes((PROJECT / "jupytext.toml").read_bytes())
    bring_in_step(path)
    return path


def read(text):
    return nbformat.read(text.with_suffix(".ipynb"), as_version=4)


# As JupyterLab saves a notebook whose text it does not save.
def edit_notebook(text, old="seed: int = 1", new="seed: int = 2"):
    page = read(text)
    for cell in page.cells:
        cell.source = cell.source.replace(old, new)
    nbformat.write(page, text.with_suffix(".ipynb"))


def test_an_edit_of_the_text_reaches_the_notebook_which_keeps_its_cells(text):
    before = read(text)
    text.write_text(TEXT.replace("= 1", "= 3") + "\n# %%\nprint(seed)\n")
    os.utime(text, (0, 0))  # older than the notebook: times do not count
    bring_in_step(text)
    after = read(text)
    assert [cell.source for cell in after.cells] == ["# A page", "seed: int = 3", "print(seed)"]
    assert after.cells[0].id == before.cells[0].id
    assert after.metadata[NOTE] != before.metadata[NOTE]


@pytest.mark.parametrize("text_too", [False, True])
@pytest.mark.parametrize("newer", [".py", ".ipynb"])
def test_an_edit_of_the_notebook_stops_the_build_and_stays(text, text_too, newer):
    notebook = text.with_suffix(".ipynb")
    edit_notebook(text)
    if text_too:
        text.write_text(TEXT.replace("A page", "The page"))
    os.utime(text, (2e9, 2e9) if newer == ".py" else (0, 0))
    before = text.read_bytes(), notebook.read_bytes()
    words = f"{notebook} was edited and differs from 01_page.py; 01_page{newer} is newer."
    with pytest.raises(InputError, match=re.escape(words)):
        bring_in_step(text)
    assert (text.read_bytes(), notebook.read_bytes()) == before


@pytest.mark.parametrize("choice", ["keep", "drop"])
def test_the_build_goes_on_after_what_the_message_names(text, choice):
    edit_notebook(text)
    with pytest.raises(InputError) as error:
        bring_in_step(text)
    keep, drop = re.search("edit: (.*); to drop it: (.*)$", str(error.value)).groups()
    subprocess.run({"keep": keep, "drop": drop}[choice].split(), cwd=PROJECT, check=True)
    bring_in_step(text)
    assert f"seed: int = {2 if choice == 'keep' else 1}" in text.read_text()
    assert read(text).cells[1].source in text.read_text()
    text.write_text(text.read_text() + "\n# %%\nprint(seed)\n")  # and an edit reaches it again
    bring_in_step(text)
    assert len(read(text).cells) == 3


def test_outputs_and_folded_cells_are_no_edit(text):
    page = read(text)
    page.cells[1].outputs = [nbformat.v4.new_output("stream", text="1")]
    page.cells[1].metadata["collapsed"] = True
    nbformat.write(page, text.with_suffix(".ipynb"))
    text.write_text(TEXT.replace("= 1", "= 3"))
    bring_in_step(text)
    assert read(text).cells[1].source == "seed: int = 3"


def test_a_notebook_is_not_written_again_without_need(text):
    notebook = text.with_suffix(".ipynb")
    os.utime(notebook, (1, 1))
    bring_in_step(text)
    assert notebook.stat().st_mtime == 1


def test_a_damaged_notebook_is_named(text):
    text.with_suffix(".ipynb").write_text("{")
    with pytest.raises(InputError, match=r"01_page\.ipynb is damaged .*: delete it to make it"):
        bring_in_step(text)
