"""Pages as a reader runs them: their code, and papermill from the command line."""

import subprocess
import sys
from pathlib import Path

import jupytext

from liprune_utils.files import PROJECT

BIN = Path(sys.executable).parent
PAGES = sorted((PROJECT / "notebooks").glob("*.py"))


def code_cells(page: str) -> list[str]:
    """The sources of a page's cells of code; the first holds the parameters."""
    cells = jupytext.read(PROJECT / "notebooks" / f"{page}.py").cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


def rerun(page: str, output: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run a page as the README says."""
    command = [BIN / "papermill", f"notebooks/{page}.ipynb", output, "--no-progress-bar"]
    return subprocess.run(
        [*command, *arguments], cwd=PROJECT, capture_output=True, text=True, check=False
    )
