"""A book of two small pages, built by the real Makefile, to try the build's rules at toy size."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat

PROJECT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
# Older than what is installed from them: an install would write through the link to node_modules.
INSTALLED = "requirements.txt", "pyproject.toml", "package.json", "package-lock.json"
HEADER = """# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

"""
PAGE = """
seed: int = 1  # shown on the page
results_dir: str = "reruns/{name}"  # folder for the tables
records_dir: str = "build/results"  # folder with one folder of results for each page
===
print(records_dir)
import json, time
from pathlib import Path
folder = Path(results_dir)
folder.mkdir(parents=True, exist_ok=True)
time.sleep({seconds})
(folder / "claims.json").write_text("[]")
(folder / "values.csv").write_text("seed\\n" + "\\n".join([str(seed)] * 1000))
"""
INTRO = """# A toy
{{doc}}`../notebooks/{first}` and {{doc}}`../notebooks/14_verdict`, in {{cite:t}}`ayed2022`.

```{{bibliography}}
```
"""
API = """# The library

```{eval-rst}
.. autosummary::

   ~liprune_utils.checks
```
"""


def write_page(project: Path, name: str, *, seconds: float = 0.0, extra: str = "") -> None:
    """Write a page's text, of which the build makes its twin."""
    first, rest = PAGE.format(name=name, seconds=seconds).strip().split("\n===\n")
    cells = f"# # {name}", f'# %% tags=["parameters"]\n{first}', f"# %%\n{rest}\n{extra}"
    text = HEADER + "# %% [markdown]\n" + "\n\n".join(cells)
    (project / "notebooks" / f"{name}.py").write_text(text)


def make_project(folder: Path, pages: tuple[str, ...] = ("01_toy", "14_verdict")) -> Path:
    """Lay out a book with the project's own Makefile and library."""
    for name in ("Makefile", "jupytext.toml", "package.json", "package-lock.json", "_config.yml"):
        shutil.copy2(PROJECT / name, folder)
    for name in ("liprune_utils", "experiments"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.txt", "pyproject.toml"):
        (folder / name).touch()
    (folder / "node_modules").symlink_to(PROJECT / "node_modules")
    (folder / "notebooks").mkdir()
    for name in pages:
        write_page(folder, name)
    shutil.copytree(PROJECT / "book" / "_static", folder / "book" / "_static")
    for name in ("claims.yml", "columns.yml", "references.bib"):
        shutil.copy(PROJECT / "book" / name, folder / "book")
    (folder / "book" / "intro.md").write_text(INTRO.format(first=pages[0]))
    (folder / "book" / "rerun.md").write_text("# Rerun a page\n")  # which every page leads to
    (folder / "book" / "api.md").write_text(API)
    files = [f"notebooks/{name}" for name in pages] + ["book/rerun", "book/api"]
    chapters = "\n".join(f"  - file: {name}" for name in files)
    toc = f"format: jb-book\nroot: book/intro\nchapters:\n{chapters}\n"
    (folder / "_toc.yml").write_text(toc)
    long_ago = time.time() - 3600
    for path in folder.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (long_ago, long_ago))
    for name in INSTALLED:
        os.utime(folder / name, (0, 0))
    return folder


def environment() -> dict[str, str]:
    """The environment of a build on digits: no network, no jobs of the make that runs the tests."""
    hidden = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "REQUIRE_CIFAR10")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return kept | {"https_proxy": "http://127.0.0.1:9"}  # where nobody answers


def make(project: Path, *targets: str) -> subprocess.CompletedProcess:
    """Run make to its end."""
    command = ["make", f"VENV={BIN.parent}", *targets]
    return subprocess.run(
        command, cwd=project, env=environment(), capture_output=True, text=True, check=False
    )


def make_and_kill(project: Path, seconds: float, *targets: str) -> None:
    """Run make and kill it and all its children without warning."""
    command = ["make", f"VENV={BIN.parent}", *targets]
    process = subprocess.Popen(
        command,
        cwd=project,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def ran(result: subprocess.CompletedProcess) -> set[str]:
    """Names of the pages that a build executed, and "render" if it rendered."""
    lines = [line.split("] ") for line in result.stdout.splitlines() if line.startswith("[")]
    return {page[1:] for page, words in lines if words.startswith("done")}


def outputs(project: Path) -> dict[str, str]:
    """What a finished build holds: the pages' outputs and tables."""
    pages = sorted((project / "build" / "notebooks").glob("[!.]*.ipynb"))
    cells = {
        page.name: str([cell.get("outputs") for cell in nbformat.read(page, 4).cells])
        for page in pages
    }
    tables = sorted((project / "build" / "results").rglob("*.csv"))
    return cells | {str(table.relative_to(project)): table.read_text() for table in tables}
