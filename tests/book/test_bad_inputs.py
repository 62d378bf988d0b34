"""Whatever a command cannot use is refused: in one sentence, and nothing comes or goes.

A row of a table is a command, what it is given, and words that must be said.
``{here}`` is a folder that holds `FILES`.
"""

import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from refusals import assert_sentence, filled, nothing_comes_or_goes

from experiments.why import record
from liprune_utils import data, sweep
from liprune_utils.files import PROJECT
from liprune_utils.grid import MEASURED, read_grid

GRID = """
folder: {here}/tables
name: mine
common: {depth: 8, num_images: 256, num_test_images: 20, batch_size: 16, num_epochs: 3}
blocks:
  - method: [random]
    learning_rate: [0.01]
    keep_fraction: [0.5]
    prune_epoch: [2]
    seed: [0, 1]
"""
FILES = {
    "results/curves.csv": "of an earlier run",
    "results/mine_runs.csv": "method,seed\nrandom,0\n",
    "build/notebooks/04_linear_model.ipynb": "executed",
    "build/results/04_linear_model/curves.csv": "of the book",
    "mine.yml": GRID,
    "list.yml": "- keep_fraction: 0.2",
    "list.ipynb": "[]",
    "broken.yml": "keep_fraction: [0.2",
    "zero.yml": "keep_fraction: 0",
}


@pytest.fixture
def here(tmp_path) -> Path:
    return filled(tmp_path, FILES)


# A grid file is `GRID` with one text in another's place.
GRIDS = [
    ("folder: ", "foldr: ", "has no parameter 'foldr': did you mean 'folder'?"),
    ("name: mine", "name: ../mine", "name is '../mine'; expected"),
    ("name: mine", "name: mine\nname: yours", "mine.yml cannot be read: found 'name' twice in"),
    ("blocks:", "block:", "has no parameter 'block': did you mean 'blocks'?"),
    ("folder: ", "folder: 7 #", "folder is 7; expected"),
    ("/tables", "/results/curves.csv", "results/curves.csv'; expected a folder that can be writ"),
    ("folder: ", "folder: /proc/nowhere #", "folder is '/proc/nowhere'; expected a folder that"),
    ("/tables", "/results", "mine_runs.csv is None; expected that of a run of this grid"),
    ("depth: 8", "depth: 9", "depth is 9; expected 6n + 2, such as 14 or 20"),
    ("depth: 8", "dept: 8", "has no parameter 'dept': did you mean 'depth'?"),
    ("size: 16", "size: 300", "batch_size is 300; expected from 2 to num_images, 256"),
    ("[random]", "random", "method is 'random'; expected a list of values"),
    ("[random]", "[radnom]", "method is 'radnom'; expected one of "),
    ("[random]", "[none]", "expected (1.0, 1) where the method is none"),
    ("[0.01]", "[1e-2]", "learning_rate is '1e-2'; expected"),
    ("[0.5]", "[50]", "keep_fraction is 50; expected"),
    ("[0.5]", "[.nan]", "keep_fraction is nan; expected"),
    ("[2]", "[4]", "prune_epoch is 4; expected an epoch from 1 to num_epochs, 3"),
    ("[0, 1]", "[0, 0]", "seed is [0, 0]; expected a list of values, each once"),
    ("[0, 1]", "[]", "seed is []; expected a list of values, each once"),
    ("[0, 1]", "[0, 1]\n    seed: [2]", "mine.yml cannot be read: found 'seed' twice in"),
    ("[0, 1]", "[0, 1", "cannot be read: while parsing a flow sequence"),
    (GRID, "- method: [random]", "is [{'method': ['random']}]; expected a mapping of"),
    (GRID, "", "is None; expected a mapping of folder, name, common, blocks"),
]
SWEEP = "liprune_utils.sweep {here}/mine.yml --runs {here}/runs"
EXECUTE = "liprune_utils.book execute notebooks/04_linear_model.ipynb --build {here}/build"
FILE = "{here}/results/curves.csv"
COMMANDS = [
    ("liprune_utils.sweep {here}/none.yml", "none.yml cannot be read: No such file or directory"),
    ("liprune_utils.sweep {here}", "cannot be read: Is a directory."),
    (f"{SWEEP} --status --runs {FILE}", "results/curves.csv'; expected a folder"),
    (f"{SWEEP} --runs {FILE}", "--runs is '"),
    (f"{SWEEP} --workers 0", "--workers is 0; expected at least 1"),
    (f"{SWEEP} --workers -1", "--workers is -1; expected at least 1"),
    (f"{SWEEP} --workers two", "argument --workers: invalid int value: 'two'"),
    (f"{SWEEP} --sheduler tcp://127.0.0.1:9", "unrecognized arguments: --sheduler"),
    (f"{SWEEP} --scheduler tcp://127.0.0.1:9", "expected the address of a running scheduler, but"),
    (f"{SWEEP} --scheduler a://b", "--scheduler is 'a://b'; expected the address of a running"),
    ("liprune_utils.book exceute", "invalid choice: 'exceute'"),  # codespell:ignore exceute
    ("liprune_utils.book execute notebooks/04_linear_model.py --build {here}/build",
     "notebook is 'notebooks/04_linear_model.py'; expected a page such as notebooks/04_linear_mo"),
    ("liprune_utils.book execute {here}/04_linear_model.ipynb --build {here}/build",
     "04_linear_model.ipynb'; expected a page such as"),
    (f"{EXECUTE} --parameters {{here}}/none.yml", "cannot be read: No such file or directory."),
    (f"{EXECUTE} --parameters {{here}}/list.yml", "expected a mapping of parameters to values"),
    (f"{EXECUTE} --parameters {{here}}/broken.yml", "cannot be read: while parsing a flow seq"),
    (f"{EXECUTE} --build {FILE}", "--build is '"),
    ("liprune_utils.book stale --profile", "expected one argument"),
    ("liprune_utils.book status", "the following arguments are required: --build"),
    ("liprune_utils.book.address --url x", "unrecognized arguments: --url x"),
    ("liprune_utils.book render --build {here}/none", "expected a folder with executed pages"),
    ("liprune_utils.book page 99 --build {here}/build", "PAGE is '99'; expected the number or the"),
    ("liprune_utils.book view {here}/list.ipynb --build {here}/build", "list.ipynb is no notebook"),
    ("liprune_utils.book view {here}/list.yml --build {here}/build", "expected an executed noteb"),
    ("liprune_utils.book pdf --build {here}/none", "expected a folder with a book that `make"),
    ("experiments.grids.bring_over {here}/none", "none'; expected a copy of the project, with exp"),
    ("experiments.verdict.headline --build {here}/none", "curves.csv is missing or damaged"),
    (f"experiments.why.record --work {FILE}", "--work is '"),
    ("experiments.why.record --processes 0", "--processes is 0; expected at least 1"),
    (f"experiments.hessian_norm.record --work {FILE}", "--work is '"),
    (f"experiments.hessian_norm.record_steps --work {FILE}", "--work is '"),
    (f"experiments.convex_is_not_enough.record --work {FILE}", "--work is '"),
    ("experiments.cifar10.record --works", "unrecognized arguments: --works"),
    ("experiments.what_to_keep.record --works", "unrecognized arguments: --works"),
    ("benchmarks/linear_model.py --num-runs 4", "--num-runs is 4; expected at least 5"),
    ("benchmarks/linear_model.py --num-loops 0", "--num-loops is 0; expected at least 1"),
    ("benchmarks/designs.py --kept 50", "--kept is 50; expected more than --dim, 50"),
    ("benchmarks/hessian_product.py --depth 9", "depth is 9; expected 6n + 2"),
    ("benchmarks/hessian_product.py --batch-size 0", "--batch-size is 0; expected at least 2"),
    ("benchmarks/hessian_product.py --rounds 0", "--rounds is 0; expected at least 1"),
    ("benchmarks/training.py --images 60000", "--images is 60000; expected from a batch of 128"),
    ("benchmarks/training.py --turns 0", "--turns is 0; expected at least 1"),
    ("benchmarks/gpu.py --grids {here}/none.yml", "none.yml cannot be read: No such file or dire"),
    ("benchmarks/gpu.py --processes 4 0", "--processes is 0; expected at least 1"),
    ("benchmarks/gpu.py --archive {here}/none.tar", "none.tar'; expected a file"),
    ("benchmarks/hessian_norm.py --batches 0", "--batches is 0; expected from 1 to 391"),
    ("benchmarks/hessian_norm.py --peer-batches 31", "expected from 1 to --batches, 30"),
    ("benchmarks/hessian_norm.py --epochs 0", "--epochs is 0; expected at least 1"),
]  # fmt: skip
TYPED = [
    ("liprune_utils.data --folder README.md", "README.md'; expected a folder, or the name of one"),
    ("liprune_utils.data --folder README.md/x", "README.md/x'; expected a folder, or the name of"),
    ("liprune_utils.data --floder x", "unrecognized arguments: --floder x"),
    ("liprune_utils.sweep {here}/none.yml", "none.yml cannot be read: No such file or directory"),
    ("liprune_utils.book execute notebooks/04_linear_model.ipynb --build {here}/new"
     " --parameters {here}/zero.yml",
     "notebooks/04_linear_model.ipynb: keep_fraction is 0; expected a number above 0, at most 1"),
    ("benchmarks/linear_model.py --num-runs 4", "--num-runs is 4; expected at least 5"),
    ("benchmarks/selection.py --batches 1", "--batches is 1; expected from 2 to 390"),
]  # fmt: skip
# Files that a command reads and finds damaged; a run is done when it has `RUN`.
RUN = {
    "curve.csv": "epoch,test_error,train_loss,num_updates\n1,2,3,4",
    "kept.csv": "image\n0",
    "done.json": json.dumps(dict.fromkeys(MEASURED, 1) | {"device": "cpu", "threads": 1}),
}
READY, PIXELS, LABELS = "data/ready.json", "data/pixels.npy", "data/labels.npy"
DAMAGES = [
    (SWEEP, READY, "{", "ready.json is damaged: delete it and run `make data`"),
    (f"{SWEEP} --status", PIXELS, "cut", "pixels.npy is damaged (SHA-256 expected"),
    ("experiments.why.record --work {here}/work", LABELS, "", "labels.npy is damaged (SHA-256 exp"),
    ("experiments.why.record --work {here}/work", READY, None, "holds no prepared data: run `make"),
    (
        "experiments.hessian_norm.record --work {here}/work",
        PIXELS,
        None,
        "pixels.npy is damaged (SHA",
    ),
    ("benchmarks/training.py", READY, '{"source": "mine"}', "ready.json is damaged: delete it"),
    (SWEEP, "{run}/curve.csv", "", "curve.csv is missing or damaged; expected a table"),
    (SWEEP, "{run}/done.json", '{"device": ', "done.json is damaged; expected JSON"),
    (SWEEP, "{run}/kept.csv", None, "kept.csv is missing or damaged; expected a table"),
]


def assert_refused(status: int, said: str, words: str) -> None:
    """One line says it; where the words themselves are at fault, it follows how to use them."""
    assert status == (2 if said.startswith("usage: ") else 1), said
    lines = said.splitlines()
    assert words in lines[-1]
    assert "error: " in lines[-1]
    if status == 1:
        assert_sentence(said.removesuffix("\n"), words)
        assert said.startswith("error: ")
    assert "Traceback" not in said


@pytest.fixture
def small_data(here, monkeypatch) -> Iterator[None]:
    """Three training images and two for tests, in the place of the data."""
    pixels = np.zeros((5, 32, 32, 3), dtype=np.uint8)
    data._write(here / "data", data._split(pixels, np.arange(5), 3, data.CIFAR10, "abcde"))
    monkeypatch.setattr(data, "in_project", lambda folder: here / folder)
    for cached in (sweep._dataset, record.workspace):
        cached.cache_clear()
    yield
    for cached in (sweep._dataset, record.workspace):
        cached.cache_clear()


@pytest.fixture
def run_here(here, small_data, monkeypatch, capsys):
    """Run a command as it would be typed, but in this process, which has all that it imports."""
    monkeypatch.setattr(sweep, "CONNECT_SECONDS", 0.5)
    monkeypatch.chdir(PROJECT)
    monkeypatch.syspath_prepend(PROJECT / "benchmarks")  # which import one another
    for name in ("curvlinops", "hessian_eigenthings", "pyhessian"):  # which a benchmark compares
        peer = ModuleType(name)
        peer.HessianLinearOperator = peer.HessianOperator = peer.lanczos = peer.hessian = None
        monkeypatch.setitem(sys.modules, name, peer)

    def run(command: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", command.replace("{here}", str(here)).split())
        start = runpy.run_path if sys.argv[0].endswith(".py") else runpy.run_module
        with nothing_comes_or_goes(here), pytest.raises(SystemExit) as end:
            start(sys.argv[0], run_name="__main__")
        output, errors = capsys.readouterr()
        assert output == ""
        return end.value.code, errors

    return run


runs_again = pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")


@runs_again
@pytest.mark.parametrize(("text", "other", "words"), GRIDS)
def test_a_sweep_refuses_a_grid(here, run_here, text, other, words):
    path = here / "mine.yml"
    text, found = text.replace("{here}", str(here)), path.read_text()
    assert found.count(text) == 1
    path.write_text(found.replace(text, other))
    assert_refused(*run_here(SWEEP), words)


@runs_again
@pytest.mark.parametrize(("command", "words"), COMMANDS)
def test_a_command_refuses(run_here, command, words):
    assert_refused(*run_here(command), words)


@pytest.mark.parametrize(("command", "words"), TYPED)
def test_a_command_of_its_own_process_refuses(here, command, words):
    first, *rest = command.replace("{here}", str(here)).split()
    program = [first] if first.endswith(".py") else ["-m", first]
    with nothing_comes_or_goes(here):
        result = subprocess.run(
            [sys.executable, *program, *rest],
            cwd=PROJECT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert_refused(result.returncode, result.stderr, words)


@runs_again
@pytest.mark.parametrize(("command", "name", "content", "words"), DAMAGES)
def test_a_command_names_what_is_damaged(here, run_here, command, name, content, words):
    workspace = sweep.open_workspace(here / "runs")
    for run in map(workspace.folder, read_grid(here / "mine.yml").runs):
        run.mkdir(parents=True)
        for file, text in RUN.items():
            (run / file).write_text(text)
    sweep._dataset.cache_clear()
    path = here / name.replace("{run}", str(run))
    path.unlink() if content is None else path.write_text(content)
    status, said = run_here(command)
    assert_refused(status, said, words)
    assert str(path) in said or "no prepared data" in said


def test_every_command_has_its_row():
    started = {command.split()[0] for command, *_ in [*COMMANDS, *TYPED]}
    texts = {
        path: path.read_text()
        for folder in ("liprune_utils", "experiments", "benchmarks")
        for path in (PROJECT / folder).rglob("*.py")
    }
    begins = 'if __name__ == "__main__"'
    assert len(started) == sum(begins in text or p.stem == "__main__" for p, text in texts.items())
