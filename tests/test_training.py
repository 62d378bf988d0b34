"""Batch pruning of ResNets: fixed batches, paired streams, runs that part only at the pruning."""

import copy
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from liprune_utils import cifar, training
from liprune_utils.data import Dataset
from liprune_utils.pruning import keep_highest
from liprune_utils.scores import batch_hessian_norms
from liprune_utils.training import CifarParameters, augment, fixed_batches, start

PARAMETERS = CifarParameters(
    results_dir="x", depths=[8], keep_fractions=[0.34, 1.0], prune_epochs=[2],
    learning_rates=[0.05], decay_epochs=[3], num_epochs=3, num_images=12, num_test_images=40,
    batch_size=4, momentum=0.9, weight_decay=1e-4, num_seeds=2, tolerance=0.2,
)  # fmt: skip
CELL = {"depth": 8, "rate": 0.05, "prune_epoch": 2, "seed": 0}


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def dataset(num_train=20, num_test=50, darkest=0) -> Dataset:
    draw = seeded(7)
    images = [
        draw.integers(darkest, 256, (n, 32, 32, 3), dtype=np.uint8) for n in (num_train, num_test)
    ]
    labels = [(image.mean(axis=(1, 2, 3)) * 100).astype(np.int64) % 10 for image in images]
    classes = tuple("abcdefghij")
    return Dataset(images[0], labels[0], images[1], labels[1], "CIFAR-10", "0", classes)


def task(parameters=PARAMETERS) -> training.Task:
    return training.make_task(dataset(), parameters)


@pytest.fixture(scope="module", autouse=True)
def one_thread():  # several, on a busy machine, wait for each other
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def cell() -> tuple[pd.DataFrame, pd.DataFrame]:
    return cifar.run_cell(task(), PARAMETERS, **CELL)


def curve(table: pd.DataFrame, method: str, keep_fraction: float) -> list[float]:
    rows = table[(table.method == method) & (table.keep_fraction == keep_fraction)]
    assert rows.epoch.tolist() == [1, 2, 3]
    return rows.test_error.tolist()


@pytest.mark.parametrize(("num_images", "darkest"), [(12, 0), (600, 240)])
def test_images_are_normalised_by_the_training_images(num_images, darkest):
    data = dataset(num_images, 40, darkest)
    found = training.make_task(data, replace(PARAMETERS, num_images=num_images))
    pixels, tests = (x.reshape(-1, 3) / 255.0 for x in (data.train_images, data.test_images))
    images = found.images.double()
    np.testing.assert_allclose(images.mean((0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(images.std((0, 2, 3), correction=0), 1, atol=1e-4)
    shown = found.test_images.permute(0, 2, 3, 1).reshape(-1, 3).numpy()
    known = (tests - pixels.mean(0)) / pixels.std(0)
    np.testing.assert_allclose(
        np.sort(shown, axis=0)[::999], np.sort(known, axis=0)[::999], atol=1e-4
    )


def test_images_keep_their_labels_and_come_once():
    data = dataset()
    blank = np.broadcast_to(np.arange(20, dtype=np.uint8)[:, None, None, None], (20, 32, 32, 3))
    found = training.make_task(
        replace(data, train_images=blank, train_labels=np.arange(20)), PARAMETERS
    )
    order = found.images[:, 0, 0, 0].argsort()
    assert (found.labels[order].diff() > 0).all()
    assert (len(found.labels), len(found.test_labels)) == (12, 40)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 9))
def test_batches_partition_the_images(num_images, batch_size, seed):
    batches = fixed_batches(num_images, batch_size, seed)
    assert sorted(np.concatenate(batches)) == list(range(num_images))
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}
    assert 1 <= len(batches[-1]) <= batch_size
    again = fixed_batches(num_images, batch_size, seed)
    assert all(map(np.array_equal, batches, again))


def test_augmented_image_is_one_shift_or_its_mirror():
    images = torch.from_numpy(seeded(1).normal(size=(150, 2, 32, 32)).astype(np.float32))
    padded, seen = functional.pad(images, (4,) * 4), []
    for image, big in zip(augment(images, seeded(2)), padded, strict=True):
        shown = {0: image, 1: image.flip(2)}
        for flip, top, left in product(shown, range(9), range(9)):
            if torch.equal(big[:, top : top + 32, left : left + 32], shown[flip]):
                seen.append((flip, top, left))
    flips, tops, lefts = map(np.array, zip(*seen, strict=True))
    assert len(seen) == 150
    assert set(tops) == set(lefts) == set(range(9))
    assert 50 < flips.sum() < 100
    assert np.abs(np.corrcoef([flips, tops, lefts])[np.triu_indices(3, 1)]).max() < 0.3


def test_augmentation_depends_on_its_generator_alone():
    images = torch.arange(5 * 3 * 32 * 32.0).reshape(5, 3, 32, 32)
    before = images.clone()
    assert torch.equal(augment(images, seeded(3)), augment(images, seeded(3)))
    assert not torch.equal(augment(images, seeded(3)), augment(images, seeded(4)))
    assert torch.equal(images, before)


def test_streams_of_different_purposes_differ():
    keys = [(seed, purpose) for seed in (0, 1) for purpose in training.PURPOSES]
    draws = [training.generator(*key).random() for key in keys]
    assert len(set(draws)) == len(keys)
    assert training.generator(0, "order", 2).random() == training.generator(0, "order", 2).random()


def test_rate_is_divided_by_ten_at_the_start_of_each_decay_epoch():
    parameters, rates = replace(PARAMETERS, decay_epochs=[2, 4], num_epochs=4), []
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    state = training.State(model, torch.optim.SGD(model.parameters(), lr=0.05), [])
    images = task()
    for epoch in range(1, 5):
        training.train_until(state, images, fixed_batches(12, 6, 0), parameters, epoch, seed=0)
        rates.append(state.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.05, 0.005, 0.005, 0.0005])
    assert len(state.test_errors) == 4


def test_test_error_is_the_share_of_wrong_guesses():
    images, labels = torch.eye(4)[[0, 1, 2, 3, 3]], torch.tensor([0, 1, 2, 0, 0])
    shown = training.Task(images, labels, images, labels)
    assert training.test_error(torch.nn.Identity(), shown) == pytest.approx(40)


def test_same_seed_gives_the_same_tables_bit_for_bit(cell):
    global_state = torch.get_rng_state()
    for first, second in zip(cell, cifar.run_cell(task(), PARAMETERS, **CELL), strict=True):
        pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert torch.equal(torch.get_rng_state(), global_state)


def test_methods_share_everything_before_the_pruning(cell):
    table, _ = cell
    first = table[table.epoch == 1].test_error
    assert len(first) == 5
    assert first.nunique() == 1


def test_batches_are_scored_at_the_start_of_the_epoch_and_training_goes_on_undisturbed(cell):
    state, images, batches = start(PARAMETERS, 8, 0.05, 0), task(), fixed_batches(12, 4, 0)
    training.train_until(state, images, batches, PARAMETERS, 1, seed=0)
    pair = images.images, images.labels
    scores = batch_hessian_norms(copy.deepcopy(state.model), *pair, batches, tolerance=0.2, seed=0)
    pd.testing.assert_frame_equal(cell[1][scores.columns], scores, check_exact=True)
    training.train_until(state, images, batches, PARAMETERS, 3, seed=0)
    assert curve(cell[0], "none", 1.0) == state.test_errors


def test_methods_are_identical_where_all_is_kept(cell):
    curves = [curve(cell[0], method, 1.0) for method in ("none", "liprune", "random")]
    assert curves[0] == curves[1] == curves[2]
    assert curve(cell[0], "liprune", 0.34) != curves[0]


def test_tables_say_what_was_run(cell):
    table, scores = cell
    counts = table.groupby("keep_fraction").num_batches.unique()
    assert {fraction: list(count) for fraction, count in counts.items()} == {0.34: [1], 1.0: [3]}
    assert scores.batch.tolist() == [0, 1, 2]
    for found in cell:
        settings = found[["depth", "learning_rate", "prune_epoch", "seed"]].drop_duplicates()
        assert settings.to_numpy().tolist() == [[8, 0.05, 2, 0]]


def test_liprune_keeps_the_largest_norms_and_random_ignores_them():
    parameters = replace(PARAMETERS, keep_fractions=[0.25, 0.5])
    norms = seeded(5).random((2, 40))
    found = [
        list(cifar.choices(pd.DataFrame({"norm": n, "error": 0.0}), parameters, 0)) for n in norms
    ]
    for norm, subsets in zip(norms, found, strict=True):
        assert [subset[:2] for subset in subsets] == [
            ("none", 1.0), ("liprune", 0.25), ("random", 0.25), ("liprune", 0.5), ("random", 0.5),
        ]  # fmt: skip
        assert subsets[0][2].tolist() == list(range(40))
        assert subsets[1][2].tolist() == keep_highest(norm, 0.25).tolist()
        assert [len(kept) for _, _, kept in subsets] == [40, 10, 10, 20, 20]
    for position in (2, 4):
        np.testing.assert_array_equal(found[0][position][2], found[1][position][2])


def test_grid_runs_every_cell_and_seed(monkeypatch):
    seen = []

    def pretend(_task, _parameters, **where):
        seen.append(tuple(where.values()))
        return pd.DataFrame([where]), pd.DataFrame([where])

    monkeypatch.setattr(cifar, "run_cell", pretend)
    curves, scores = cifar.run_grid(None, replace(PARAMETERS, depths=[8, 14], prune_epochs=[1, 2]))
    assert seen == [(d, 0.05, e, s) for d in (8, 14) for e in (1, 2) for s in (0, 1)]
    assert len(curves) == len(scores) == len(seen)
