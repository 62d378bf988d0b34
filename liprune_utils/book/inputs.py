"""What a page is made of, by content: its cells, parameters, code, claims, records, data, packages.

A page is stale if one of these has another hash than when it ran, or if one of its tables has
changed since. The time of a file does not count.
"""

import ast
import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from liprune_utils import FACE
from liprune_utils.book.register import CLAIMS, load_register
from liprune_utils.checks import InputError
from liprune_utils.files import PROJECT, package_version, read_json

ABSENT = "absent"
# The distributions whose modules have another name.
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "PyYAML"}


def pages() -> list[Path]:
    """List the pages in order; the last one judges the results of the others."""
    return sorted((PROJECT / "notebooks").glob("[!.]*.ipynb"))


def executed_pages(build: Path) -> list[Path]:
    """List the executed pages of a build."""
    paths = [build / "notebooks" / page.name for page in pages()]
    return [path for path in paths if path.exists()]


def metadata(executed: Path) -> dict:
    """Read what the build added to an executed page; nothing if the page is damaged."""
    try:
        facts = read_json(executed)["metadata"]
        return facts["liprune"] | {"papermill": facts.get("papermill", {})}
    except (InputError, KeyError, TypeError):
        return {}


def remove_former_pages(build: Path) -> None:
    """Remove what the build wrote for pages that have been renamed or deleted since."""
    names = {page.name for page in pages()}
    for path in (build / "notebooks").glob("[!.]*.ipynb"):
        if path.name not in names and metadata(path):
            shutil.rmtree(build / "results" / path.stem, ignore_errors=True)
            path.unlink(missing_ok=True)


def stale_pages(build: Path, profile: str) -> dict[str, list[str]]:
    """Find the pages that would run, each with the reasons."""
    folder = PROJECT / "notebooks" / "params"
    stale: dict[str, list[str]] = {}
    for page in pages():
        parameters = folder / f"{page.stem}.{profile}.yml"
        reasons = [f"{name} runs" for name in stale] if _is_last(page) else []
        reasons += reasons_to_run(page, build, parameters if parameters.exists() else None)
        if reasons:
            stale[page.stem] = reasons
    return stale


def reasons_to_run(notebook: Path, build: Path, parameters: Path | None) -> list[str]:
    """Say what a page is made of that is not as it was when the page ran."""
    executed = build / "notebooks" / notebook.name
    if not executed.exists():
        return ["it has not run"]
    before = metadata(executed).get("inputs")
    if before is None:
        return ["its run has not recorded what it used"]
    return changes(before, page_inputs(notebook, build, parameters) | results(build, notebook.stem))


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Say what is not as it was."""
    new = [f"{name} is new" for name in now if name not in before]
    gone = [f"{name} is gone" for name in before if name not in now]
    other = [f"{name} changed" for name in now if name in before and before[name] != now[name]]
    return new + gone + other


def page_inputs(notebook: Path, build: Path, parameters: Path | None) -> dict[str, str]:
    """Hash everything that a page is made of."""
    code = _page_code(notebook)
    modules = _used_modules(imports(code))
    files = [*_recorded_files(notebook.stem, modules), *_files_beside(modules)]
    inputs = {f"notebooks/{notebook.name}": digest(_cells(notebook))}
    inputs |= {_module(name).file: _module(name).digest for name in modules}
    if parameters:
        inputs[f"parameters {parameters.name}"] = file_digest(parameters)
    if "liprune_utils.data" in modules:
        files.append("data/ready.json")
    if _is_last(notebook):
        files += [CLAIMS, "book/errata.md"]
        inputs |= _other_runs(notebook, build)
    elif "liprune_utils.book.register" in modules:
        inputs[CLAIMS] = digest(_own_claims(notebook.stem))
    inputs |= {file: file_digest(PROJECT / file) for file in files}
    return inputs | _packages(code, modules)


def results(build: Path, page: str) -> dict[str, str]:
    """Hash the files that a page wrote."""
    folder = build / "results" / page
    files = sorted(file for file in folder.rglob("[!.]*") if file.is_file())
    return {f"its result {file.relative_to(folder)}": file_digest(file) for file in files}


def _page_code(notebook: Path) -> ast.Module:
    """Parse the code cells of a page."""
    cells = [cell for cell in read_json(notebook)["cells"] if cell["cell_type"] == "code"]
    lines = [line for cell in cells for line in [*"".join(cell["source"]).splitlines(), ""]]
    return _parse("\n".join(line for line in lines if not line.startswith(("%", "!"))), notebook)


def imports(tree: ast.AST) -> set[str]:
    """List what code imports, of modules and of what is in them."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
            if "liprune_utils" in {alias.name for alias in node.names}:  # it imports them later
                names |= {f"liprune_utils.{module}" for module in FACE.values()}
    return names


def _used_modules(names: Iterable[str]) -> list[str]:
    """Follow imports through the project."""
    used, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        package = name.rpartition(".")[0]
        waiting += [package] if package else []
        if name not in used and (module := _module(name)):
            used.add(name)
            waiting += module.imports
    return sorted(used)


def _code_digest(tree: ast.Module) -> str:
    """Hash what code computes: comments, docstrings and layout do not count."""
    for node in ast.walk(tree):
        is_documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if is_documented and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return digest(ast.dump(tree))


def file_digest(path: Path) -> str:
    """Hash a file."""
    return digest(path.read_bytes()) if path.is_file() else ABSENT


def digest(content: str | bytes) -> str:
    """Hash a content."""
    content = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(content).hexdigest()[:16]


class _Module(NamedTuple):
    file: str
    imports: set[str]
    digest: str


@cache
def _module(name: str) -> _Module | None:
    """Read a module of the project; None if there is none of that name."""
    path = PROJECT.joinpath(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if name.startswith(("liprune_utils", "experiments")) and file.is_file():
            tree = _parse(file.read_bytes(), file)
            return _Module(_relative(file), imports(tree), _code_digest(tree))
    return None


def _parse(source: str | bytes, path: Path) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise InputError(f"{path} has a line that is no Python ({error.msg}): {line}") from None


def _relative(file: Path) -> str:
    return file.relative_to(PROJECT).as_posix()


def _is_last(notebook: Path) -> bool:
    return notebook.name == pages()[-1].name


def _cells(notebook: Path) -> str:
    kept = ("cell_type", "source", "metadata")
    cells = [{name: cell[name] for name in kept} for cell in read_json(notebook)["cells"]]
    return json.dumps(cells, sort_keys=True)


def _own_claims(page: str) -> str:
    claims = [claim for claim in load_register().values() if claim["page"] == page]
    return json.dumps(claims, sort_keys=True, default=str)


def _other_runs(last: Path, build: Path) -> dict[str, str]:
    """Tell the runs apart whose results the last page reads."""
    others = [path for path in executed_pages(build) if path.name != last.name]
    runs = {path.stem: metadata(path).get("papermill", {}) for path in others}
    return {f"the run of {name}": str(run.get("start_time")) for name, run in runs.items()}


def _recorded_files(page: str, modules: Iterable[str]) -> list[str]:
    """List the recorded results of a page and of the experiments that it imports."""
    experiments = {name.split(".")[1] for name in modules if name.startswith("experiments.")}
    folders = sorted((PROJECT / "book" / "results").glob("[!.]*"))
    own = [folder for folder in folders if folder.name == page or folder.name[3:] in experiments]
    files = [file for folder in own for file in sorted(folder.rglob("[!.]*"))]
    return [_relative(file) for file in files if file.is_file()]


def _files_beside(modules: Iterable[str]) -> list[str]:
    """List the styles and templates in the folders of modules."""
    folders = sorted({(PROJECT / _module(name).file).parent for name in modules})
    files = [file for folder in folders for file in sorted(folder.iterdir())]
    return [_relative(file) for file in files if file.suffix in (".html", ".mplstyle")]


def _packages(code: ast.Module, modules: Iterable[str]) -> dict[str, str]:
    """Look up the versions of the packages that a page and its modules import."""
    names = imports(code).union(*(_module(name).imports for name in modules))
    tops = {name.split(".")[0] for name in names if not _module(name.split(".")[0])}
    packages = sorted(DISTRIBUTIONS.get(top, top) for top in tops - sys.stdlib_module_names)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"Python": python} | {f"package {name}": package_version(name) for name in packages}
