"""The first screen of a page, filled in by its last cell."""

import nbformat
import papermill
import pytest

CELLS = [
    'from liprune_utils.book import first_screen, style\nfirst_screen.reserve("answer")',
    'first_screen.reserve("figure")',
    "import matplotlib.pyplot as plt\nstyle.use_style()\nfigure, axes = plt.subplots()",
    'first_screen.fill("It is **so**.", figure)',
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What each cell shows once all have run, and once the last has not."""
    folder = tmp_path_factory.mktemp("page")
    shown = []
    for cells in (CELLS, CELLS[:2]):
        notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
        notebook.metadata["kernelspec"] = {
            "name": "liprune",
            "display_name": "",
            "language": "python",
        }
        nbformat.write(notebook, folder / "in.ipynb")
        page = papermill.execute_notebook(folder / "in.ipynb", None, progress_bar=False)
        shown.append([[output.get("data") for output in cell.outputs] for cell in page.cells])
    return shown


def test_the_last_cell_fills_in_the_first_two(outputs):
    (answer,), (figure,), *_, last = outputs[0]
    assert answer["text/markdown"] == "It is **so**."
    assert figure["image/svg+xml"].startswith("<?xml")
    assert "text/markdown" not in figure
    assert last == []


def test_until_then_they_say_what_is_to_come(outputs):
    (answer,), (figure,) = outputs[1]
    assert answer["text/markdown"] == "*The answer appears here when all cells have run.*"
    assert figure["text/markdown"] == "*The figure appears here when all cells have run.*"
