"""What the book's build needs beyond papermill and jupyter-book.

Make asks which pages are ``stale``, calls ``execute`` for each, then ``render``; ``status`` tells
a person what it would do. All are commands of ``python -m liprune_utils.book``.
"""

import os
import re
import resource
import shutil
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from fnmatch import fnmatch
from pathlib import Path

import nbformat
from filelock import FileLock, Timeout
from papermill import execute_notebook, inspect_notebook
from papermill.exceptions import PapermillExecutionError

from liprune_utils.book.inputs import (
    executed_pages,
    metadata,
    page_inputs,
    pages,
    reasons_to_run,
    remove_former_pages,
    results,
    stale_pages,
)
from liprune_utils.book.staging import stage, stage_alone
from liprune_utils.book.twins import bring_in_step, twins
from liprune_utils.checks import InputError, require
from liprune_utils.files import (
    PROJECT,
    provenance,
    read_provenance,
    read_yaml,
    writable_folder,
    write_atomically,
)

ANSI = re.compile(r"\x1b\[[0-9;]*m")
FOLDED = {"remove-input", "hide-input", "hide-cell"}
QUIET = {
    "TQDM_DISABLE": "1",  # progress bars are for people at a terminal
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # pages run side by side: a waiting thread gives its core away
}


class PageError(RuntimeError):
    """A page that could not be executed, or a book that could not be rendered."""


def stale(build: Path, profile: str) -> None:
    """Print the names of the pages that would run, and tell people which would not."""
    twins()
    names = stale_pages(build, profile)
    print(*names)
    for path in executed_pages(build):
        if path.stem not in names:
            began = metadata(path)["papermill"]["start_time"][:16].replace("T", " ")
            skipped = f"skipped: nothing has changed since its run of {began} UTC"
            print(f"[{path.stem}] {skipped}", file=sys.stderr)


def status(build: Path, profile: str) -> None:
    """Print for each page whether it would run, and why."""
    twins()
    stale = stale_pages(build, profile)
    for page in pages():
        first, *more = stale.get(page.stem, ["up to date"])
        others = f", and {len(more)} more" if more else ""
        _report(page.stem, f"would run: {first}{others}" if page.stem in stale else first)


def execute(notebook: Path, build: Path, parameters: Path | None) -> None:
    """Execute a page in a kernel of its own, unless it is up to date."""
    if (text := notebook.with_suffix(".py")).is_file():
        bring_in_step(text)
    is_page = notebook.suffix == ".ipynb" and notebook.is_file()
    require(is_page, "notebook", str(notebook), "a page such as notebooks/04_linear_model.ipynb")
    _read_parameters(parameters)  # refused, if at all, before anything is deleted
    writable_folder(build.absolute(), "--build")
    page, executed = notebook.stem, build / "notebooks" / notebook.name
    remove_former_pages(build)
    with _exclusive(build / "notebooks" / f".{page}.lock"):
        if not reasons_to_run(notebook, build, parameters):  # another process may have run it
            return _report(page, "nothing that it is made of has changed since its run")
        # The executed page goes first and comes last: a killed build leaves none that looks done.
        executed.unlink(missing_ok=True)
        shutil.rmtree(build / "results" / page, ignore_errors=True)
        _report(page, f"running{f' with {parameters}' if parameters else ''}")
        began = time.monotonic()
        write_atomically(executed, lambda partial: _run(notebook, partial, build, parameters))
        _report(page, f"done in {time.monotonic() - began:.0f} s")


def render(build: Path) -> None:
    """Render the book with warnings as errors, and replace the old one when that succeeds."""
    require(
        bool(executed_pages(build)), "--build", str(build),
        "a folder with executed pages in notebooks/",
    )  # fmt: skip
    remove_former_pages(build)
    with _exclusive(build / ".render.lock"):
        html, complete = build / "html", build / "stage" / "_build" / "complete"
        was_complete = html.exists() and _is_past(complete)
        complete.unlink(missing_ok=True)  # a rendering that is killed from here on begins anew
        changed = stage(build)
        if changed or not was_complete:
            partial = was_complete and all(map(_is_prose, changed))
            _report("render", f"writing {', '.join(sorted(changed)) if partial else 'the pages'}")
            began = time.monotonic()
            if not partial:
                shutil.rmtree(complete.parent, ignore_errors=True)
            _run_jupyter_book(build / "stage")
            _replace(html, build / "stage" / "_build" / "html")
            _report("render", f"done in {time.monotonic() - began:.0f} s")
        complete.touch()
        _report("book", f"open {html / 'index.html'}")


def page(name: str, build: Path, profile: str) -> None:
    """Execute one page, by its number or name, unless it is up to date, and render it alone."""
    twins()
    found = [path for path in pages() if name.zfill(2) in (path.stem, path.stem.split("_")[0])]
    known = ", ".join(path.stem for path in pages())
    require(len(found) == 1, "PAGE", name, f"the number or the name of a page: {known}")
    parameters = PROJECT / "notebooks" / "params" / f"{found[0].stem}.{profile}.yml"
    execute(found[0], build, parameters if parameters.exists() else None)
    view(build / "notebooks" / found[0].name, build)


def view(notebook: Path, build: Path) -> None:
    """Render one executed notebook as the book would, with links to the pages of the built book."""
    is_notebook = notebook.suffix == ".ipynb" and notebook.is_file()
    require(is_notebook, "NOTEBOOK", str(notebook), "an executed notebook, such as out.ipynb")
    try:
        cells = nbformat.read(notebook, as_version=4).cells
    except (ValueError, AttributeError, nbformat.ValidationError):
        raise InputError(f"{notebook} is no notebook; expected an executed one.") from None
    executed = any(cell.get("execution_count") for cell in cells)
    require(executed, "NOTEBOOK", f"{notebook}, not executed", "an executed one, such as out.ipynb")
    folder = build / "view" / notebook.stem
    with _exclusive(folder / ".lock"):
        stage_alone(notebook, folder, build)
        shutil.rmtree(folder / "_build", ignore_errors=True)
        _run_jupyter_book(folder, strict=False)
    _report("view", f"open {folder / '_build' / 'html' / 'page.html'}")


def _report(page: str, text: str) -> None:
    print(f"[{page}] {text}", flush=True)


def _exclusive(path: Path) -> AbstractContextManager:
    """Hold a lock, which the children of a killed build may still have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        _report(path.stem.strip("."), "waiting for another process")
        return lock.acquire()


def _read_parameters(path: Path | None) -> dict[str, object]:
    given = read_yaml(path, "The file of parameters") if path else {}
    require(isinstance(given, dict), str(path), given, "a mapping of parameters to values")
    return given


def _run(notebook: Path, output: Path, build: Path, parameters: Path | None) -> None:
    """Run a notebook and add to its metadata what it was made of and what running it took."""
    os.environ.update(QUIET)
    inputs = page_inputs(notebook, build, parameters)  # before: an edit meanwhile comes later
    records = build / "results"
    folders = {"results_dir": str(records / notebook.stem), "records_dir": str(records)}
    known = inspect_notebook(str(notebook))
    given = _read_parameters(parameters)
    given |= {name: folder for name, folder in folders.items() if name in known}
    options = {"progress_bar": False, "cwd": PROJECT, "extra_arguments": ["--log-level=CRITICAL"]}
    try:
        execute_notebook(notebook, output, given, **options)
    except PapermillExecutionError as error:
        raise PageError(_describe(error, notebook)) from None
    executed = nbformat.read(output, as_version=4)
    for cell in executed.cells:
        if FOLDED & set(cell.metadata.get("tags", [])):
            cell.metadata["jupyter"] = {"source_hidden": True}  # in JupyterLab, as in the book
    executed.metadata["liprune"] = provenance(
        parameters=str(parameters or "defaults"),
        peak_memory_mib=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        data_source=read_provenance(records, notebook.stem).get("data_source"),
        inputs=inputs | results(build, notebook.stem),
    )
    nbformat.write(executed, output)


def _describe(error: PapermillExecutionError, notebook: Path) -> str:
    if error.ename == InputError.__name__:
        return f"{notebook}: {error.evalue}"
    trace = ANSI.sub("", "\n".join(error.traceback))
    return f"{notebook}: cell {error.exec_count} failed.\n{trace}"


def _is_past(path: Path) -> bool:
    """Tell whether a file is there, from before now: Sphinx overlooks edits of an earlier time."""
    return path.exists() and path.stat().st_mtime <= time.time()


def _is_prose(name: str) -> bool:
    """Tell whether a staged file is shown on its own page alone."""
    return fnmatch(name, "book/[!_]*.md")


def _run_jupyter_book(folder: Path, *, strict: bool = True) -> None:
    command = [Path(sys.executable).with_name("jupyter-book"), "build", folder]
    command += ["-W", "-n", "--keep-going"] if strict else []
    command += ["-q", "--path-output", folder]
    result = subprocess.run(command, cwd=PROJECT, check=False, capture_output=True, text=True)
    if result.returncode:
        output = ANSI.sub("", result.stdout + result.stderr)
        raise PageError(f"jupyter-book failed; the book was not replaced.\n{output}")


def _replace(html: Path, rendered: Path) -> None:
    """Copy a rendered book completely, then let it take the old one's place."""
    copy = html.with_name(".html.partial")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(rendered, copy)
    shutil.rmtree(html, ignore_errors=True)
    copy.replace(html)
