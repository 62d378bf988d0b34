"""What a page writes for every reader, and what the book makes of it."""

import json
import re

import jupytext
import nbformat
import pytest

from liprune_utils.book.staging import as_download, as_myst
from liprune_utils.files import PROJECT

PAGES = sorted((PROJECT / "notebooks").glob("*.py"))


@pytest.mark.parametrize(
    ("written", "staged"),
    [
        ("As in [He et al. (2016)](cite:he2016).", "As in {cite:t}`he2016`."),
        ('<a id="a-label"></a>\n## A heading', "(a-label)=\n## A heading"),
        ("$$\nx = 1. \\label{eq-one}\n$$\nWords.", "$$\nx = 1.\n$$ (eq-one)\nWords."),
        ("$$\n\\end{aligned} \\label{eq-two}\n$$", "$$\n\\end{aligned}\n$$ (eq-two)"),
        ("[page 2](proof-lines), $x$, $$\ny\n$$", "[page 2](proof-lines), $x$, $$\ny\n$$"),
    ],
)
def test_citations_anchors_and_labels_become_those_of_myst(written, staged):
    assert as_myst(written) == staged
    assert as_myst(staged) == staged


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_page_has_no_label_that_jupyterlab_would_show(page):
    texts = [cell.source for cell in jupytext.read(page).cells if cell.cell_type == "markdown"]
    shown = re.compile(r"^\([\w-]+\)=$|\$\$ \([\w-]+\)$", re.MULTILINE)
    assert not [found for text in texts for found in shown.findall(text)]


@pytest.mark.parametrize(
    ("injected", "left"),
    [
        ('# Parameters\nresults_dir = "build/results/01_a"\nrecords_dir = "build/results"\n', None),
        ('# Parameters\nseed = 7\nresults_dir = "build/results/01_a"\n', "# Parameters\nseed = 7"),
    ],
)
def test_a_downloaded_page_writes_where_its_reader_says(tmp_path, injected, left):
    new, path = nbformat.v4, tmp_path / "01_a.ipynb"
    cells = [new.new_code_cell('results_dir = "reruns/01_a"', metadata={"tags": ["parameters"]}),
             new.new_code_cell(injected, metadata={"tags": ["injected-parameters"]}),
             new.new_markdown_cell("Words.")]  # fmt: skip
    given = {"parameters": {"results_dir": "build/results/01_a"}}
    nbformat.write(new.new_notebook(cells=cells, metadata={"papermill": given}), path)
    text = as_download(path)
    assert "build/results" not in text
    sources = ["".join(cell["source"]) for cell in json.loads(text)["cells"]]
    assert sources == [cells[0].source, *([left] if left else []), "Words."]
