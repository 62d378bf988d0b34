"""How long a sweep takes: the work of its runs, at the pace of this machine."""

import numpy as np
import pytest
from synthetic import dataset

from liprune_utils import sweep
from liprune_utils.settings import TrainingRun
from liprune_utils.training_run import Workspace

pytestmark = pytest.mark.usefixtures("one_thread")
BASE = {"num_images": 1000, "num_test_images": 300, "num_epochs": 10, "depth": 8}


@pytest.fixture
def timed(monkeypatch) -> list[tuple]:
    """The kinds of runs that are timed, at a second for each gradient."""
    kinds = []

    def pace(run: TrainingRun, _: Workspace) -> float:
        kinds.append((run.depth, run.batch_size, run.precision))
        return 1.0 if run.precision == "float32" else 10.0

    monkeypatch.setattr(sweep, "_seconds_per_gradient", pace)
    return kinds


# 10 epochs: 300 test images at a third of a gradient each make 1000 in all.
@pytest.mark.parametrize(
    ("fields", "images"),
    [
        ({}, 10_000),
        ({"method": "random", "keep_fraction": 0.2}, 2_000),
        ({"method": "random", "keep_fraction": 0.2, "prune_epoch": 5}, 4_000 + 1_200),
        ({"method": "random", "keep_fraction": 0.2, "prune_epoch": 10}, 9_000 + 200),
        ({"method": "liprune", "keep_fraction": 0.5}, 5_000 + 8_000),
        ({"method": "hessian", "keep_fraction": 0.5}, 5_000 + 100_000),
        ({"method": "gauss-newton", "keep_fraction": 0.5}, 5_000 + 12_000),
        ({"method": "grand", "keep_fraction": 0.5, "prune_epoch": 6}, 5_000 + 2_500 + 5_000),
        ({"method": "forgetting", "keep_fraction": 0.5, "prune_epoch": 2}, 1_000 + 4_500 + 500),
    ],
)
def test_an_estimate_counts_training_evaluation_and_scores(timed, fields, images):
    run = TrainingRun(**BASE, **fields)
    assert sweep._estimate_hours([run], None, 1) * 3600 == pytest.approx(images + 1000)
    assert sweep._estimate_hours([run, run], None, 4) * 3600 == pytest.approx((images + 1000) / 4)


def test_an_estimate_counts_once_what_runs_share_and_times_each_kind_once(timed):
    pruned = TrainingRun(**BASE, prune_epoch=5, method="liprune", keep_fraction=0.2)
    runs = [pruned, pruned.replace(keep_fraction=0.5), pruned.replace(method="random")]
    before, scores = 4 * 1100, 8000
    after = 6 * (200 + 100) * 2 + 6 * (500 + 100)
    seconds = before + scores + after
    assert sweep._estimate_hours(runs, None, 1) * 3600 == pytest.approx(seconds)
    mixed = [run.replace(precision="bfloat16") for run in runs]
    assert sweep._estimate_hours([*runs, *mixed], None, 1) * 3600 == pytest.approx(11 * seconds)
    assert timed == [(8, 128, "float32")] * 2 + [(8, 128, "bfloat16")]
    assert sweep._estimate_hours([], None, 1) == 0


def test_the_pace_is_that_of_the_steps_after_two(tmp_path, monkeypatch):
    workspace = Workspace(dataset(300), tmp_path / "runs")
    ticks = iter([100.0, 200.0, *np.arange(200.5, 204.0, 0.5)])  # the first two take long
    monkeypatch.setattr(sweep.time, "perf_counter", lambda: next(ticks))
    run = TrainingRun(**BASE | {"batch_size": 20})
    assert sweep._seconds_per_gradient(run, workspace) == pytest.approx(0.5 / 20)
    assert not workspace.root.exists()


@pytest.mark.parametrize(("num_images", "batch_size"), [(150, 60), (2, 2), (20_000, 10_000)])
def test_the_pace_is_found_where_few_batches_are(tmp_path, num_images, batch_size):
    run = TrainingRun(**BASE | {"num_images": num_images, "batch_size": batch_size})
    assert 0 < sweep._seconds_per_gradient(run, Workspace(dataset(300), tmp_path)) < 10
