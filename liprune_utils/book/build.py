"""What the book's build needs beyond papermill and jupyter-book.

Make asks which pages are ``stale``, calls ``execute`` for each, then ``render``; ``status`` tells
a person what it would do. All are commands of ``python -m liprune_utils.book``.
"""

import argparse
import fcntl
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat

from liprune_utils.book.inputs import (
    executed_pages,
    page_inputs,
    pages,
    remove_what_is_no_page,
    results,
    stale_pages,
    why_stale,
)
from liprune_utils.book.staging import metadata, stage
from liprune_utils.checks import InputError, exit_status, require
from liprune_utils.files import (
    PROJECT,
    provenance,
    read_provenance,
    read_yaml,
    results_folder,
    write_atomically,
)

if TYPE_CHECKING:
    from papermill.exceptions import PapermillExecutionError

ANSI = re.compile(r"\x1b\[[0-9;]*m")
QUIET = {
    "TQDM_DISABLE": "1",  # progress bars are for people at a terminal
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # pages run side by side: a waiting thread gives its core away
}
KERNEL = ["--log-level=CRITICAL"]


class PageError(RuntimeError):
    """A page that could not be executed, or a book that could not be rendered."""


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Let one process at a time through, even after a build was killed and its children were not.

    Args:
        lock: File that stands for the work; its folder is made.

    Yields:
        Nothing.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(lock.stem.strip("."), "waiting for another process that is still at it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def say(page: str, words: str) -> None:
    """Tell the person at the terminal what happens.

    Args:
        page: What it is about.
        words: What happens.
    """
    print(f"[{page}] {words}", flush=True)


def execute(notebook: Path, build: Path, parameters: Path | None) -> None:
    """Execute a page in a kernel of its own.

    The finished page goes first and comes last, so that a killed build leaves nothing that looks
    done. A page that is not stale, as another process may have run it just now, stays.

    Args:
        notebook: The page.
        build: Folder of the build.
        parameters: YAML file of parameters, or None for the page's own.

    Raises:
        PageError: If a cell fails; the message names the page and holds the traceback.
    """
    is_page = notebook.suffix == ".ipynb" and notebook.is_file()
    require(is_page, "notebook", str(notebook), "a page such as notebooks/04_linear_model.ipynb")
    read_parameters(parameters)  # refused, if at all, before anything is deleted
    results_folder(build.absolute(), "--build")
    page, done = notebook.stem, build / "notebooks" / notebook.name
    remove_what_is_no_page(build)
    with only_one(build / "notebooks" / f".{page}.lock"):
        if not why_stale(notebook, build, parameters):
            return say(page, "nothing that it is made of has changed since its run")
        done.unlink(missing_ok=True)
        shutil.rmtree(build / "results" / page, ignore_errors=True)
        say(page, f"running{f' with {parameters}' if parameters else ''}")
        began = time.monotonic()
        write_atomically(done, lambda partial: run_notebook(notebook, partial, build, parameters))
        say(page, f"done in {time.monotonic() - began:.0f} s")


def read_parameters(path: Path | None) -> dict[str, object]:
    """Read a file of parameters.

    Args:
        path: The YAML file, or None.

    Returns:
        The values by name; none without a file.
    """
    given = read_yaml(path, "The file of parameters") if path else {}
    require(isinstance(given, dict), str(path), given, "a mapping of parameters to values")
    return given


def run_notebook(notebook: Path, output: Path, build: Path, parameters: Path | None) -> None:
    """Run a notebook with papermill and add to its metadata what it was made of and came to.

    Args:
        notebook: The page.
        output: Where the executed page goes.
        build: Folder of the build, for its tables.
        parameters: YAML file of parameters, or None.

    Raises:
        PageError: If a cell fails.
    """
    from papermill import execute_notebook, inspect_notebook
    from papermill.exceptions import PapermillExecutionError

    os.environ.update(QUIET)
    inputs = page_inputs(notebook, build, parameters)  # before: what is edited meanwhile is newer
    folder = build / "results"
    folders = {"results_dir": str(folder / notebook.stem), "records_dir": str(folder)}
    known = inspect_notebook(str(notebook))
    given = read_parameters(parameters)
    given |= {name: folder for name, folder in folders.items() if name in known}
    try:
        execute_notebook(
            notebook, output, given, progress_bar=False, cwd=PROJECT, extra_arguments=KERNEL
        )
    except PapermillExecutionError as error:
        raise PageError(failure(notebook, error)) from None
    executed = nbformat.read(output, as_version=4)
    executed.metadata["liprune"] = provenance(
        parameters=str(parameters or "defaults"),
        peak_memory_mib=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        data_source=read_provenance(folder, notebook.stem).get("data_source"),
        inputs=inputs | results(build, notebook.stem),
    )
    nbformat.write(executed, output)


def failure(notebook: Path, error: "PapermillExecutionError") -> str:
    """Describe a failed cell.

    Args:
        notebook: The page.
        error: What papermill raised.

    Returns:
        The page, and the sentence about its bad input, or the cell and the plain traceback.
    """
    if error.ename == InputError.__name__:
        return f"{notebook}: {error.evalue}"
    trace = ANSI.sub("", "\n".join(error.traceback))
    return f"{notebook}: cell {error.exec_count} failed.\n{trace}"


def render(build: Path) -> None:
    """Render the book with warnings as errors, and put it in place when it is whole.

    Args:
        build: Folder of the build.

    Raises:
        PageError: If jupyter-book finds fault.
    """
    finished_pages(build)
    remove_what_is_no_page(build)
    with only_one(build / ".render.lock"):
        html, whole = build / "html", build / "stage" / "_build" / "whole"
        was_whole = whole.exists() and html.exists()
        whole.unlink(missing_ok=True)  # whoever is killed from here on leaves no rest to go on from
        changed = stage(build)
        if changed or not was_whole:
            part = was_whole and all(map(is_prose, changed))
            say("render", f"writing {', '.join(sorted(changed)) if part else 'the pages'}")
            began = time.monotonic()
            write_html(build / "stage", every_page=not part)
            put_in_place(build / "stage" / "_build" / "html", html)
            say("render", f"done in {time.monotonic() - began:.0f} s")
        whole.touch()
        say("book", f"open {html / 'index.html'}")


def is_prose(name: str) -> bool:
    """Tell whether a staged file is shown on its own page alone.

    Args:
        name: A staged file.

    Returns:
        True for the written pages of ``book/``; executed pages are glued into others, and
        configuration, styles and tables are shown on several.
    """
    return fnmatch(name, "book/[!_]*.md")


def write_html(folder: Path, *, every_page: bool) -> None:
    """Run jupyter-book.

    Args:
        folder: The staged book.
        every_page: Whether to forget what an earlier run has read.

    Raises:
        PageError: If jupyter-book finds fault.
    """
    if every_page:
        shutil.rmtree(folder / "_build", ignore_errors=True)
    command = [Path(sys.executable).with_name("jupyter-book"), "build", folder]
    command += ["-W", "-n", "--keep-going", "-q", "--path-output", folder]
    result = subprocess.run(command, cwd=PROJECT, check=False, capture_output=True, text=True)
    if result.returncode:
        said = ANSI.sub("", result.stdout + result.stderr)
        raise PageError(f"jupyter-book found fault; the book was not replaced.\n{said}")


def put_in_place(written: Path, html: Path) -> None:
    """Copy a rendered book to where readers open it, whole before it takes the old one's place.

    Args:
        written: Folder that jupyter-book has written and goes on from next time.
        html: The reader's folder.
    """
    new = html.with_name(".html.partial")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(written, new)
    shutil.rmtree(html, ignore_errors=True)
    new.replace(html)


def finished_pages(build: Path) -> list[Path]:
    """List the executed pages of a build that has some.

    Args:
        build: Folder of the build.

    Returns:
        As `liprune_utils.book.inputs.executed_pages`.
    """
    found = executed_pages(build)
    require(bool(found), "--build", str(build), "a folder with executed pages in notebooks/")
    return found


def stale(build: Path, profile: str) -> None:
    """Print the names of the pages that would run, for Make; say for people which would not.

    Args:
        build: Folder of the build.
        profile: As in `liprune_utils.book.inputs.stale_pages`.
    """
    found = stale_pages(build, profile)
    print(*found)
    for path in executed_pages(build):
        if path.stem not in found:
            began = metadata(path)["papermill"]["start_time"][:16].replace("T", " ")
            skipped = f"skipped: nothing has changed since its run of {began} UTC"
            print(f"[{path.stem}] {skipped}", file=sys.stderr)


def status(build: Path, profile: str) -> None:
    """Say of each page whether it would run, and why.

    Args:
        build: Folder of the build.
        profile: As in `liprune_utils.book.inputs.stale_pages`.
    """
    found = stale_pages(build, profile)
    for page in pages():
        first, *more = found.get(page.stem, ["up to date"])
        others = f", and {len(more)} more" if more else ""
        say(page.stem, f"would run: {first}{others}" if page.stem in found else first)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line.

    Args:
        arguments: The arguments, or None for the process's own.

    Returns:
        What was asked for.
    """
    parser = argparse.ArgumentParser(prog="python -m liprune_utils.book", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("stale", "status", "execute", "render"):
        command = commands.add_parser(name)
        command.add_argument("--build", type=Path, required=True, help="folder of the build")
        if name == "execute":
            command.add_argument("notebook", type=Path)
            command.add_argument("--parameters", type=Path, help="YAML file of parameters")
        if name in ("stale", "status"):
            command.add_argument("--profile", default="default", help="parameters of which name")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run one command of the build.

    Args:
        arguments: The arguments, or None for the process's own.

    Returns:
        The exit status.
    """
    options = vars(parse(arguments))
    commands = (stale, status, execute, render)
    command = {function.__name__: function for function in commands}[options.pop("command")]
    return exit_status(lambda: command(**options), PageError, ValueError)
