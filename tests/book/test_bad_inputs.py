"""Whatever a page or a command cannot use is refused: in one sentence, and nothing comes or goes.

A row of a table is a page or a command, what it is given, and words that must be said.
``{here}`` is a folder that holds `FILES`.
"""

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import nbformat
import numpy as np
import pytest
import yaml
from by_hand import PAGES, parameters_and_check, rerun

from experiments.why import record
from liprune_utils import data, sweep
from liprune_utils.book.register import Claim
from liprune_utils.checks import InputError
from liprune_utils.files import PROJECT
from liprune_utils.grid import MEASURED, read_grid

CLAIM = json.dumps([asdict(Claim("theorem-1", 1, 1, 1, 9, 1.0, "executed", "holds", "So."))])
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
    "broken.yml": "keep_fraction: [0.2",
    "zero.yml": "keep_fraction: 0",
    "cut/04_linear_model/claims.json": CLAIM[:-9],
    "foreign/04_linear_model/claims.json": '[{"id": "theorem-1"}]',
    "twice/01_importance_sampling/claims.json": CLAIM,
    "twice/mine/claims.json": CLAIM,
    "alone/01_importance_sampling/claims.json": CLAIM,
}


@pytest.fixture
def here(tmp_path) -> Path:
    """A folder as it was before."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text.replace("{here}", str(tmp_path)))
    return tmp_path


def files(folder: Path) -> dict[Path, tuple[int, int]]:
    """When each file was written and its size; a lock holds nothing."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in found}


@contextmanager
def nothing_comes_or_goes(folder: Path) -> Iterator[None]:
    kept = (folder, PROJECT / "book" / "results")
    before = [files(place) for place in kept]
    yield
    assert [files(place) for place in kept] == before


def assert_sentence(said: str, words: str) -> None:
    assert words in said
    assert re.fullmatch(r"[^\n]+[.?]", said)


# Pages: values that the check of a page refuses, as YAML, and what is said of them where it is not
# the value given. Tests of the pages themselves try the ends of every range.
REFUSED = {
    "01_importance_sampling": {
        "num_problem: 60": "did you mean 'num_problems'?",
        "num_problems: 1e3": "", "noise_sd: 0": "", "spread: .inf": "", "seed: -1": "",
    },
    "02_stochastic_pruning": {
        "noise: 0.2": "no parameter 'noise': did you mean 'noise_sd'?", "spread: [0.5]": "",
    },
    "03_liprune": {
        "slope: 0.0": "", "high: 8.1": "", "high: .nan": "", "{low: 12.0, high: 8.0}": "",
        "low: 12.0": "high is 12.0",
    },
    "04_linear_model": {
        "learning_rate: fast": "", "learning_rate: 0,02": "", "keep_fraction: 0": "",
        "keep_fraction: 1.5": "", "keep_fraction: .nan": "", "batch_size: 10.0": "",
        "batch_size: 201": "from 1 to the 200 points that keep_fraction 0.2 keeps",
        "keep_fraction: 0.001": "batch_size is 10; expected from 1 to the 1 points",
        "num_runs: 10_000_000": "", "results_dir: ''": "", "results_dir: 4": "",
        "slope: 0.0": "", "slope: .inf": "",
    },
    "05_what_accelerates": {
        "num_problems: true": "", "slope: 1000.0": "",
        "keep_fraction: 0.2": "no parameter 'keep_fraction': known are",
    },
    "06_convex_is_not_enough": {"num_problems: 9": "", "slope: 2": "no parameter 'slope'"},
    "07_sine_model": {"keep_fraction: 0.001": "", "start: 25": "", "start:": ""},
    "08_hessian_norm": {
        "depth: 14000": "", "depth: 9": "", "probe_size: 200": "", "num_chunks: 1": "",
        "num_images: 1281": "does not leave a last batch of one",
        "seed: 18446744073709551616": "",
    },
    "09_cifar10": {
        "depths: 14": "", "depths: []": "", "depths: [14, 15]": "depth is 15",
        "keep_fractions: [0.2, 0.2]": "", "keep_fractions: [20.0, 50.0]": " is 20.0; expected",
        "learning_rates: [.nan]": "nan", "learning_rates: [1e-2]": "",
        "prune_epochs: [4]": " is 4; expected an epoch from 1 to num_epochs, 3",
        "prune_epochs: []": "", "decay_epochs: [2, 2]": "", "decay_epochs: [80, 0]": "0",
        "num_seeds: 1": "", "batch_size: 2000": "", "momentum: 1.0": "", "weight_decay: .inf": "",
        "num_images: 1025": "does not leave a last batch of one beside batches of 128",
        "augment: 'yes'": "", "augment: 1": "", "precision: float16": "",
    },
    "10_other_scores": {
        "batch_size: 256": "", "tolerance: 3%": "", "seed: 9223372036854775808": "",
        "{num_images: 4, batch_size: 2}": "a multiple of the batch size 2, from 6",
    },
    "11_why": {
        "prune_epoch: 1": "", "batch_size: 1000": "", "slope: 0.0": "",
        "keep_fraction: 0.1": "num_images is 640; expected images for at least two kept",
    },
    "13_your_problem": {
        "scores: [hesian, random]": "hesian", "scores: [hessian]": "", "scores: random": "",
        "num_runs: 2.5": "", "step_size: 3": "", "classes_file: 7": "",
    },
    "14_verdict": {
        "records_dir: README.md": "", "records_dir: [a, b]": "",
        "records_dir: '{here}/cut'": "claims.json is damaged; expected the claims of a page",
        "records_dir: '{here}/foreign'": "claims.json is damaged; expected the claims of a page",
        "records_dir: '{here}/twice'": "each claim once, but there are two of theorem-1",
        "records_dir: '{here}/alone'": "expected results of page 04 too, in 04_linear_model",
    },
}  # fmt: skip
CHECKED = [(page, *row) for page, rows in REFUSED.items() for row in rows.items()]


@pytest.mark.parametrize(("page", "given", "words"), CHECKED)
def test_the_check_of_a_page_refuses(here, page, given, words):
    parameters, check = parameters_and_check(page)
    namespace = {}
    exec(parameters, namespace)
    values = yaml.safe_load(given.replace("{here}", str(here)))
    with nothing_comes_or_goes(here), pytest.raises(InputError) as refused:
        exec(check, namespace | values)
    name, value = list(values.items())[-1]
    assert_sentence(str(refused.value), words or f"{name} is {value!r}; expected ")


# Pages in a kernel: one stops before it has imported anything slow, or where it opens its folder.
# A kernel takes seconds to start, and what a page's check refuses is tried above: most are slow.
RERUN = [
    ("01_importance_sampling", "-p num_problems 5", "num_problems is 5; expected"),
    ("02_stochastic_pruning", "-p num_draws 1e4", "num_draws is 10000.0; expected a whole number"),
    ("03_liprune", "-p high 7.5", "high is 7.5; expected"),
    ("04_linear_model", "-p lerning_rate 0.02", "did you mean 'learning_rate'?"),
    ("04_linear_model", "-f {here}/zero.yml", "keep_fraction is 0; expected"),
    ("04_linear_model", "-p results_dir README.md/x", "expected a folder that can be written"),
    ("05_what_accelerates", "-p slope None", "slope is None; expected a number"),
    ("06_convex_is_not_enough", "-p seed -1", "seed is -1; expected a whole number from 0"),
    ("07_sine_model", "-p keep_fraction 20%", "keep_fraction is '20%'; expected a number"),
    ("08_hessian_norm", "-p depth 9", "depth is 9; expected 6n + 2"),
    ("09_cifar10", "-p keep_fractions [0.2]", "keep_fractions is '[0.2]'; expected a list"),
    ("10_other_scores", "-p num_images 250", "num_images is 250; expected a multiple of the batch"),
    ("11_why", "-p prune_epoch 9", "prune_epoch is 9; expected from 2 to num_epochs, 4"),
    ("13_your_problem", "-p classes_file mine.npz", "classes_file is 'mine.npz'; expected"),
    ("14_verdict", "-p records_dir nowhere", "records_dir is 'nowhere'; expected a folder that"),
]
OFTEN = {"04_linear_model", "14_verdict"}
MARKED = [row if row[0] in OFTEN else pytest.param(*row, marks=pytest.mark.slow) for row in RERUN]


@pytest.mark.parametrize(("page", "given", "words"), MARKED)
def test_a_rerun_stops(here, tmp_path_factory, page, given, words):
    output = tmp_path_factory.mktemp("output") / "out.ipynb"
    folder = ("-p", "results_dir", str(here / "results"))
    with nothing_comes_or_goes(here):
        result = rerun(page, output, *folder, *given.replace("{here}", str(here)).split())
    assert result.returncode != 0
    said = [line for line in result.stderr.splitlines() if line.startswith("InputError: ")]
    assert_sentence(said[-1], words)
    executed = [cell for cell in nbformat.read(output, 4).cells if cell.get("execution_count")]
    assert len(executed) <= 5  # the two of the first screen, parameters, what was given, the check


# Commands: a grid file is `GRID` with one text in another's place.
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
    ("liprune_utils.book render --build {here}/none", "expected a folder with executed pages"),
    ("experiments.grids.bring_over {here}/none", "none'; expected a copy of the project, with exp"),
    ("experiments.verdict.headline --build {here}/none", "curves.csv is missing or damaged"),
    (f"experiments.why.record --work {FILE}", "--work is '"),
    ("experiments.why.record --processes 0", "--processes is 0; expected at least 1"),
    (f"experiments.hessian_norm.record --work {FILE}", "--work is '"),
    ("benchmarks/linear_model.py --num-runs 4", "--num-runs is 4; expected at least 5"),
    ("benchmarks/linear_model.py --num-loops 0", "--num-loops is 0; expected at least 1"),
    ("benchmarks/hessian_product.py --depth 9", "depth is 9; expected 6n + 2"),
    ("benchmarks/hessian_product.py --batch-size 0", "--batch-size is 0; expected at least 2"),
    ("benchmarks/hessian_product.py --rounds 0", "--rounds is 0; expected at least 1"),
    ("benchmarks/training.py --images 60000", "--images is 60000; expected from a batch of 128"),
    ("benchmarks/training.py --turns 0", "--turns is 0; expected at least 1"),
    ("benchmarks/gpu.py --grid {here}/none.yml", "none.yml cannot be read: No such file or dire"),
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
    monkeypatch.setattr(data, "PROJECT", here)
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


def test_every_page_and_every_command_has_its_row():
    assert {row[0] for row in RERUN} == {*REFUSED} == {page.stem for page in PAGES}
    started = {command.split()[0] for command, *_ in [*COMMANDS, *TYPED]}
    texts = {
        path: path.read_text()
        for folder in ("liprune_utils", "experiments", "benchmarks")
        for path in (PROJECT / folder).rglob("*.py")
    }
    begins = 'if __name__ == "__main__"'
    assert len(started) == sum(begins in text or p.stem == "__main__" for p, text in texts.items())
