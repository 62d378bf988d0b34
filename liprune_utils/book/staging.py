"""What jupyter-book renders, laid out: prose, executed pages, their tables, local JavaScript."""

import shutil
from pathlib import Path

import nbformat
import yaml

from liprune_utils.book.catalogue import tables_markdown
from liprune_utils.book.licences import licences_markdown
from liprune_utils.files import PROJECT
from liprune_utils.sources import DIGITS

STAND_IN = (
    "CIFAR-10 was not available when this book was built. Pages that need it used handwritten "
    "digits instead: <strong>no number on them is about CIFAR-10</strong>."
)
CLOSING = """## This page

Executed {when} UTC in {seconds:.0f} s, with at most {memory:,} MiB of memory, on {source}:
{{download}}`the executed notebook <executed/{name}>`. To run it with other values, from the
project's folder ([how](../book/rerun.md)):

```bash
.venv/bin/papermill --help-notebook notebooks/{name}
.venv/bin/papermill notebooks/{name} out.ipynb -p NAME VALUE
```
"""
MATHJAX = "tex-mml-chtml.js", "input/tex/extensions", "output/chtml/fonts"


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
    (folder / "notebooks" / "executed").mkdir(parents=True)
    pages = executed_pages(build)
    for path in pages:
        stage_page(path, folder / "notebooks")
    shutil.copytree(build / "results", folder / "results", dirs_exist_ok=True)
    stage_javascript(folder / "book" / "_static" / "vendor")
    generated = {"execution": execution_table(pages), "tables": tables_markdown(build)}
    generated["licences"] = licences_markdown()
    for name, text in generated.items():
        (folder / "book" / f"_{name}.md").write_text(text)
    (folder / "_config.yml").write_text(staged_config(pages))
    return folder


def stage_page(path: Path, folder: Path) -> None:
    """Copy an executed page, with a closing section on its execution and how to rerun it.

    Args:
        path: An executed page.
        folder: Where the copy goes, and beside it the page as it was, for download.
    """
    shutil.copy(path, folder / "executed" / path.name)
    page, facts = nbformat.read(path, as_version=4), metadata(path)
    run = facts["papermill"]
    closing = CLOSING.format(
        name=path.name,
        when=run["start_time"][:16].replace("T", " "),
        seconds=run["duration"],
        memory=facts["peak_memory_mib"],
        source=facts["data_source"] or "data generated on the page",
    )
    page.cells.append(nbformat.v4.new_markdown_cell(closing))
    nbformat.write(page, folder / path.name)


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
    shutil.copy(modules / "mathjax" / "LICENSE", vendor / "mathjax")  # as Apache-2.0 asks
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
    if DIGITS in [metadata(path).get("data_source") for path in pages]:
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
