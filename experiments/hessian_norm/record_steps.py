"""Recorded study of page 08: how fast gradients change over the length of a step of SGD.

``python -m experiments.hessian_norm.record_steps`` trains ResNet-14s on 5,120 images of their own,
and writes ``step_secants.csv`` and its provenance to ``book/results/08_hessian_norm/`` whenever a
seed is complete. It takes about three hours on one core. Whatever is finished lies in
``reruns/step_secants/`` and is not computed again.
"""

import argparse
import sys
import time
from pathlib import Path

import pandas as pd
import torch

from experiments.hessian_norm.step_secants import FIRST_TOLERANCE, TOLERANCE, follow
from liprune_utils import data
from liprune_utils.checks import exit_status
from liprune_utils.files import (
    PROJECT,
    provenance,
    results_folder,
    writable_folder,
    write_json,
    write_table,
)
from liprune_utils.runs import RunError, finished_tables
from liprune_utils.settings import TrainingRun
from liprune_utils.training_run import Workspace

RECORDED = "book/results/08_hessian_norm"
EPOCHS = (1, 5, 10)  # at the start of these; 1 is before training
SEEDS, RATES = range(6), (0.01, 0.1)
# The unpruned run of grids/reduced14.yml, in full precision; the test images are not used.
RUN = TrainingRun(
    depth=14, num_images=5120, num_test_images=100, num_epochs=20, decay_epochs=(10, 15)
)


def main() -> None:
    """Run or resume the study, and write its table after each seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=PROJECT / "reruns" / "step_secants")
    options = parser.parse_args()
    workspace = Workspace(data.load(), writable_folder(options.work, "--work"))
    tables = []
    for seed in SEEDS:
        tables += [one_training(RUN.replace(seed=seed, learning_rate=r), workspace) for r in RATES]
        _write_record(pd.concat(tables, ignore_index=True), workspace)


def one_training(run: TrainingRun, workspace: Workspace) -> pd.DataFrame:
    """Train and measure one network, or read what an earlier run found."""
    torch.set_num_threads(1)

    def compute() -> dict[str, pd.DataFrame]:
        began, images = time.perf_counter(), workspace.images(run)
        found = follow(run, images, EPOCHS)
        seconds = round((time.perf_counter() - began) / len(found), 2)
        columns = {"seed": run.seed, "learning_rate": run.learning_rate, "seconds": seconds}
        return {"secants": found.assign(**columns)}

    settings = workspace.settings(run) | {"epochs": list(EPOCHS), "tolerance": TOLERANCE}
    return finished_tables(workspace.root, run.label, settings, compute)["secants"]


def _write_record(table: pd.DataFrame, workspace: Workspace) -> None:
    """Write what is measured so far, and where it comes from."""
    folder, dataset = results_folder(RECORDED), workspace.dataset
    write_table(folder, "step_secants", table)
    varied = ("seed", "learning_rate", "tolerance")
    facts = {name: value for name, value in dict(RUN).items() if name not in varied}
    facts |= {
        "command": "python -m experiments.hessian_norm.record_steps",
        "data_source": dataset.source,
        "pixel_sha256": dataset.sha256,
        "device": "cpu",
        "threads": 1,
        "seconds": round(float(table.seconds.sum()), 1),
        "norm_tolerance": TOLERANCE,
        "first_norm_tolerance": FIRST_TOLERANCE,
        "num_seeds": int(table.seed.nunique()),
    }
    write_json(folder / "step_secants.json", provenance(**facts))


if __name__ == "__main__":
    sys.exit(exit_status(main, RunError))
