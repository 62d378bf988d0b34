"""Pages as a reader runs them: their code, and papermill from the command line."""

import subprocess
import sys
from pathlib import Path

import jupytext

from liprune_utils.files import PROJECT

BIN = Path(sys.executable).parent
PAGES = sorted((PROJECT / "notebooks").glob("*.py"))


CHECK = ".from_notebook(globals())\n"


def parameters_and_check(page: str) -> tuple[str, str]:
    """The source of a page's parameters, and the lines after it that check them."""
    cells = jupytext.read(PROJECT / "notebooks" / f"{page}.py").cells
    (parameters,) = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    (checked,) = [cell.source for cell in cells if CHECK in f"{cell.source}\n"]
    return parameters, f"{checked}\n".partition(CHECK)[0] + CHECK


def rerun(page: str, output: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run a page as the README says."""
    command = [BIN / "papermill", f"notebooks/{page}.ipynb", output, "--no-progress-bar"]
    return subprocess.run(
        [*command, *arguments], cwd=PROJECT, capture_output=True, text=True, check=False
    )
