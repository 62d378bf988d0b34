"""What jupyter-book renders, laid out: prose, executed pages, their tables, local JavaScript."""

import json
from pathlib import Path

import nbformat
import yaml

from liprune_utils.book.catalogue import tables_markdown
from liprune_utils.book.inputs import OWN, executed_pages, file_digest
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


def stage(build: Path) -> set[str]:
    """Bring ``build/stage`` up to date, what jupyter-book renders, and touch nothing else there.

    Args:
        build: Folder of the build.

    Returns:
        The names of the files that are new, changed or gone.
    """
    folder, wanted = build / "stage", staged_files(build)
    there = {path for path in folder.rglob("*") if path.is_file()}
    gone = {path for path in there if path.relative_to(folder).parts[0] != "_build"}
    gone -= {folder / name for name in wanted}
    for path in gone:
        path.unlink()
    changed = {
        name for name, content in wanted.items() if _write_if_changed(folder / name, content)
    }
    return changed | {path.relative_to(folder).as_posix() for path in gone}


def staged_files(build: Path) -> dict[str, bytes]:
    """Lay out what jupyter-book renders: prose, executed pages, their tables, local JavaScript.

    Args:
        build: Folder of the build.

    Returns:
        The content of each file, by its name in the staged folder.
    """
    pages = executed_pages(build)
    found = {"_toc.yml": (PROJECT / "_toc.yml").read_bytes()} | _tree(PROJECT / "book", "book")
    found |= {f"notebooks/executed/{path.name}": path.read_bytes() for path in pages}
    found |= _tree(build / "results", "results") | _javascript("book/_static/vendor")
    texts = {f"notebooks/{path.name}": closed_page(path) for path in pages}
    texts |= {
        "book/_execution.md": execution_table(pages),
        "book/_tables.md": tables_markdown(build),
    }
    texts |= {"book/_licences.md": licences_markdown(), "_config.yml": staged_config(pages)}
    texts["code.json"] = json.dumps(_code(), indent=1)  # the pages of the code are made from it
    return found | {name: text.encode() for name, text in texts.items()}


def closed_page(path: Path) -> str:
    """Add to an executed page a closing section on its execution and how to rerun it.

    Args:
        path: An executed page.

    Returns:
        The notebook as text.
    """
    page, facts = nbformat.read(path, as_version=4), metadata(path)
    run = facts["papermill"]
    closing = CLOSING.format(
        name=path.name,
        when=run["start_time"][:16].replace("T", " "),
        seconds=run["duration"],
        memory=facts["peak_memory_mib"],
        source=facts["data_source"] or "data generated on the page",
    )
    page.cells.append(nbformat.v4.new_markdown_cell(closing, id="closing"))
    return nbformat.writes(page)


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


# MathJax and the widget manager lie beside the pages, so that they ask no other host.
def _javascript(vendor: str) -> dict[str, bytes]:
    modules = PROJECT / "node_modules"
    found = {
        f"{vendor}/mathjax/LICENSE": (modules / "mathjax" / "LICENSE").read_bytes()
    }  # Apache-2.0
    for part in MATHJAX:
        found |= _tree(modules / "mathjax" / "es5" / part, f"{vendor}/mathjax/es5/{part}")
    manager = _tree(
        modules / "@jupyter-widgets" / "html-manager" / "dist", f"{vendor}/html-manager"
    )
    return found | {name: data for name, data in manager.items() if "/embed-amd" not in name}


def _code() -> dict[str, str]:
    files = [path for folder in OWN for path in sorted((PROJECT / folder).rglob("*.py"))]
    return {path.relative_to(PROJECT).as_posix(): file_digest(path) for path in files}


# A file, or all files of a folder, under another name.
def _tree(source: Path, name: str) -> dict[str, bytes]:
    if source.is_file():
        return {name: source.read_bytes()}
    files = [path for path in sorted(source.rglob("*")) if path.is_file()]
    return {f"{name}/{path.relative_to(source).as_posix()}": path.read_bytes() for path in files}


def _write_if_changed(path: Path, content: bytes) -> bool:
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return True
