"""The recipes of the page "Rerun a page" and of the README, run as they stand there.

They run in a copy of the project that has a few small images and a small grid. What would take long
is given further words; a recipe itself is never edited.

| recipe | what keeps it short |
|---|---|
| a page by papermill | fewer runs, images or steps, in `SHORTER` |
| a grid of training runs | the grid file keeps its name, with the content of `GRID`; one worker |
| a recorded table, the packages of the benchmarks | ``--help`` |
| the paper's settings | ``make --dry-run`` |
| on a cluster | not run: its Python is compiled, its command parsed |
"""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from by_hand import parameters_and_check
from synthetic import dataset
from toy import environment

from liprune_utils import data, sweep
from liprune_utils.files import PROJECT

SHORTER = {  # a command that holds the words on the left is given those on the right
    "papermill notebooks/04_linear_model.ipynb": "-p num_runs 100",
    "papermill notebooks/09_cifar10.ipynb": "-p num_images 32 -p num_test_images 20 "
    "-p batch_size 16 -p num_epochs 2 -p tolerance 0.3 -y 'depths: [8]'",
    "papermill notebooks/13_your_problem.ipynb": "-p num_epochs 1 -p num_seeds 2 -p num_runs 2 "
    "-p num_steps 20",
    "sweep experiments/grids/precision.yml": "--workers 1",
    "experiments.hessian_norm.record": "--help",
    "experiments.convex_is_not_enough.record": "--help",
    "experiments.cifar10.record": "--help",
    "experiments.what_to_keep.record": "--help",
    "experiments.why.record": "--help",
    "benchmarks/hessian_norm.py": "--help",
    "pip install": "--help",
    "make book": "--dry-run",
}
GRID = {
    "depth": 8, "num_images": 32, "num_test_images": 20, "num_epochs": 1, "decay_epochs": [],
    "batch_size": 16,
}  # fmt: skip
PEERS = "curvlinops", "hessian_eigenthings", "pyhessian"  # which a benchmark compares
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FOLLOWED = [
    (BY_HAND := "From the command line"), "Other seeds", "With your own data", "Recorded tables",
    "A grid of training runs", "The paper's settings",
    "The verdict of your run",
]  # fmt: skip
CLUSTER = "On a cluster"
PAGE, README = PROJECT / "book" / "rerun.md", PROJECT / "README.md"


def sections(page: Path) -> dict[str, list[tuple[str, str]]]:
    """For each heading its fenced blocks, as language and text."""
    parts = re.split(r"^##+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {
        title: BLOCK.findall(text) for title, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def texts(title: str, language: str) -> list[str]:
    """A section's blocks in one language."""
    return [text for found, text in sections(PAGE)[title] if found == language]


def copy_project(folder: Path) -> Path:
    """Lay out the project as after `make data`, but with small data and a small grid."""
    apart = shutil.ignore_patterns(
        ".*", "build", "build-*", "data", "reruns", "node_modules", "tests"
    )
    shutil.copytree(PROJECT, folder, ignore=apart)
    (folder / ".venv").symlink_to(sys.prefix)
    for name in PEERS:
        text = "HessianLinearOperator = HessianOperator = lanczos = hessian = None\n"
        (folder / f"{name}.py").write_text(text)
    data._write(folder / "data", dataset(256, 100))
    grid = yaml.safe_load((folder / "experiments" / "grids" / "precision.yml").read_text())
    grid["common"] |= GRID
    grid["blocks"][0]["seed"] = [0]
    (folder / "experiments" / "grids" / "precision.yml").write_text(yaml.safe_dump(grid))
    return folder


class Reader:
    """Someone who types what the page says, each command once."""

    def __init__(self, folder: Path) -> None:
        self.folder = copy_project(folder)
        self.seen: dict[str, subprocess.CompletedProcess] = {}

    def follow(self, title: str, page: Path = PAGE) -> list[subprocess.CompletedProcess]:
        """Run the blocks of a section in their order, its shell line by line."""
        results = []
        for language, text in sections(page)[title]:
            commands = {"bash": text.splitlines(), "python": [text], "yaml": []}[language]
            results += [self.run(language, command) for command in commands]
        return results

    def run(self, language: str, text: str) -> subprocess.CompletedProcess:
        if text not in self.seen:
            command = [sys.executable, "-c", text]
            if language == "bash":
                further = [words for start, words in SHORTER.items() if start in text]
                command = shlex.split(text, comments=True) + shlex.split(" ".join(further))
            self.seen[text] = subprocess.run(
                command, cwd=self.folder, env=environment() | {"PYTHONPATH": str(self.folder)},
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        return self.seen[text]

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.folder / name)


@pytest.fixture(scope="module")
def reader(tmp_path_factory) -> Reader:
    return Reader(tmp_path_factory.mktemp("reader") / "project")


def succeeded(results: list[subprocess.CompletedProcess]) -> list[str]:
    """What commands print that all succeed."""
    assert all(result.returncode == 0 for result in results), [r.stderr[-2000:] for r in results]
    return [result.stdout for result in results]


def test_every_block_of_the_page_is_followed():
    known = {title: blocks for title, blocks in sections(PAGE).items() if blocks}
    assert set(known) == {*FOLLOWED, CLUSTER}
    blocks = [block for found in known.values() for block in found]
    fences = re.findall(r"^ *(?:```|~~~|:::)", PAGE.read_text(), re.MULTILINE)
    assert len(fences) == 2 * len(blocks)
    assert {language for language, _ in blocks} == {"bash", "python", "yaml"}
    assert [title for title, found in known.items() if "yaml" in dict(found)] == [BY_HAND]
    assert all(any(start in text for _, text in blocks) for start in SHORTER)


@pytest.mark.slow
def test_a_page_with_another_value(reader):
    rerun, shown, misspelt = reader.follow(BY_HAND)
    _, names = succeeded([rerun, shown])
    assert all(name in names for name in ("learning_rate", "num_runs", "results_dir"))
    assert set(reader.table("reruns/04_linear_model/curves.csv").num_runs) == {100}
    assert misspelt.returncode != 0
    said = [line for line in misspelt.stderr.splitlines() if line.startswith("InputError: ")]
    assert "no parameter 'lerning_rate': did you mean 'learning_rate'?" in said[-1]


def test_a_file_of_parameters_suits_its_page():
    parameters, check = parameters_and_check("09_cifar10")
    (text,) = texts(BY_HAND, "yaml")
    namespace = {}
    exec(parameters, namespace)
    exec(check, namespace | yaml.safe_load(text))


@pytest.mark.slow
def test_the_readme(reader):
    rerun, shown = reader.follow("Rerun a page with other parameters", README)
    succeeded([rerun, shown])


@pytest.mark.slow
def test_other_seeds(reader):
    reader.follow(BY_HAND)
    *_, compared = succeeded(reader.follow("Other seeds"))
    mean = float(re.search(r"^mean +(\S+)$", compared, re.MULTILINE)[1])
    assert 0.2 < mean < 2  # apart, by chance alone


@pytest.mark.slow
def test_data_of_ones_own(reader):
    succeeded(reader.follow("With your own data"))
    with np.load(reader.folder / "mine.npz") as mine:
        assert (len(mine["x"]), mine["x"].ndim) == (len(mine["y"]), 2)
    assert list((reader.folder / "reruns" / "13_your_problem").glob("*.csv"))


@pytest.mark.slow
def test_recorded_tables_have_their_commands(reader):
    assert all("usage: " in said.lower() for said in succeeded(reader.follow("Recorded tables")))
    for block in texts("Recorded tables", "bash"):
        assert all((PROJECT / name).is_file() for name in re.findall(r"benchmarks/\S+", block))


@pytest.mark.slow
def test_a_grid(reader):
    estimate, done, status = succeeded(reader.follow("A grid of training runs"))
    assert estimate.startswith("2 of 2 runs to do, about ")
    assert done.startswith("All 2 runs are done; ")
    assert status.endswith("2 of 2 runs are done, 2 of them recorded.\n")
    assert len(reader.table("book/results/09_cifar10/precision_own_runs.csv")) == 2


def test_the_cluster_is_written_in_python_and_has_its_command():
    (python,), (command,) = (texts(CLUSTER, language) for language in ("python", "bash"))
    compile(python, PAGE, "exec")
    program, words = command.split("sweep ")
    assert program == ".venv/bin/python -m liprune_utils."
    options = sweep._parse(words.split())
    assert options.scheduler.startswith("tcp://")
    assert (PROJECT / options.grid).is_file()


def test_the_papers_settings(reader):
    (would_run,) = succeeded(reader.follow("The paper's settings"))
    assert "09_cifar10.paper.yml" in would_run
    assert "render --build build-paper\n" in would_run
    assert not (reader.folder / "build-paper").exists()


@pytest.mark.slow
def test_a_verdict_of_ones_own(reader):
    succeeded(reader.follow("The verdict of your run"))
    verdicts = reader.table("reruns/14_verdict/verdicts.csv")
    assert {"executed"} <= set(verdicts.source)
