"""Each use states the packages that it imports, and one lock has the exact version of each."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from liprune_utils.files import PROJECT

TABLES = tomllib.loads((PROJECT / "pyproject.toml").read_text())
LOCK = (PROJECT / "requirements.txt").read_text()
PINS = [Requirement(line) for line in LOCK.splitlines() if line and line[0] != "#"]
LIBRARY = [Requirement(text) for text in TABLES["project"]["dependencies"]]
BOOK, TEST = (
    [Requirement(text) for text in TABLES["project"]["optional-dependencies"][use]]
    for use in ("book", "test")
)
USES = {
    "library": (["liprune_utils/*.py"], LIBRARY),
    "book": (
        ["liprune_utils/book/*.py", "experiments/**/*.py", "notebooks/*.py"],
        LIBRARY + BOOK,
    ),
    "test": (["tests/**/*.py"], LIBRARY + BOOK + TEST),
}
# What comes with its parent in one version.
TOGETHER = {"dask": "distributed"}


def imported(path: Path) -> set[str]:
    """The top-level modules that a file imports, whether at once or later."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    whole = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    parts = [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {name.split(".")[0] for name in whole + parts} - sys.stdlib_module_names


@pytest.mark.parametrize("use", USES)
def test_a_use_states_what_it_imports(use):
    patterns, stated = USES[use]
    files = [path for pattern in patterns for path in PROJECT.glob(pattern)]
    known = packages_distributions()  # the modules of the project and of its tests are of none
    names = {known[name][0] for path in files for name in imported(path) if name in known}
    needed = {TOGETHER.get(canonicalize_name(name), canonicalize_name(name)) for name in names}
    own = canonicalize_name(TABLES["project"]["name"])
    assert files
    assert needed - {own} <= {canonicalize_name(it.name) for it in stated}


def test_what_is_stated_is_locked_in_a_version_that_it_allows():
    locked = {canonicalize_name(pin.name): pin for pin in PINS}
    for requirement in LIBRARY + BOOK + TEST:
        pin = locked[canonicalize_name(requirement.name)]
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert requirement.specifier.contains(exact.version), requirement


def test_what_is_installed_is_what_is_locked():
    """A torch from an index of one's own, such as 2.14.1+cpu, is the same version."""
    found = {pin: version(pin.name) for pin in PINS if not pin.marker or pin.marker.evaluate()}
    assert {str(pin) for pin in found if not pin.specifier.contains(found[pin])} == set()


def test_the_lock_asks_for_no_cuda_and_no_host():
    assert not [pin for pin in PINS if re.match("nvidia|cuda|triton", pin.name)]
    assert "://" not in LOCK
    assert "--" not in LOCK


def test_contributors_are_told_the_command_that_made_the_lock():
    command = re.search(r"^#    (.*)$", LOCK, flags=re.MULTILINE).group(1)
    assert command == TABLES["tool"]["uv"]["pip"]["custom-compile-command"]
    assert f"`{command}`" in (PROJECT / "CONTRIBUTING.md").read_text()


# Run as a program: modules of no other distributions are found.
ALONE = """
import runpy, sys
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions
allowed, known = set(sys.argv.pop(2).split()), packages_distributions()
find_spec = PathFinder.find_spec
def find_allowed(name, *rest):
    of = {one.lower().replace("_", "-") for one in known.get(name.split(".")[0], [])}
    return find_spec(name, *rest) if not of or of & allowed else None
PathFinder.find_spec = find_allowed
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


def closure(names: list[str]) -> set[str]:
    """These distributions and all that they need here."""
    found, new = set(), {canonicalize_name(name) for name in names}
    while new:
        found |= new
        needed = [Requirement(text) for name in new for text in requires(name) or []]
        new = {
            canonicalize_name(it.name)
            for it in needed
            if not it.marker or it.marker.evaluate({"extra": ""})
        } - found
    return found


def examples_with(allowed: set[str]) -> subprocess.CompletedProcess:
    script = PROJECT / "tests" / "library" / "examples.py"
    command = [sys.executable, "-c", ALONE, script, " ".join(allowed)]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_library_alone_passes_its_examples():
    """With its own dependencies; the weekly workflow installs it and no more."""
    own = closure([requirement.name for requirement in LIBRARY])
    assert "papermill" not in own
    own |= {canonicalize_name(TABLES["project"]["name"]), "pip", "setuptools"}
    result = examples_with(own)
    assert result.returncode == 0, result.stdout + result.stderr
    assert int(result.stdout.split()[0]) > 20
    assert "No module named 'filelock'" in examples_with(own - {"filelock"}).stderr
