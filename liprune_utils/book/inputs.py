"""What a page is made of, by content: its cells, parameters, code, claims, records, data, packages.

A page is stale if one of these has another hash than when it ran, or one of its tables has changed
since. No time of a file counts: what is touched, checked out again or copied runs nothing.
"""

import ast
import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from liprune_utils import FACE
from liprune_utils.checks import InputError, require
from liprune_utils.files import PROJECT, package_version, read_json, read_yaml

OWN = ("liprune_utils", "experiments")
DATA, REGISTER = "liprune_utils.data", "liprune_utils.book.register"
READY, CLAIMS, ERRATA = "data/ready.json", "book/claims.yml", "book/errata.md"
ABSENT = "absent"
# The projects whose modules have another name.
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "PyYAML"}
RESULT = "its result "  # begins the name of what a page wrote


def pages() -> list[Path]:
    """List the pages in order; the last one judges the results of the others.

    Returns:
        The notebooks that are executed.
    """
    return sorted((PROJECT / "notebooks").glob("[!.]*.ipynb"))


def executed_pages(build: Path) -> list[Path]:
    """List the executed pages of a build.

    Args:
        build: Folder of the build.

    Returns:
        Finished notebooks, in the book's order; none of a page that is no more.
    """
    paths = [build / "notebooks" / page.name for page in pages()]
    return [path for path in paths if path.exists()]


def remove_what_is_no_page(build: Path) -> None:
    """Remove what the build wrote for pages that were renamed or deleted since, and nothing else.

    Args:
        build: Folder of the build.
    """
    known = {page.stem for page in pages()}
    for path in (build / "notebooks").glob("[!.]*.ipynb"):
        if path.stem not in known and "liprune" in _metadata(path):
            shutil.rmtree(build / "results" / path.stem, ignore_errors=True)
            path.unlink(missing_ok=True)


def page_inputs(notebook: Path, build: Path, parameters: Path | None) -> dict[str, str]:
    """Hash all that a page's outcome hangs on.

    Args:
        notebook: The page.
        build: Folder of the build, where the last page finds the results of the others.
        parameters: YAML file of parameters, or None.

    Returns:
        A hash, or a version, for the name of each input.
    """
    used = used_modules(imports(page_code(notebook)))
    files = [*recorded_files(notebook.stem, used), *_styles(used)]
    found = {f"notebooks/{notebook.name}": digest(_cells(notebook))}
    found |= {module_file(name): _module(name).digest for name in used}
    found |= {file: file_digest(PROJECT / file) for file in files}
    if parameters:
        found[f"parameters {parameters.name}"] = file_digest(parameters)
    if DATA in used:
        found[READY] = file_digest(PROJECT / READY)
    if notebook.name == pages()[-1].name:
        found |= {file: file_digest(PROJECT / file) for file in (CLAIMS, ERRATA)}
        found |= runs_of_the_others(notebook, build)
    elif REGISTER in used:
        found[CLAIMS] = digest(page_claims(notebook.stem))
    return found | packages(notebook, used)


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Say what is not as it was.

    Args:
        before: The hashes that were recorded.
        now: The hashes of today.

    Returns:
        One phrase for each name that is new, gone or changed.
    """
    new = [f"{name} is new" for name in now if name not in before]
    gone = [f"{name} is gone" for name in before if name not in now]
    other = [f"{name} changed" for name in now if name in before and before[name] != now[name]]
    return new + gone + other


def why_stale(notebook: Path, build: Path, parameters: Path | None) -> list[str]:
    """Say why a page would run.

    Args:
        notebook: The page.
        build: Folder of the build.
        parameters: YAML file of parameters, or None.

    Returns:
        The reasons; none if the executed page is what would come out again.
    """
    executed = build / "notebooks" / notebook.name
    if not executed.exists():
        return ["it has not run"]
    before = _metadata(executed).get("liprune", {}).get("inputs")
    if before is None:
        return ["its run has not recorded what it used"]
    now = page_inputs(notebook, build, parameters) | results(build, notebook.stem)
    return changes(before, now)


def stale_pages(build: Path, profile: str) -> dict[str, list[str]]:
    """Find the pages that would run.

    Args:
        build: Folder of the build.
        profile: Name of the files of parameters, as in ``notebooks/params/NN_name.PROFILE.yml``.

    Returns:
        For each stale page why; the last page is stale where another is.
    """
    *others, last = pages()
    found = {page.stem: why_stale(page, build, parameter_file(page, profile)) for page in others}
    found = {name: reasons for name, reasons in found.items() if reasons}
    reasons = [f"{name} runs" for name in found]
    reasons += why_stale(last, build, parameter_file(last, profile))
    return found | ({last.stem: reasons} if reasons else {})


def parameter_file(notebook: Path, profile: str) -> Path | None:
    """Find the parameters of a page in a profile.

    Args:
        notebook: The page.
        profile: Name of the profile.

    Returns:
        The file, or None where the page has its own.
    """
    path = PROJECT / "notebooks" / "params" / f"{notebook.stem}.{profile}.yml"
    return path if path.exists() else None


def results(build: Path, page: str) -> dict[str, str]:
    """Hash what a page wrote.

    Args:
        build: Folder of the build.
        page: The page's name.

    Returns:
        A hash for each file of its folder of results.
    """
    folder = build / "results" / page
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {f"{RESULT}{file.relative_to(folder)}": file_digest(file) for file in files}


def page_code(notebook: Path) -> ast.Module:
    """Parse the code cells of a page.

    Args:
        notebook: The page.

    Returns:
        One tree for all; a line for IPython alone is left out.
    """
    cells = [cell for cell in _read(notebook)["cells"] if cell["cell_type"] == "code"]
    lines = [line for cell in cells for line in [*"".join(cell["source"]).splitlines(), ""]]
    return _parse("\n".join(line for line in lines if not line.startswith(("%", "!"))), notebook)


def imports(tree: ast.AST) -> set[str]:
    """List what code imports, of modules and of what is in them.

    Args:
        tree: Parsed code.

    Returns:
        Full names. The face of the library stands for the modules behind it.
    """
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
            if "liprune_utils" in {alias.name for alias in node.names}:
                names |= {f"liprune_utils.{module}" for module in FACE.values()}
    return names


def used_modules(names: Iterable[str]) -> list[str]:
    """Follow imports through the project.

    Args:
        names: What is imported first.

    Returns:
        The project's modules behind it, packages included, sorted.
    """
    found, waiting = set(), list(names)
    while waiting:
        parts = waiting.pop().split(".")
        inside = {".".join(parts[:n]) for n in range(1, len(parts) + 1)} - found
        for name in inside:
            if parts[0] in OWN and _path(name):
                found.add(name)
                waiting += _module(name).imports
    return sorted(found)


def recorded_files(page: str, used: Iterable[str]) -> list[str]:
    """List the recorded results that a page may read: of its experiment and of those it imports.

    Args:
        page: The page's name.
        used: Modules behind the page.

    Returns:
        Files, relative to the project.
    """
    experiments = {name.split(".")[1] for name in used if name.startswith("experiments.")}
    folders = sorted((PROJECT / "book" / "results").glob("[!.]*"))
    mine = [f for f in folders if f.name == page or f.name[3:] in experiments]
    files = [file for folder in mine for file in sorted(folder.rglob("*")) if file.is_file()]
    return [file.relative_to(PROJECT).as_posix() for file in files]


def runs_of_the_others(last: Path, build: Path) -> dict[str, str]:
    """Tell the runs apart whose results the last page reads.

    Args:
        last: That page.
        build: Folder of the build.

    Returns:
        For the name of each other executed page, when its run began.
    """
    others = [path for path in executed_pages(build) if path.name != last.name]
    found = {path.stem: _metadata(path).get("papermill", {}) for path in others}
    return {f"the run of {name}": str(run.get("start_time")) for name, run in found.items()}


def page_claims(page: str) -> str:
    """Write down the entries of the register that are a page's.

    Args:
        page: The page's name.

    Returns:
        The entries as JSON.
    """
    entries = [entry for entry in _register() if entry.get("page") == page]
    return json.dumps(entries, sort_keys=True, default=str)


def packages(notebook: Path, used: Iterable[str]) -> dict[str, str]:
    """Look up the versions of the packages that a page and the modules behind it import.

    Args:
        notebook: The page.
        used: Modules behind it.

    Returns:
        A version for each, and Python's.
    """
    names = imports(page_code(notebook)).union(*(_module(name).imports for name in used))
    tops = {name.split(".")[0] for name in names} - {*OWN} - sys.stdlib_module_names
    found = sorted(DISTRIBUTIONS.get(top, top) for top in tops)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"Python": python} | {f"package {name}": package_version(name) for name in found}


def module_file(name: str) -> str:
    """Find the file of a module of the project.

    Args:
        name: Its full name.

    Returns:
        The file, relative to the project.
    """
    path = _path(name)
    require(path is not None, "module", name, "a module of the project")
    return path.relative_to(PROJECT).as_posix()


def code_digest(tree: ast.Module) -> str:
    """Hash what code computes: comments, docstrings and layout do not count.

    Args:
        tree: Parsed code; it loses its docstrings.

    Returns:
        The hash.
    """
    _remove_docstrings(tree)
    return digest(ast.dump(tree))


def file_digest(path: Path) -> str:
    """Hash a file.

    Args:
        path: The file.

    Returns:
        The hash of its content, or "absent".
    """
    return digest(path.read_bytes()) if path.is_file() else ABSENT


def digest(content: str | bytes) -> str:
    """Hash a content.

    Args:
        content: A text or bytes.

    Returns:
        16 hexadecimal digits.
    """
    content = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(content).hexdigest()[:16]


def _styles(used: Iterable[str]) -> Iterator[str]:
    folders = {(PROJECT / module_file(name)).parent for name in used}
    for folder in sorted(folders):
        yield from (file.relative_to(PROJECT).as_posix() for file in folder.glob("*.mplstyle"))


def _cells(notebook: Path) -> str:
    kept = ("cell_type", "source", "metadata")
    cells = [{name: cell[name] for name in kept} for cell in _read(notebook)["cells"]]
    return json.dumps(cells, sort_keys=True)


def _remove_docstrings(node: ast.stmt | ast.Module) -> None:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
        node.body = node.body[ast.get_docstring(node, clean=False) is not None :]
        for inner in node.body:
            _remove_docstrings(inner)


# Plain JSON: checking it against nbformat's schema takes longer than all the rest.
def _read(notebook: Path) -> dict:
    return read_json(notebook)


# Of an executed page; one that is damaged has none, and so runs again.
def _metadata(executed: Path) -> dict:
    try:
        return _read(executed)["metadata"]
    except (InputError, KeyError, TypeError):
        return {}


def _parse(source: str | bytes, path: Path) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise InputError(f"{path} has a line that is no Python ({error.msg}): {line}") from None


# Of a module or a package.
def _path(name: str) -> Path | None:
    path = PROJECT.joinpath(*name.split("."))
    candidates = path.with_suffix(".py"), path / "__init__.py"
    return next((candidate for candidate in candidates if candidate.is_file()), None)


class _Module(NamedTuple):
    imports: set[str]
    digest: str


@cache
def _module(name: str) -> _Module:
    path = PROJECT / module_file(name)
    tree = _parse(path.read_bytes(), path)
    return _Module(imports(tree), code_digest(tree))


@cache
def _register() -> list[dict]:
    return read_yaml(PROJECT / CLAIMS, "The register of claims")
