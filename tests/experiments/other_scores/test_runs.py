"""The live runs of page 10, on a small network and a few small images."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import synthetic
import torch

from experiments.other_scores import runs
from experiments.other_scores.runs import BY_NETWORK, OtherScoresParameters
from liprune_utils.batch_scores import batch_hessian_norms, best_estimates
from liprune_utils.checks import InputError
from liprune_utils.example_scores import forgetting_counts
from liprune_utils.images import Images
from liprune_utils.models import resnet
from liprune_utils.score_files import ScoreManifest, load_scores, weights_sha256
from liprune_utils.scores import SCORES, score
from liprune_utils.training import train_until

PARAMETERS = OtherScoresParameters(
    results_dir="x", num_images=12, batch_size=4, num_forgetting_epochs=2, tolerance=0.1,
    num_runs=10, seed=3,
)  # fmt: skip
pytestmark = pytest.mark.usefixtures("one_thread")


class Scored(NamedTuple):
    """What the page computes on the small images, and the training that counts forgetting."""

    images: Images
    pair: tuple
    scores: pd.DataFrame
    costs: pd.DataFrame
    training: tuple
    correct: np.ndarray


@pytest.fixture(scope="module")
def scored() -> Scored:
    draw = torch.Generator().manual_seed(5)
    inputs = [torch.randn(n, 3, 8, 8, generator=draw) for n in (16, 4)]
    labels = [torch.randint(10, (len(each),), generator=draw) for each in inputs]
    images = Images(inputs[0], labels[0], inputs[1], labels[1])
    trainings, seconds = [], iter(range(1, 1000))

    def watch(state, *arguments):
        trainings.append((*arguments, train_until(state, *arguments).correct_history()))
        return state

    with pytest.MonkeyPatch.context() as patch:
        model = resnet(8, torch.Generator().manual_seed(1))
        patch.setattr(runs, "recorded_network", lambda epoch: model)
        patch.setattr(runs, "RECIPE", runs.RECIPE.replace(depth=8))
        patch.setattr(runs, "train_until", watch)
        patch.setattr(runs, "_timed", lambda run, *given: (run(*given), next(seconds)))
        pair = runs.networks(images)
        scores, costs = runs.all_scores(images, pair, PARAMETERS)
    *training, correct = trainings[0]
    return Scored(images, pair, scores, costs, training, correct)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("batch_size", 129, "a whole number from 2 to 128"),
        ("num_images", 13, "a multiple of the batch size 4, from 8 to 5000"),
        ("num_images", 4, "a multiple of the batch size 4, from 8 to 5000"),
        ("num_images", 5004, "a multiple of the batch size 4, from 8 to 5000"),
        ("num_forgetting_epochs", 1, "a whole number from 2 to 200"),
        ("tolerance", 1.0, "a number above 0, below 1"),
        ("num_runs", 9, "a whole number from 10 to 10000"),
        ("seed", 2**63, "a whole number from 0 to 2^63 - 1"),
    ],
)
def test_a_bad_value_is_refused_in_one_sentence(name, value, expected):
    with pytest.raises(InputError) as caught:
        PARAMETERS.replace(**{name: value})
    assert str(caught.value) == f"{name} is {value!r}; expected {expected}."


def test_the_ends_of_the_ranges_are_welcome():
    assert PARAMETERS.replace(num_images=5000, batch_size=2, num_runs=10_000, seed=0)
    assert PARAMETERS.replace(num_images=256, batch_size=128, num_forgetting_epochs=200)


def test_the_network_is_scored_with_the_statistics_of_the_images(scored):
    model, by_example = scored.pair
    one, two = (dict(m.named_parameters()) for m in scored.pair)
    assert all(torch.equal(one[name], two[name]) for name in one)
    inputs = []
    first = next(m for m in by_example.modules() if hasattr(m, "running_mean"))
    hook = first.register_forward_pre_hook(lambda module, x: inputs.append(x[0]))
    with torch.no_grad():
        by_example(scored.images.inputs)
    hook.remove()
    assert torch.allclose(inputs[0].mean(dim=(0, 2, 3)), first.running_mean, atol=1e-5)
    assert not by_example.training
    assert model is not by_example


def test_scores_batch_by_batch_are_the_scores_of_all(scored):
    assert set(scored.scores) == set(SCORES) - {"leverage"}
    first = scored.images.inputs[:12], scored.images.labels[:12]
    for name in ("gauss-newton", "grand", "el2n", "loss", "margin"):
        expected = score(name, scored.pair[1], *first)
        found = scored.scores[name]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6, err_msg=name)
    expected = score("hessian", scored.pair[1], *first, tolerance=1e-4)
    np.testing.assert_allclose(scored.scores.hessian, expected, rtol=0.1)
    expected = score("random", scored.pair[1], *first, seed=3)
    np.testing.assert_array_equal(scored.scores.random, expected)


def test_a_batch_has_one_norm_in_train_mode(scored):
    norms = scored.scores["hessian-batch"].to_numpy().reshape(3, 4)
    assert (norms == norms[:, :1]).all()
    data = scored.images.inputs, scored.images.labels
    table = batch_hessian_norms(scored.pair[0], *data, [np.arange(4, 8)], tolerance=0.1)
    assert norms[1, 0] == pytest.approx(best_estimates(table)[0], rel=1e-5)


def test_costs_are_times_over_a_gradients(scored):
    costs, known = scored.costs[:-2], scored.costs[-2:]
    assert costs.score.tolist() == list(BY_NETWORK) * 3
    assert costs.batch.tolist() == [0] * 7 + [1] * 7 + [2] * 7
    expected = [(8 * turn + k) / (8 * turn + 1) for turn in range(3) for k in range(2, 9)]
    np.testing.assert_allclose(costs.gradients, expected)
    counted = costs.score.str.startswith("hessian")
    assert (costs.products[counted] >= 1).all()
    assert costs.products[~counted].isna().all()
    assert known.score.tolist() == ["forgetting", "random"]
    assert known.gradients.tolist() == [2.0, 0.0]


def test_forgetting_counts_a_training_on_these_images_alone(scored):
    few, batches, recipe, last = scored.training
    assert torch.equal(few.inputs, scored.images.inputs[:12])
    assert torch.equal(few.labels, scored.images.labels[:12])
    assert (last, recipe.num_epochs, recipe.num_images, recipe.seed) == (2, 2, 12, 3)
    assert sorted(np.concatenate(batches)) == list(range(12))
    assert [len(batch) for batch in batches] == [4, 4, 4]
    assert scored.correct.shape == (2, 12)
    np.testing.assert_array_equal(scored.scores.forgetting, forgetting_counts(scored.correct))


def test_scores_are_saved_with_what_they_are_of(scored, tmp_path):
    dataset = synthetic.dataset()
    runs.save_all(tmp_path, scored.scores, scored.pair, dataset, 0.1)
    assert len(list(tmp_path.glob("*.npy"))) == len(BY_NETWORK)
    for name in BY_NETWORK:
        by_batch = name == "hessian-batch"
        manifest = ScoreManifest(
            score=name, model="ResNet-14", epoch=4, seed=0, num_examples=12,
            data_source=dataset.source, pixel_sha256=dataset.sha256,
            weights_sha256=weights_sha256(scored.pair[0] if by_batch else scored.pair[1]),
            batch_norm="train" if by_batch else "eval",
            tolerance=0.1 if "hessian" in name else 0.0,
        )  # fmt: skip
        values = load_scores(tmp_path / f"{name}-epoch4-seed0.npy", manifest)
        np.testing.assert_array_equal(values, scored.scores[name])
