"""What the kept batches have in common: against plain numpy, on images with known properties."""

import numpy as np
import pandas as pd
import pytest
import torch
from draws import seeded
from scipy import stats
from torch import nn

from experiments.cifar10.kept_batches import (
    PROPERTIES,
    batch_properties,
    class_shift,
    kept_shifts,
    mean_gains,
    shift_table,
)
from liprune_utils.images import Images

BATCHES = [np.array([0, 1, 2]), np.array([3, 5]), np.array([4, 6, 7])]


@pytest.fixture
def images() -> Images:
    pixels = torch.from_numpy(seeded(0).normal(size=(8, 3, 4, 4)).astype(np.float32))
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
    return Images(pixels, labels, pixels[:1], labels[:1])


def test_batches_are_described_by_their_pixels_classes_and_losses(images):
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).eval()
    found = batch_properties(network, images, BATCHES)
    assert list(found.batch) == [0, 1, 2]
    assert set(PROPERTIES) < set(found)
    values = images.inputs.numpy().reshape(8, -1).astype(float)
    with torch.no_grad():
        losses = nn.functional.cross_entropy(
            network(images.inputs), images.labels, reduction="none"
        )
    for row, batch in zip(found.itertuples(), BATCHES, strict=True):
        assert row.brightness == pytest.approx(values[batch].mean(), abs=1e-6)
        assert row.brightness_sd == pytest.approx(values[batch].mean(axis=1).std(ddof=1), rel=1e-5)
        assert row.contrast == pytest.approx(values[batch].std(axis=1, ddof=1).mean(), rel=1e-5)
        assert row.loss == pytest.approx(losses[batch].mean().item(), rel=1e-5)


def test_class_shift_is_half_the_sum_of_the_differences():
    shares = np.array([0.5, 0.25, 0.25])
    assert class_shift(np.array([0, 0, 1, 2]), shares) == 0
    assert class_shift(np.array([0, 0, 0, 0]), shares) == 0.5
    assert class_shift(np.array([2, 2]), shares) == 0.75


def scored(seeds=(0, 1)) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Norms and properties of six batches, of which the two of largest norm are kept."""
    draw = np.random.default_rng(3)
    scores, properties = [], []
    for seed in seeds:
        values = {name: draw.normal(size=6) for name in PROPERTIES}
        properties.append(pd.DataFrame({"batch": range(6), "seed": seed, **values}))
        for rate in (0.01, 0.1):
            for epoch in (1, 5):
                norm = draw.uniform(1, 2, size=6)
                table = {"learning_rate": rate, "prune_epoch": epoch, "seed": seed, "norm": norm}
                kept = norm >= np.sort(norm)[-2]
                error = np.full(6, 0.02)
                scores.append(
                    pd.DataFrame(table | {"batch": range(6), "kept": kept, "norm_error": error})
                )
    return pd.concat(scores), pd.concat(properties)


def test_shifts_are_in_standard_deviations_between_batches():
    scores, properties = scored()
    found = kept_shifts(scores.sample(frac=1, random_state=1), properties)
    assert len(found) == 2 * 2 * 2 * len(PROPERTIES)
    for row in found.itertuples():
        own = scores[(scores.learning_rate == row.learning_rate) & (scores.seed == row.seed)]
        kept = own[(own.prune_epoch == row.prune_epoch) & own.kept].batch
        values = properties[properties.seed == row.seed].set_index("batch")[row.property]
        z = (values - values.mean()) / values.std()
        assert row.shift == pytest.approx(z[kept].mean())


def test_shifts_are_estimated_over_seeds_and_averaged_over_rates():
    shifts = kept_shifts(*scored())
    found = shift_table(shifts)
    assert len(found) == 2 * len(PROPERTIES)
    for row in found.itertuples():
        own = shifts[(shifts.prune_epoch == row.prune_epoch) & (shifts.property == row.property)]
        means = own.groupby("seed")["shift"].mean()
        low, high = stats.ttest_1samp(means, 0).confidence_interval(0.9)
        assert (row.shift, row.low, row.high) == pytest.approx((means.mean(), low, high))
        assert row.num_seeds == 2


def test_gains_are_means_of_the_best_estimates():
    scores, _ = scored()
    found = mean_gains(scores)
    assert len(found) == 8
    own = scores[(scores.learning_rate == 0.1) & (scores.prune_epoch == 5) & (scores.seed == 1)]
    norms = own.norm + 0.01
    gain = found.set_index(["learning_rate", "prune_epoch", "seed"]).gain[0.1, 5, 1]
    assert gain == pytest.approx(norms[own.kept].mean() / norms.mean())
