"""How long a run takes: its work counted by hand, its pace by a clock that is set by hand."""

import numpy as np
import pytest

from liprune_utils import workload
from liprune_utils.data import Dataset
from liprune_utils.settings import Point
from liprune_utils.training_run import Laboratory
from liprune_utils.workload import estimate_hours, seconds_per_image, work

BASE = {"num_images": 1000, "num_test_images": 300, "num_epochs": 10, "depth": 8}


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Laboratory:
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)
    labels = draw.integers(0, 10, 300)
    dataset = Dataset(pixels, labels, pixels[:9], labels[:9], "noise", "00", ("class",) * 10)
    return Laboratory(dataset, tmp_path_factory.mktemp("lab") / "runs")


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
        ({"method": "el2n", "keep_fraction": 0.5}, 5_000 + 500),
        ({"method": "forgetting", "keep_fraction": 0.5, "prune_epoch": 2}, 1_000 + 4_500 + 500),
    ],
)
def test_work_counts_training_evaluation_and_scores(fields, images):
    assert sum(work(Point(**BASE, **fields)).values()) == pytest.approx(images + 1000)


def test_the_pace_is_that_of_the_steps_after_two(lab, one_thread, monkeypatch):
    ticks = iter([100.0, 200.0, *np.arange(200.5, 204.0, 0.5)])  # the first two take long
    monkeypatch.setattr(workload.time, "perf_counter", lambda: next(ticks))
    found = seconds_per_image(Point(**BASE | {"batch_size": 20}), lab)
    assert found == pytest.approx(0.5 / 20)


@pytest.mark.parametrize(
    ("num_images", "batch_size"), [(1000, 200), (150, 60), (2, 2), (20_000, 10_000)]
)
def test_the_pace_is_found_where_few_batches_are(lab, one_thread, num_images, batch_size):
    point = Point(**BASE | {"num_images": num_images, "batch_size": batch_size})
    assert 0 < seconds_per_image(point, lab) < 10


def test_a_deeper_network_is_slower(lab, one_thread):
    paces = [seconds_per_image(Point(**BASE | {"depth": d, "batch_size": 8}), lab) for d in (8, 50)]
    assert paces[1] > 2 * paces[0]  # eight times the blocks


def test_an_estimate_takes_each_point_at_its_own_pace(lab, monkeypatch):
    timed = []

    def pace(point: Point, _lab: Laboratory) -> float:
        timed.append((point.depth, point.batch_size, point.precision))
        return point.depth / point.batch_size * (1 if point.precision == "float32" else 10)

    monkeypatch.setattr(workload, "seconds_per_image", pace)
    kinds = [(8, 2, "float32"), (8, 2, "bfloat16"), (14, 2, "float32"), (8, 4, "float32")]
    points = [
        Point(**BASE | {"depth": depth, "batch_size": size, "precision": precision, "seed": seed})
        for seed in range(3)
        for depth, size, precision in kinds
    ]
    gradients = 3 * 11_000  # three seeds of 10 epochs with their evaluation
    seconds = gradients * (4 + 40 + 7 + 2)
    assert estimate_hours(points, lab, 1) == pytest.approx(seconds / 3600)
    assert timed == kinds  # each kind once
    assert estimate_hours(points, lab, 8) == pytest.approx(seconds / 3600 / 8)
    assert estimate_hours(points + points, lab, 1) == pytest.approx(seconds / 3600)
    assert estimate_hours([], lab, 1) == 0


def test_an_estimate_counts_once_what_points_share(lab, monkeypatch):
    monkeypatch.setattr(workload, "seconds_per_image", lambda *_: 3600.0)
    pruned = {"prune_epoch": 5, "method": "liprune"}
    points = [Point(**BASE, **pruned, keep_fraction=fraction) for fraction in (0.2, 0.5)]
    random = Point(**BASE | pruned | {"method": "random"}, keep_fraction=0.2)
    before, scores = 4 * 1100, 8000
    after = 6 * (200 + 100) * 2 + 6 * (500 + 100)
    assert estimate_hours([*points, random], lab, 1) == pytest.approx(before + scores + after)


def test_an_estimate_is_positive_and_writes_nothing(lab, one_thread):
    assert estimate_hours([Point(**BASE | {"batch_size": 8})], lab, 2) > 0
    assert not lab.root.exists()
