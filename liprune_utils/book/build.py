"""What the book's build needs beyond papermill and jupyter-book.

Make decides what is stale and calls three commands: ``python -m liprune_utils.book execute``,
``render`` and ``summary``.
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
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat

from liprune_utils.book.staging import executed_pages, metadata, stage
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
    done.

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
    page = notebook.stem
    done, results = build / "notebooks" / notebook.name, build / "results" / page
    with only_one(build / "notebooks" / f".{page}.lock"):
        done.unlink(missing_ok=True)
        shutil.rmtree(results, ignore_errors=True)
        say(page, f"running{f' with {parameters}' if parameters else ''}")
        began = time.time()
        write_atomically(done, lambda partial: run_notebook(notebook, partial, results, parameters))
        os.utime(done, (began, began))  # so that whatever is edited during the run is newer
        say(page, f"done in {time.time() - began:.0f} s")


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


def run_notebook(notebook: Path, output: Path, results: Path, parameters: Path | None) -> None:
    """Run a notebook with papermill and add to its metadata what the status page needs.

    Args:
        notebook: The page.
        output: Where the executed page goes.
        results: Folder for its tables.
        parameters: YAML file of parameters, or None.

    Raises:
        PageError: If a cell fails.
    """
    from papermill import execute_notebook, inspect_notebook
    from papermill.exceptions import PapermillExecutionError

    os.environ.update(QUIET)
    folders = {"results_dir": str(results), "records_dir": str(results.parent)}
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
        data_source=read_provenance(results.parent, notebook.stem).get("data_source"),
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
    with only_one(build / ".render.lock"):
        say("render", "writing the pages")
        began = time.monotonic()
        folder, html = stage(build), build / "html"
        command = [Path(sys.executable).with_name("jupyter-book"), "build", folder]
        command += ["-W", "-n", "--keep-going", "--all", "-q", "--path-output", folder]
        result = subprocess.run(command, cwd=PROJECT, check=False, capture_output=True, text=True)
        if result.returncode:
            said = ANSI.sub("", result.stdout + result.stderr)
            raise PageError(f"jupyter-book found fault; the book was not replaced.\n{said}")
        shutil.rmtree(html, ignore_errors=True)
        (folder / "_build" / "html").replace(html)
        (html / "index.html").touch()  # the last thing that happens: Make takes it for the whole
        say("render", f"done in {time.monotonic() - began:.0f} s")


def finished_pages(build: Path) -> list[Path]:
    """List the executed pages of a build that has some.

    Args:
        build: Folder of the build.

    Returns:
        As `liprune_utils.book.staging.executed_pages`.
    """
    pages = executed_pages(build)
    require(bool(pages), "--build", str(build), "a folder with executed pages in notebooks/")
    return pages


def summary(build: Path, since: float) -> None:
    """Say which pages ran and which were skipped.

    Args:
        build: Folder of the build.
        since: When the build began, in seconds since 1970.
    """
    for path in finished_pages(build):
        run = metadata(path)["papermill"]
        started = datetime.fromisoformat(run["start_time"])
        fresh = started.timestamp() >= since
        past = (
            f"skipped: nothing that it depends on is newer than its run of {started:%Y-%m-%d %H:%M}"
        )
        say(path.stem, f"ran in {run['duration']:.0f} s" if fresh else past)
    say("book", f"open {build / 'html' / 'index.html'}")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line.

    Args:
        arguments: The arguments, or None for the process's own.

    Returns:
        What was asked for.
    """
    parser = argparse.ArgumentParser(prog="python -m liprune_utils.book", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("execute", "render", "summary"):
        command = commands.add_parser(name)
        command.add_argument("--build", type=Path, required=True, help="folder of the build")
        if name == "execute":
            command.add_argument("notebook", type=Path)
            command.add_argument("--parameters", type=Path, help="YAML file of parameters")
        if name == "summary":
            command.add_argument("--since", type=float, required=True, help="seconds since 1970")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run one command of the build.

    Args:
        arguments: The arguments, or None for the process's own.

    Returns:
        The exit status.
    """
    options = vars(parse(arguments))
    command = {"execute": execute, "render": render, "summary": summary}[options.pop("command")]
    return exit_status(lambda: command(**options), PageError, ValueError)
