"""What a run keeps: Algorithm 1 on batches or examples, scores computed once and read by all."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from draws import seeded
from hypothesis import given
from hypothesis import strategies as st
from synthetic import BATCHES, RUN, dataset, images, same

from liprune_utils import batch_scores, runs, selection
from liprune_utils.batch_scores import batch_hessian_norms, best_estimates, select_batches
from liprune_utils.checks import InputError
from liprune_utils.designs import optimal_design
from liprune_utils.example_scores import forgetting_counts
from liprune_utils.features import last_layer_features
from liprune_utils.images import fixed_batches, make_images
from liprune_utils.pruning import keep_highest
from liprune_utils.runs import Stopped
from liprune_utils.scores import SCORES, score
from liprune_utils.selection import batch_table, kept_batches, run_scores
from liprune_utils.settings import EXAMPLE_METHODS, TrainingRun
from liprune_utils.training import State, start, train_until, with_population_statistics

pytestmark = pytest.mark.usefixtures("one_thread")
LIPRUNE = RUN.replace(method="liprune", keep_fraction=0.34, prune_epoch=3, tolerance=0.2)
EL2N = LIPRUNE.replace(method="el2n")
FRACTIONS = st.floats(0.01, 1)
SIZES = st.integers(2, 12)
COUNTS = st.integers(2, 60)


@pytest.fixture(scope="module")
def trained(one_thread) -> State:
    """The network at the start of epoch 3; no test may change it."""
    return train_until(start(RUN, images()), images(), BATCHES, RUN, 2)


def scores(run: TrainingRun, state: State, folder) -> np.ndarray:
    return run_scores(run, state, images(), dataset(), folder)


# What is kept


@pytest.mark.parametrize("method", ["liprune", "random"])
@given(COUNTS, SIZES, FRACTIONS, st.integers(0, 5))
def test_the_batches_with_the_largest_scores_are_kept_whole(method, count, size, fraction, seed):
    run = TrainingRun(method=method, keep_fraction=fraction, batch_size=size, seed=seed)
    batches = fixed_batches(count, size, seed)
    values = seeded(seed).permutation(len(batches))
    kept = kept_batches(run, values, count)
    wanted = [
        b for b, value in zip(batches, values, strict=True) if value >= len(values) - len(kept)
    ]
    assert len(kept) == max(1, int(fraction * len(batches) + 0.5))
    assert all(map(np.array_equal, kept, wanted))


def test_without_pruning_all_batches_are_kept():
    kept = kept_batches(RUN, seeded().random(3), 12)
    assert len(kept) == len(BATCHES)
    assert all(map(np.array_equal, kept, BATCHES))


@given(COUNTS, SIZES, FRACTIONS, st.integers(0, 5), st.sampled_from(EXAMPLE_METHODS))
def test_the_examples_with_the_largest_scores_are_kept(count, size, fraction, seed, method):
    values = seeded(seed).integers(0, 9, count)  # many are equal
    run = TrainingRun(
        method=method, keep_fraction=fraction, batch_size=size, seed=seed, prune_epoch=2
    )
    found = np.concatenate(kept_batches(run, values, count))
    assert sorted(found) == keep_highest(values, fraction).tolist()
    order = np.concatenate(fixed_batches(count, size, seed)).tolist()
    assert found.tolist() == [image for image in order if image in set(found)]


@given(COUNTS, SIZES, FRACTIONS, st.integers(0, 5))
def test_kept_examples_are_cut_into_whole_batches_and_none_is_of_one(count, size, fraction, seed):
    run = TrainingRun(method="loss", keep_fraction=fraction, batch_size=size, seed=seed)
    sizes = [len(batch) for batch in kept_batches(run, seeded(seed).random(count), count)]
    assert set(sizes[:-1]) <= {size}
    total = sum(sizes)
    rest = total % size or size
    lonely = rest == 1 and total > 1  # joins the batch before
    assert sizes[-1] == (size + 1 if lonely else rest)


# Scores


@pytest.mark.parametrize("batch_norm", ["train", "eval"])
def test_liprune_ranks_by_the_hessian_norms_of_the_batches(trained, tmp_path, batch_norm):
    run = LIPRUNE.replace(batch_norm=batch_norm, seed=1, tolerance=1e-3)
    batches = fixed_batches(12, 4, seed=1)
    found, data = scores(run, trained, tmp_path), images()
    options = {"batch_norm": batch_norm, "seed": 1}
    inputs = trained.model, data.inputs, data.labels, batches
    chosen = select_batches(*inputs, run.keep_fraction, tolerance=1e-3, **options)
    assert np.array_equal(found, best_estimates(chosen.scores))
    (kept,) = kept_batches(run, found, 12)
    exact = batch_hessian_norms(*inputs, tolerance=1e-6, **options)
    assert np.array_equal(kept, batches[exact.norm.argmax()])


def test_the_table_of_a_choice_names_every_batch_and_which_are_kept(trained, tmp_path):
    found = batch_table(LIPRUNE, trained, images(), dataset(), tmp_path)
    assert found.columns.tolist() == ["batch", "norm", "norm_error", "num_products", "kept"]
    assert found.batch.tolist() == [0, 1, 2]
    assert np.flatnonzero(found.kept).tolist() == [found.norm.argmax()]


def test_fractions_share_the_first_look(trained, tmp_path):
    scores(LIPRUNE, trained, tmp_path)
    before = set(tmp_path.rglob("look-0.1-*"))
    scores(LIPRUNE.replace(keep_fraction=0.67), trained, tmp_path)
    assert len(before) == 1
    assert set(tmp_path.rglob("look-0.1-*")) == before


@pytest.mark.parametrize("method", [name for name in EXAMPLE_METHODS if name in SCORES])
def test_every_score_of_examples_is_that_with_population_statistics(trained, tmp_path, method):
    data = images()
    found = scores(EL2N.replace(method=method, seed=3, tolerance=0.2), trained, tmp_path)
    network = with_population_statistics(trained.model, data.inputs)
    history = trained.correct_history()
    given = {"correct": history} if method == "forgetting" else {}
    expected = score(method, network, data.inputs, data.labels, tolerance=0.2, seed=3, **given)
    assert np.array_equal(found, expected)
    assert found.shape == (12,)
    assert len(set(found)) > 1


def test_forgetting_looks_at_the_epochs_before_the_pruning(trained, tmp_path):
    found = scores(EL2N.replace(method="forgetting"), trained, tmp_path)
    history = np.array([np.unpackbits(row.numpy())[:12] for row in trained.history], dtype=bool)
    assert np.array_equal(found, forgetting_counts(history))
    assert history.shape == (2, 12)


MANY = EL2N.replace(num_images=160, batch_size=16, keep_fraction=0.5, prune_epoch=1)


def score_many(run: TrainingRun, folder) -> tuple[np.ndarray, np.ndarray]:
    """The scores of more images than a network has features, and the features."""
    data = make_images(dataset(num_train=200), 160, 10)
    state = start(run, data)
    features = last_layer_features(
        with_population_statistics(state.model, data.inputs), data.inputs
    )
    return run_scores(run, state, data, dataset(), folder), features


def test_a_design_keeps_what_the_optimal_design_of_the_features_keeps(tmp_path):
    for fraction in (0.5, 0.75):
        run = MANY.replace(method="design", keep_fraction=fraction)
        found, features = score_many(run, tmp_path)
        assert set(found) == {0, 1}
        expected = optimal_design(features, fraction, "V").kept
        kept = np.concatenate(kept_batches(run, found, 160))
        assert sorted(kept) == expected.tolist()
    assert not any(tmp_path.iterdir())  # no score, since it depends on the fraction


def test_a_design_of_fewer_images_than_features_is_refused(trained, tmp_path):
    with pytest.raises(InputError, match=r"^number of points kept is 4; expected at least the ran"):
        scores(EL2N.replace(method="design"), trained, tmp_path)


def test_leverages_are_taken_among_all_images_and_written_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(selection, "EXAMPLE_CHUNK", 50)
    run = MANY.replace(method="leverage")
    found, features = score_many(run, tmp_path)
    hat = features @ np.linalg.pinv(features)
    np.testing.assert_allclose(found, 160 * hat.diagonal(), rtol=1e-4)
    again, _ = score_many(run.replace(keep_fraction=0.2), tmp_path)
    assert np.array_equal(again, found)
    assert len(list(tmp_path.iterdir())) == 1


def test_random_examples_are_single_images_drawn_by_the_seed_alone(trained, tmp_path):
    run = LIPRUNE.replace(method="random-examples")
    found = scores(run, trained, tmp_path)
    assert len(set(found)) == 12
    assert np.array_equal(found, scores(run, start(RUN, images()), tmp_path))
    assert not np.array_equal(found, scores(run.replace(seed=1), trained, tmp_path))
    drawn = [
        kept_batches(run.replace(seed=seed), scores(run.replace(seed=seed), trained, tmp_path), 12)
        for seed in range(300)
    ]
    assert all(np.concatenate(kept).shape == (4,) for kept in drawn)
    counts = np.bincount(np.concatenate([np.concatenate(kept) for kept in drawn]), minlength=12)
    assert np.abs(counts - 100).max() < 4 * np.sqrt(300 * (1 / 3) * (2 / 3))
    whole = [set(batch) for batch in fixed_batches(12, 4, 0)]
    assert set(np.concatenate(drawn[0])) not in whole  # no batch as it was


def test_random_scores_depend_on_the_seed_alone(trained, tmp_path):
    run = LIPRUNE.replace(method="random")
    untrained = start(RUN, images())
    first = scores(run, trained, tmp_path)
    assert np.array_equal(first, scores(run.replace(prune_epoch=1), untrained, tmp_path))
    assert not np.array_equal(first, scores(run.replace(seed=1), trained, tmp_path))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("method", ["liprune", "el2n", "hessian"])
def test_scoring_leaves_the_run_as_it_was(tmp_path, method):
    state = start(RUN, images())
    before, generators = copy.deepcopy(state.to_dict()), torch.get_rng_state()
    scores(EL2N.replace(method=method), state, tmp_path)
    assert same(state.to_dict(), before)
    assert all(module.training for module in state.model.modules())
    assert torch.equal(torch.get_rng_state(), generators)


# Scores on the disk


class Scored(Exception):  # noqa: N818 - a sign, no error
    """Something was scored."""


@pytest.fixture
def no_scoring(monkeypatch):
    def refuse(*_, **__):
        raise Scored

    def forbid():
        monkeypatch.setattr(batch_scores, "hessian_norm", refuse)
        monkeypatch.setattr(selection, "score", refuse)

    return forbid


@pytest.mark.parametrize("run", [LIPRUNE, EL2N], ids=lambda run: run.method)
def test_a_second_point_with_the_same_network_reads_the_scores(trained, tmp_path, run, no_scoring):
    first = scores(run, trained, tmp_path)
    no_scoring()
    others = {"num_test_images": 7, "num_epochs": 9, "decay_epochs": (4, 5)}
    assert np.array_equal(scores(run.replace(**others), trained, tmp_path), first)


@pytest.mark.parametrize(
    "change",
    [
        {"tolerance": 0.1},
        {"batch_norm": "eval"},
        {"seed": 1},
        {"batch_size": 5},
        {"method": "loss"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_scores_of_something_else_are_not_read(trained, tmp_path, no_scoring, change):
    assert len(fixed_batches(12, 5, 0)) == len(BATCHES)  # their number does not tell them apart
    scores(LIPRUNE, trained, tmp_path)
    no_scoring()
    with pytest.raises(Scored):
        scores(LIPRUNE.replace(**change), trained, tmp_path)


@pytest.mark.parametrize("run", [LIPRUNE, EL2N], ids=lambda run: run.method)
def test_scores_of_another_network_are_not_read(trained, tmp_path, no_scoring, run):
    scores(run, trained, tmp_path)
    no_scoring()
    with pytest.raises(Scored):
        scores(run, start(RUN, images()), tmp_path)


@pytest.mark.parametrize("run", [LIPRUNE, EL2N], ids=lambda run: run.method)
def test_scores_of_other_images_are_not_read(trained, tmp_path, no_scoring, run):
    scores(run, trained, tmp_path)
    no_scoring()
    with pytest.raises(Scored):
        run_scores(run, trained, images(), replace(dataset(), sha256="1"), tmp_path)


@pytest.mark.parametrize("run", [LIPRUNE, EL2N], ids=lambda run: run.method)
def test_scoring_leaves_when_asked_and_goes_on_with_the_next_part(
    trained, tmp_path, monkeypatch, run
):
    monkeypatch.setattr(selection, "BATCH_CHUNK", 1)
    monkeypatch.setattr(selection, "EXAMPLE_CHUNK", 5)
    asked = []
    monkeypatch.setattr(selection, "leave_if_asked", lambda: asked.append(True))
    whole = scores(run, trained, tmp_path / "whole")
    number_of_parts = len(asked)

    def leave():
        asked.append(True)
        if len(asked) == number_of_parts + 2:
            raise Stopped

    monkeypatch.setattr(selection, "leave_if_asked", leave)
    with pytest.raises(Stopped):
        scores(run, trained, tmp_path / "left")
    assert np.array_equal(scores(run, trained, tmp_path / "left"), whole)
    assert len(asked) == 2 * number_of_parts + 1  # only the part that was left is scored again


def test_scoring_hears_that_runs_are_to_stop(trained, tmp_path):
    runs.ask_to_stop()
    try:
        with pytest.raises(Stopped):
            scores(EL2N, trained, tmp_path)
    finally:
        runs.withdraw_stop()
