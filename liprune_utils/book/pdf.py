"""The book as one PDF: each page printed by headless Chromium, all joined, with bookmarks."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlparse

from pypdf import PageObject, PdfWriter
from pypdf.generic import ArrayObject, NameObject
from tqdm import tqdm

from liprune_utils.checks import InputError, require
from liprune_utils.files import read_yaml, write_atomically

BROWSERS = "chromium", "google-chrome"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer",
    "--generate-pdf-document-outline", "--virtual-time-budget=30000",
)  # fmt: skip


def pdf(build: Path) -> None:
    """Print the rendered book as one PDF, ``book.pdf``."""
    contents = build / "stage" / "_toc.yml"
    require(contents.exists(), "--build", str(build), "a folder with a book that `make book` made")
    html = (build / "html").resolve()
    pages = [html / f"{name}.html" for name in _names(read_yaml(contents, "The contents"))]
    with TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        printing = pool.map(partial(_print, _browser(), Path(folder)), pages)
        printed = list(tqdm(printing, "Printing", len(pages), unit=" pages", disable=None))
        path = build / "book.pdf"
        write_atomically(path, lambda partial: _join(pages, printed).write(partial))
    print(f"[pdf] open {path}")


def _browser() -> str:
    found = [path for path in map(shutil.which, BROWSERS) if path]
    if not found:
        raise InputError("Chromium is missing; run `make browser` first.")
    return found[0]


def _names(entry: object) -> Iterator[str]:
    """Walk through a table of contents, and give the pages in its order."""
    if isinstance(entry, Sequence) and not isinstance(entry, str):
        for part in entry:
            yield from _names(part)
    elif isinstance(entry, Mapping):
        for key, value in entry.items():
            if key in ("root", "file"):
                yield value
            else:
                yield from _names(value)


def _print(browser: str, folder: Path, page: Path) -> Path:
    path = folder / f"{page.stem}.pdf"
    profile = f"--user-data-dir={folder / page.stem}"  # processes that share one wait for another
    command = [browser, *FLAGS, profile, f"--print-to-pdf={path}", page.as_uri()]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if not path.exists():
        raise InputError(f"{page} cannot be printed: {result.stderr.strip()[-500:]}")
    return path


def _join(pages: Sequence[Path], printed: Sequence[Path]) -> PdfWriter:
    """Join printed pages; links between them lead to their first sheets, others only to the net."""
    writer, first = PdfWriter(), {}
    for page, path in zip(pages, printed, strict=True):
        first[str(page)] = len(writer.pages)
        writer.append(path)
    for sheet in writer.pages:
        _relink(sheet, {page: writer.pages[number] for page, number in first.items()})
    return writer


def _relink(sheet: PageObject, targets: Mapping[str, PageObject]) -> None:
    for annotation in (found.get_object() for found in sheet.get("/Annots", [])):
        address = urlparse(str(annotation.get("/A", {}).get("/URI", "")))
        if address.scheme == "file":
            del annotation["/A"]
            if target := targets.get(unquote(address.path)):
                place = ArrayObject([target.indirect_reference, NameObject("/Fit")])
                annotation[NameObject("/Dest")] = place
