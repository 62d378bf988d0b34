"""Whatever a page cannot use is refused: in one sentence, and nothing comes or goes.

A row of a table is a page, what it is given, and words that must be said.
``{here}`` is a folder that holds `FILES`.
"""

import json
from dataclasses import asdict
from pathlib import Path

import nbformat
import pytest
import yaml
from by_hand import PAGES, parameters_and_check, rerun
from refusals import assert_sentence, filled, nothing_comes_or_goes

from liprune_utils.book.register import Claim
from liprune_utils.checks import InputError

CLAIM = json.dumps([asdict(Claim("theorem-1", 1, 1, 1, 9, 1.0, "executed", "holds", "So."))])
FILES = {
    "results/curves.csv": "of an earlier run",
    "zero.yml": "keep_fraction: 0",
    "cut/04_linear_model/claims.json": CLAIM[:-9],
    "foreign/04_linear_model/claims.json": '[{"id": "theorem-1"}]',
    "twice/01_importance_sampling/claims.json": CLAIM,
    "twice/mine/claims.json": CLAIM,
    "alone/01_importance_sampling/claims.json": CLAIM,
}


@pytest.fixture
def here(tmp_path) -> Path:
    return filled(tmp_path, FILES)


# Values that the check of a page refuses, as YAML, and what is said of them where it is not
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
    "12_what_to_keep": {"num_runs: 39": "", "dim: 3": "has no parameter 'dim'", "seed: -1": ""},
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
    ("12_what_to_keep", "-p num_runs 2e2", "num_runs is 200.0; expected a whole number"),
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


def test_every_page_has_its_rows():
    assert {row[0] for row in RERUN} == {*REFUSED} == {page.stem for page in PAGES}
