"""What jupyter-book renders, laid out: prose, executed pages, tables, lists, local JavaScript."""

import ast
import json
import os
import re
from itertools import product
from pathlib import Path

import nbformat
import yaml

from liprune_utils.book.address import repository, site
from liprune_utils.book.catalogue import executions_markdown, software_markdown, tables_markdown
from liprune_utils.book.inputs import executed_pages, file_digest, metadata
from liprune_utils.checks import InputError
from liprune_utils.data import DIGITS
from liprune_utils.files import PROJECT, in_project

STAND_IN = (
    "CIFAR-10 was not available when this book was built. What its pages computed from images "
    "comes from handwritten digits; <strong>only recorded results are about CIFAR-10</strong>."
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
COLAB = """
In Colab, to which the rocket at the top leads, a first cell brings what the page imports:

```
!git clone --depth 1 {url} liprune-book
%cd liprune-book
%pip install --quiet .
!python -m liprune_utils.data
```
"""
# What a page writes so that it reads well in JupyterLab too, and what MyST makes of it: a link that
# is a citation, an anchor that is a label, the label of an equation.
MYST = {
    re.compile(r"\[[^\]]+\]\(cite:(\w+)\)"): r"{cite:t}`\1`",
    re.compile(r'^<a id="([\w-]+)"></a>$', re.MULTILINE): r"(\1)=",
    re.compile(r" *\\label\{([\w-]+)\}\n\$\$$", re.MULTILINE): r"\n$$ (\1)",
}
INJECTED = {
    "tags": ["hide-cell"],
    "mystnb": dict.fromkeys(("code_prompt_show", "code_prompt_hide"), "Values set by the build"),
}
# Links to pages, tables and labels, in Markdown and in HTML; where a page defines a label.
LINKS = (
    re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<to>[\w./-]+)(?P<place>#[\w-]+)?\)"),
    re.compile(r'<a href="(?P<to>[\w./-]+\.html)(?P<place>#[\w-]+)?">(?P<text>[^<]+)</a>'),
)
LABEL = r'(?:id=\\?"|label{{|"name": "){}["}}\\]'
RESULTS_DIR = re.compile(r"""^results_dir\b[^=]*= *((["'])(?:\\.|.)*?\2)""", re.MULTILINE)
FOLDERS = re.compile(r"^(results|records)_dir = .*$", re.MULTILINE)
MODULE_PAGE = """# `{name}`

```{{eval-rst}}
.. automodule:: liprune_utils.{name}
   :members:
   :special-members: __call__
   :exclude-members: model_config
   :show-inheritance:
```
"""
MATHJAX = "LICENSE", "es5/tex-mml-chtml.js", "es5/input/tex/extensions", "es5/output/chtml/fonts"


def stage(build: Path) -> set[str]:
    """Bring ``build/stage`` up to date, and name the files that changed."""
    folder, wanted = build / "stage", _staged_files(build)
    old = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    gone = {name for name in old - set(wanted) if not name.startswith("_build/")}
    for name in gone:
        (folder / name).unlink()
    return gone | {name for name in wanted if _write_if_changed(folder / name, wanted[name])}


def _staged_files(build: Path) -> dict[str, bytes]:
    """Lay out by name what jupyter-book renders."""
    pages, modules = executed_pages(build), library_modules()
    files = _tree(PROJECT / "book", "book") | _tree(build / "results", "results") | _javascript()
    files |= {f"notebooks/executed/{path.name}": as_download(path).encode() for path in pages}
    texts = {f"notebooks/{path.name}": _closed_page(path) for path in pages}
    texts |= {f"book/api/module-{name}.md": MODULE_PAGE.format(name=name) for name in modules}
    texts |= {
        "_toc.yml": _contents(modules),
        "_config.yml": _config(pages),
        "book/_execution.md": executions_markdown(pages),
        "book/_tables.md": tables_markdown(build),
        "book/_licences.md": software_markdown(),
        "code.json": _code(),  # the pages of the library are made from it
    }
    return files | {name: text.encode() for name, text in texts.items()}


def library_modules() -> list[str]:
    """List the modules of the library in the order of the page ``book/api.md``."""
    text = (PROJECT / "book" / "api.md").read_text()
    return re.findall(r"^ +~liprune_utils\.(\w+)$", text, flags=re.MULTILINE)


def as_download(path: Path) -> str:
    """Return an executed page whose tables go to a reader's own folder when it is run again."""
    page = nbformat.read(path, as_version=4)
    for cell in page.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.source = FOLDERS.sub("", cell.source).strip()
    page.cells = [cell for cell in page.cells if cell.source != "# Parameters"]
    page.metadata.pop("papermill", None)  # it names the folders, too
    return nbformat.writes(page)


def stage_alone(notebook: Path, folder: Path, build: Path) -> None:
    """Lay out one executed notebook as the only page of a book."""
    page = _page_as_myst(notebook)
    _link_to_book(page, build, notebook.read_text())
    cited = "```{bibliography}\n:filter: docname in docnames\n```"
    page.cells.append(nbformat.v4.new_markdown_cell(cited, id="cited"))
    files = _tree(PROJECT / "book" / "_static", "book/_static") | _javascript()
    files["book/references.bib"] = (PROJECT / "book" / "references.bib").read_bytes()
    texts = {"page.ipynb": nbformat.writes(page), "_config.yml": _config([notebook])}
    texts["_toc.yml"] = "format: jb-book\nroot: page\n"
    for name, content in (files | {name: text.encode() for name, text in texts.items()}).items():
        _write_if_changed(folder / name, content)


def _link_to_book(page: nbformat.NotebookNode, build: Path, own: str) -> None:
    """Let a page's links lead to the built book, and to the tables that the page wrote."""
    chosen = [text for cell in page.cells for text, _ in RESULTS_DIR.findall(cell.source)]
    results = in_project(ast.literal_eval(chosen[-1]) if chosen else "")

    def lead(match: re.Match) -> str:
        to, place = match["to"], match["place"] or ""
        if "." not in to and not re.search(LABEL.format(to), own):
            to, place = _page_with(to), f"#equation-{to}" if to.startswith("eq-") else f"#{to}"
        file = _find(to, build.absolute(), results)
        href = f"{file.as_uri()}{place}"
        return f'<a href="{href}">{match["text"]}</a>' if file.is_file() else match[0]

    texts = [cell for cell in page.cells if cell.cell_type == "markdown"]
    texts += [output.get("data", {}) for cell in page.cells for output in cell.get("outputs", [])]
    for text, kind, links in product(texts, ("source", "text/markdown", "text/html"), LINKS):
        if kind in text:
            text[kind] = links.sub(lead, text[kind])


def _page_with(label: str) -> str:
    """Name the page that defines a label; "" if none does."""
    pages = sorted((PROJECT / "notebooks").glob("*.py"))
    names = (path.name for path in pages if re.search(LABEL.format(label), path.read_text()))
    return next(names, "")


def _find(link: str, build: Path, results: Path) -> Path:
    """Find the file that a link on a page of the book leads to."""
    path = Path(os.path.normpath(f"notebooks/{link}"))
    match path.parts:
        case "results", _, *rest:
            return results.joinpath(*rest)
        case "book", "results", *_:
            return PROJECT / path
    return build / "html" / path.with_suffix(".html")


def _closed_page(path: Path) -> str:
    """Add to an executed page a closing section on its execution and how to rerun it."""
    page, facts = _page_as_myst(path), metadata(path)
    run = facts["papermill"]
    closing = CLOSING.format(
        name=path.name,
        when=run["start_time"][:16].replace("T", " "),
        seconds=run["duration"],
        memory=facts["peak_memory_mib"],
        source=facts["data_source"] or "data generated on the page",
    )
    closing += COLAB.format(url=url) if (url := repository()) else ""
    page.cells.append(nbformat.v4.new_markdown_cell(closing, id="closing"))
    return nbformat.writes(page)


def _page_as_myst(path: Path) -> nbformat.NotebookNode:
    page = nbformat.read(path, as_version=4)
    for cell in page.cells:
        if cell.cell_type == "markdown":
            cell.source = as_myst(cell.source)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata |= INJECTED
    return page


def as_myst(text: str) -> str:
    """Turn the citations, anchors and labels of a page's text into those of MyST."""
    for pattern, replacement in MYST.items():
        text = pattern.sub(replacement, text)
    return text


def _contents(modules: list[str]) -> str:
    """Add the pages of the library's modules to the table of contents."""
    text = (PROJECT / "_toc.yml").read_text()
    (indent,) = re.findall(r"^( *)- file: book/api$", text, flags=re.MULTILINE)
    sections = "".join(f"\n{indent}    - file: book/api/module-{name}" for name in modules)
    entry = f"{indent}- file: book/api\n"
    return text.replace(entry, f"{entry}{indent}  sections:{sections}\n")


def _config(pages: list[Path]) -> str:
    """Add a banner if the digits stand in for CIFAR-10; no button without its address."""
    config = yaml.safe_load((PROJECT / "_config.yml").read_text())
    if url := repository():
        config["html"]["baseurl"] = config["sphinx"]["config"]["ogp_site_url"] = site(url)
    else:
        config["html"] |= {name: False for name in config["html"] if name.endswith("_button")}
        del config["launch_buttons"]
    if DIGITS in [metadata(path).get("data_source") for path in pages]:
        config["sphinx"]["config"]["html_theme_options"]["announcement"] = STAND_IN
    return yaml.safe_dump(config, sort_keys=False)


def _javascript() -> dict[str, bytes]:
    """MathJax and the widget manager, so that the pages ask no other host."""
    modules, vendor = PROJECT / "node_modules", "book/_static/vendor"
    mathjax = [_tree(modules / "mathjax" / part, f"{vendor}/mathjax/{part}") for part in MATHJAX]
    manager = modules / "@jupyter-widgets" / "html-manager" / "dist"
    files = _tree(manager, f"{vendor}/html-manager")
    files = {name: data for name, data in files.items() if "/embed-amd" not in name}
    if not all([*mathjax, files]):
        raise InputError(f"{modules} is damaged; delete it, and run the command again.")
    return {name: data for part in [*mathjax, files] for name, data in part.items()}


def _code() -> str:
    files = sorted((PROJECT / "liprune_utils").rglob("*.py"))
    digests = {path.relative_to(PROJECT).as_posix(): file_digest(path) for path in files}
    return json.dumps(digests, indent=1)


def _tree(source: Path, name: str) -> dict[str, bytes]:
    """Read a file, or all files of a folder, by another name."""
    if source.is_file():
        return {name: source.read_bytes()}
    files = [path for path in sorted(source.rglob("[!.]*")) if path.is_file()]
    return {f"{name}/{path.relative_to(source).as_posix()}": path.read_bytes() for path in files}


def _write_if_changed(path: Path, content: bytes) -> bool:
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return True
