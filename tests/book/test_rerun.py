"""The recipes of `book/rerun.md` and of the README, taken from there and run.

They run as they stand but for `SHORTER`, which keeps them small and out of the reader's folders.
The cluster's alone are not run, since they need a cluster.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from by_hand import BIN
from test_pages import PARAMETERS, defaults
from toy import environment

from liprune_utils.records import PROJECT

CLUSTER = "On a cluster"
SMALL = {
    "04_linear_model": {"num_runs": 200},
    "08_cifar10": {
        "depths": [8], "keep_fractions": [0.5], "num_images": 128, "num_test_images": 20,
        "batch_size": 32, "num_epochs": 2, "num_seeds": 2,
    },
    "11_verdict": {},
    "12_your_problem": {"num_seeds": 2, "num_epochs": 1, "num_steps": 20, "num_runs": 5},
}  # fmt: skip
GRID = """
folder: {here}/tables
name: precision
common: {{depth: 8, num_images: 64, num_test_images: 20, batch_size: 16, num_epochs: 1}}
blocks:
  - method: [none]
    seed: [0, 1]
"""
SHORTER = (  # what a recipe says, what is run
    (
        r"papermill (notebooks/(\w+)\.ipynb) (\w+\.ipynb)",
        r"papermill \1 {here}/\3 -f {here}/\2.yml",
    ),
    (r"grids/precision\.yml", "{here}/grid.yml --runs {here}/runs"),
    (r"(python -m liprune_utils\.(?:hessian_study|dynamics))$", r"\1 --help"),  # hours
    (r"\S+pip install -r (\S+)", r"test -s \1"),
    (r"python (benchmarks/\w+\.py)", r"python -m py_compile \1"),  # needs what pip would install
    (r"make book", "make --dry-run VENV={bin}/.. book"),
    (r"\breruns/", "{here}/reruns/"),
    (r"\bmine\.npz", "{here}/mine.npz"),
    (r"\.venv/bin", "{bin}"),
)


def blocks(page: str) -> dict[str, list[tuple[str, str]]]:
    """For each heading of a page its blocks of commands, code and settings."""
    parts = re.split(r"^#+ (.+)$", (PROJECT / page).read_text(), flags=re.MULTILINE)[1:]
    fenced = re.compile(r"^```(bash|python|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    found = {
        title: fenced.findall(text) for title, text in zip(parts[::2], parts[1::2], strict=True)
    }
    return {title: recipes for title, recipes in found.items() if recipes}


RERUN = blocks("book/rerun.md")
RECIPES = {title: recipes for title, recipes in RERUN.items() if title != CLUSTER}
RECIPES |= {"README": blocks("README.md")["Rerun a page with other parameters"]}


@pytest.fixture
def here(tmp_path) -> Path:
    """A folder with the small settings of each page and a small grid."""
    for page, values in SMALL.items():
        settings = values | {"results_dir": str(tmp_path / "reruns" / page)}
        (tmp_path / f"{page}.yml").write_text(yaml.safe_dump(settings))
    (tmp_path / "grid.yml").write_text(GRID.format(here=tmp_path))
    return tmp_path


def run(kind: str, text: str, here: Path) -> subprocess.CompletedProcess:
    """Run a recipe, shortened, where its reader would."""
    for said, done in SHORTER:
        done = done.replace("{here}", str(here)).replace("{bin}", str(BIN))
        text = re.sub(said, done, text, flags=re.MULTILINE)
    command = ["bash", "-euc", text] if kind == "bash" else [sys.executable, "-c", text]
    return subprocess.run(
        command, cwd=PROJECT, env=environment(), capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("title", RECIPES)
def test_the_recipes_of_a_section_run(title, here):
    for kind, text in RECIPES[title]:
        if kind == "yaml":
            page = "08_cifar10"
            PARAMETERS[page](**(defaults(page) | yaml.safe_load(text)))
            continue
        result = run(kind, text, here)
        if "lerning_rate" in text:
            assert result.returncode != 0
            assert "did you mean 'learning_rate'?" in result.stderr
        else:
            assert result.returncode == 0, result.stderr
        if "seed-" in text and kind == "python":
            assert float(result.stdout) > 0


def test_the_recipes_for_a_cluster_are_python_and_an_option_of_the_sweep():
    (_, code), (_, command) = RERUN[CLUSTER]
    compile(code, "rerun.md", "exec")
    assert "liprune_utils.sweep grids/precision.yml --scheduler tcp://" in command


def test_every_rule_of_shortening_is_used():
    text = "\n".join(block for recipes in RECIPES.values() for _, block in recipes)
    for said, _ in SHORTER:
        assert re.search(said, text, flags=re.MULTILINE), said
