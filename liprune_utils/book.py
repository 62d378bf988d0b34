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
import yaml

from liprune_utils.files import write_atomically
from liprune_utils.records import PROJECT, provenance, read_provenance

if TYPE_CHECKING:
    from papermill.exceptions import PapermillExecutionError

ANSI = re.compile(r"\x1b\[[0-9;]*m")
STAND_IN = (
    "CIFAR-10 was not available when this book was built. Pages that need it used handwritten "
    "digits instead: <strong>no number on them is about CIFAR-10</strong>."
)
QUIET = {
    "TQDM_DISABLE": "1",  # progress bars are for people at a terminal
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}
KERNEL = ["--log-level=ERROR"]
MATHJAX = "tex-mml-chtml.js", "input/tex/extensions", "output/chtml/fonts"


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
    page = notebook.stem
    done, results = build / "notebooks" / notebook.name, build / "results" / page
    with only_one(build / "notebooks" / f".{page}.lock"):
        done.unlink(missing_ok=True)
        shutil.rmtree(results, ignore_errors=True)
        say(page, f"running{f' with {parameters}' if parameters else ''}")
        began = time.monotonic()
        write_atomically(done, lambda partial: run_notebook(notebook, partial, results, parameters))
        say(page, f"done in {time.monotonic() - began:.0f} s")


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
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    os.environ.update(QUIET)
    given = yaml.safe_load(parameters.read_text()) if parameters else {}
    given |= {"results_dir": str(results)}
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
        The page, the cell and the plain traceback.
    """
    trace = ANSI.sub("", "\n".join(error.traceback))
    return f"{notebook}: cell {error.exec_count} failed.\n{trace}"


def stage(build: Path) -> Path:
    """Lay out what jupyter-book renders: prose, executed pages, their tables, local JavaScript.

    Args:
        build: Folder of the build.

    Returns:
        The staged folder.
    """
    folder = build / "stage"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(PROJECT / "book", folder / "book")
    shutil.copy(PROJECT / "_toc.yml", folder)
    (folder / "notebooks").mkdir()
    pages = executed_pages(build)
    for path in pages:
        shutil.copy(path, folder / "notebooks")
    shutil.copytree(build / "results", folder / "results", dirs_exist_ok=True)
    stage_javascript(folder / "book" / "_static" / "vendor")
    (folder / "book" / "_execution.md").write_text(execution_table(pages))
    (folder / "_config.yml").write_text(staged_config(pages))
    return folder


def executed_pages(build: Path) -> list[Path]:
    """List the executed pages of a build.

    Args:
        build: Folder of the build.

    Returns:
        Finished notebooks, in the book's order.
    """
    return sorted((build / "notebooks").glob("[!.]*.ipynb"))


def stage_javascript(vendor: Path) -> None:
    """Put MathJax and the widget manager beside the pages, so that they ask no other host.

    Args:
        vendor: Where they go.
    """
    modules = PROJECT / "node_modules"
    mathjax, manager = modules / "mathjax" / "es5", modules / "@jupyter-widgets" / "html-manager"
    for part in MATHJAX:
        target = vendor / "mathjax" / "es5" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (mathjax / part).is_dir() else shutil.copy
        copy(mathjax / part, target)
    shutil.copytree(
        manager / "dist", vendor / "html-manager", ignore=shutil.ignore_patterns("embed-amd*")
    )


def staged_config(pages: list[Path]) -> str:
    """Add to the book's configuration a banner if the digits stand in for CIFAR-10.

    Args:
        pages: Executed pages.

    Returns:
        The configuration as YAML.
    """
    config = yaml.safe_load((PROJECT / "_config.yml").read_text())
    sources = [metadata(path).get("data_source") for path in pages]
    if any(source and "digits" in source for source in sources):
        config["sphinx"]["config"]["html_theme_options"]["announcement"] = STAND_IN
    return yaml.safe_dump(config, sort_keys=False)


def metadata(path: Path) -> dict:
    """Read what the build added to an executed page.

    Args:
        path: An executed page.

    Returns:
        Its metadata, with papermill's under "papermill".
    """
    found = nbformat.read(path, as_version=4).metadata
    return {**found.get("liprune", {}), "papermill": found.get("papermill", {})}


def execution_table(pages: list[Path]) -> str:
    """Write the table of executions as Markdown.

    Args:
        pages: Executed pages.

    Returns:
        One row a page.
    """
    lines = [
        "| page | executed (UTC) | seconds | peak memory | parameters | data | torch |",
        "|---|---|---:|---:|---|---|---|",
    ]
    for path in pages:
        facts = metadata(path)
        run = facts["papermill"]
        lines.append(
            f"| [](../notebooks/{path.name}) | {run['start_time'][:16].replace('T', ' ')} "
            f"| {run['duration']:.0f} | {facts['peak_memory_mib']:,} MiB | {facts['parameters']} "
            f"| {facts['data_source'] or 'generated'} | {facts['versions']['torch']} |"
        )
    return "\n".join(lines) + "\n"


def render(build: Path) -> None:
    """Render the book with warnings as errors, and put it in place when it is whole.

    Args:
        build: Folder of the build.

    Raises:
        PageError: If jupyter-book finds fault.
    """
    with only_one(build / ".render.lock"):
        say("render", "writing the pages")
        began = time.monotonic()
        folder, html = stage(build), build / "html"
        command = [Path(sys.executable).with_name("jupyter-book"), "build", folder]
        command += ["-W", "-n", "--keep-going", "--all", "-q", "--path-output", folder]
        if subprocess.run(command, cwd=PROJECT, check=False).returncode:
            raise PageError("jupyter-book reported the problems above; the book was not replaced.")
        shutil.rmtree(html, ignore_errors=True)
        (folder / "_build" / "html").replace(html)
        (html / "index.html").touch()  # the last thing that happens: Make takes it for the whole
        say("render", f"done in {time.monotonic() - began:.0f} s")


def summary(build: Path, since: float) -> None:
    """Say which pages ran and which were skipped.

    Args:
        build: Folder of the build.
        since: When the build began, in seconds since 1970.
    """
    for path in executed_pages(build):
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
    try:
        command(**options)
    except (PageError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
