"""Twins: a page's text, ``NN_name.py``, and the notebook that is made of it, ``NN_name.ipynb``.

A notebook notes the hash of its cells as they were made. One that differs from its text is made
again if nobody has edited it since; otherwise a person decides which of the two to keep.
"""

import json
from pathlib import Path

import jupytext
from jupytext.combine import combine_inputs_with_outputs
from nbformat import NotebookNode

from liprune_utils.book.inputs import digest
from liprune_utils.checks import InputError
from liprune_utils.files import PROJECT, write_atomically

NOTE = "made_of"
TAGS = ("tags", "mystnb")


def twins() -> None:
    """Bring every page's notebook in step with its text."""
    for text in sorted((PROJECT / "notebooks").glob("[!.]*.py")):
        bring_in_step(text)


def bring_in_step(text: Path) -> None:
    """Make a page's notebook of its text, unless they agree; refuse if both may have edits."""
    notebook, wanted = text.with_suffix(".ipynb"), jupytext.read(text)
    if notebook.exists():
        found = _read(notebook)
        agree, unedited = _hash(found) == _hash(wanted), _hash(found) == found.metadata.get(NOTE)
        if agree and unedited:
            return
        if not agree and not unedited:
            raise InputError(_choice(text, notebook))
        wanted = combine_inputs_with_outputs(wanted, found, fmt="ipynb")  # keeps the cells' ids
    wanted.metadata[NOTE] = _hash(wanted)
    write_atomically(notebook, lambda partial: jupytext.write(wanted, partial))


def _read(notebook: Path) -> NotebookNode:
    try:
        return jupytext.read(notebook)
    except Exception as error:  # nbformat raises many kinds
        reason = f"{type(error).__name__}; expected a notebook"
        raise InputError(f"{notebook} is damaged ({reason}): delete it to make it anew.") from None


def _choice(text: Path, notebook: Path) -> str:
    newer = max(text, notebook, key=lambda path: path.stat().st_mtime)
    return (
        f"{notebook} was edited and differs from {text.name}; {newer.name} is newer. To keep the "
        f"notebook's edit: .venv/bin/jupytext --to py:percent {notebook}; to drop it: rm {notebook}"
    )


def _hash(page: NotebookNode) -> str:
    cells = [
        (cell.cell_type, cell.source, {tag: cell.metadata.get(tag) for tag in TAGS})
        for cell in page.cells
    ]
    return digest(json.dumps(cells, sort_keys=True))
