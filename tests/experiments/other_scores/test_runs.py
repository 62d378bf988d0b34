"""The live runs of page 10, on a small network and a few small images."""

from dataclasses import replace

import numpy as np
import pytest
import synthetic
import torch

from experiments.other_scores import runs
from experiments.other_scores.runs import (
    BY_NETWORK,
    OtherScoresParameters,
    all_scores,
    forgetting_scores,
    image_numbers,
    networks,
    save_all,
    score_in_turns,
    timed,
)
from liprune_utils.batch_scores import batch_hessian_norms, best_estimates
from liprune_utils.checks import InputError
from liprune_utils.example_scores import forgetting_counts
from liprune_utils.images import Task, make_task, standardised_levels
from liprune_utils.models import resnet
from liprune_utils.score_files import ScoreManifest, load_scores, weights_sha256
from liprune_utils.scores import SCORES, score

PARAMETERS = OtherScoresParameters(
    results_dir="x", num_images=12, batch_size=4, num_forgetting_epochs=2, tolerance=0.1,
    num_runs=10, seed=3,
)  # fmt: skip
pytestmark = pytest.mark.usefixtures("one_thread")


def task(num_images: int = 16, side: int = 8) -> Task:
    draw = torch.Generator().manual_seed(5)
    sets = [torch.randn(n, 3, side, side, generator=draw) for n in (num_images, 4)]
    labels = [torch.randint(10, (len(images),), generator=draw) for images in sets]
    return Task(sets[0], labels[0], sets[1], labels[1])


@pytest.fixture(scope="module")
def pair():
    model = resnet(8, torch.Generator().manual_seed(1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "recorded_network", lambda epoch: model)
        return networks(task())


@pytest.fixture(scope="module")
def scored(pair):
    small = replace(runs.RECIPE, depth=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "RECIPE", small)
        return all_scores(task(), pair, PARAMETERS)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("batch_size", 1, "from 2 to 128"),
        ("batch_size", 129, "from 2 to 128"),
        ("num_images", 13, "a multiple of the batch size 4, from 8 to 5000"),
        ("num_images", 4, "a multiple of the batch size 4, from 8 to 5000"),
        ("num_images", 5004, "a multiple of the batch size 4, from 8 to 5000"),
        ("num_forgetting_epochs", 1, "from 2 to 200"),
        ("num_forgetting_epochs", 201, "from 2 to 200"),
        ("tolerance", 0.0, "a number in (0, 1)"),
        ("tolerance", 1.0, "a number in (0, 1)"),
        ("num_runs", 9, "from 10 to 10000"),
        ("num_runs", 10_001, "from 10 to 10000"),
        ("seed", -1, "from 0 to 2^63 - 1"),
        ("seed", 2**63, "from 0 to 2^63 - 1"),
        ("results_dir", "", "a folder's name"),
    ],
)
def test_a_bad_value_is_refused_in_one_sentence(name, value, expected):
    with pytest.raises(InputError) as caught:
        replace(PARAMETERS, **{name: value})
    assert str(caught.value) == f"{name} is {value!r}; expected {expected}."


def test_the_ends_of_the_ranges_are_welcome():
    assert replace(PARAMETERS, num_images=5000, batch_size=2, num_runs=10_000, seed=0)
    assert replace(PARAMETERS, num_images=256, batch_size=128, num_forgetting_epochs=200)


def test_image_numbers_are_those_of_the_task():
    dataset = synthetic.dataset()
    made = make_task(dataset, 20, 5)
    numbers = image_numbers(dataset, 6)
    levels = standardised_levels(dataset.train_images)
    for number, image, label in zip(numbers, made.images, made.labels, strict=False):
        pixels = dataset.train_images[number]
        expected = np.stack([levels[pixels[..., c], c] for c in range(3)])
        np.testing.assert_array_equal(image.numpy(), expected)
        assert label == dataset.train_labels[number]


def test_the_network_is_scored_with_the_statistics_of_the_images(pair):
    model, scored = pair
    one, two = (dict(m.named_parameters()) for m in pair)
    assert all(torch.equal(one[name], two[name]) for name in one)
    with torch.no_grad():
        first = next(m for m in scored.modules() if hasattr(m, "running_mean"))
        inputs = []
        first.register_forward_pre_hook(lambda module, x: inputs.append(x[0]))
        scored(task().images)
    first._forward_pre_hooks.clear()
    assert torch.allclose(inputs[0].mean(dim=(0, 2, 3)), first.running_mean, atol=1e-5)
    assert not scored.training
    assert model is not scored


def test_scores_batch_by_batch_are_the_scores_of_all(pair, scored):
    scores, _ = scored
    assert set(scores) == set(SCORES)
    images, labels = task().images[:12], task().labels[:12]
    for name in ("gauss-newton", "grand", "el2n", "loss", "margin"):
        expected = score(name, pair[1], images, labels)
        np.testing.assert_allclose(scores[name], expected, rtol=1e-4, atol=1e-6, err_msg=name)
    expected = score("hessian", pair[1], images, labels, tolerance=1e-4)
    np.testing.assert_allclose(scores.hessian, expected, rtol=0.1)
    assert scores.random.nunique() == 12


def test_a_batch_has_one_norm_in_train_mode(pair, scored):
    norms = scored[0]["hessian-batch"].to_numpy().reshape(3, 4)
    assert (norms == norms[:, :1]).all()
    first = [np.arange(4, 8)]
    table = batch_hessian_norms(pair[0], task().images, task().labels, first, tolerance=0.1)
    assert norms[1, 0] == pytest.approx(best_estimates(table)[0], rel=1e-5)


def test_costs_are_times_over_a_gradients(pair, monkeypatch):
    seconds = iter(range(1, 1000))

    def clock(run, *arguments):
        return run(*arguments), next(seconds)

    monkeypatch.setattr(runs, "timed", clock)
    _, costs = score_in_turns(task(), pair, PARAMETERS)
    assert costs.score.tolist() == list(BY_NETWORK) * 3
    assert costs.batch.tolist() == [0] * 7 + [1] * 7 + [2] * 7
    expected = [(8 * turn + k) / (8 * turn + 1) for turn in range(3) for k in range(2, 9)]
    np.testing.assert_allclose(costs.gradients, expected)
    counted = costs.score.str.startswith("hessian")
    assert (costs.products[counted] >= 1).all()
    assert costs.products[~counted].isna().all()


def test_costs_of_what_uses_no_network_are_known(scored):
    costs = scored[1].set_index("score").gradients
    assert (costs["forgetting"], costs["random"]) == (2.0, 0.0)
    assert (costs[list(BY_NETWORK)] > 0).all()


def test_something_is_timed_and_returned():
    found, seconds = timed(lambda a, b: a + b, 2, 3)
    assert found == 5
    assert 0 <= seconds < 1


def test_forgetting_counts_a_training_on_these_images_alone(monkeypatch):
    monkeypatch.setattr(runs, "RECIPE", replace(runs.RECIPE, depth=8))
    seen = []

    def watch(state, few, batches, recipe, last):
        seen.append((few, batches, recipe, last))
        state.history = [
            torch.from_numpy(np.packbits(np.array(row)))
            for row in ([1, 1, 0] * 4, [0, 1, 0] * 4, [1, 0, 0] * 4)
        ]
        return state

    monkeypatch.setattr(runs, "train_until", watch)
    found = forgetting_scores(task(), PARAMETERS)
    assert found.tolist() == [1, 1, 3] * 4
    (few, batches, recipe, last) = seen[0]
    assert torch.equal(few.images, task().images[:12])
    assert (last, recipe.num_images, recipe.seed) == (2, 12, 3)
    assert sorted(np.concatenate(batches)) == list(range(12))
    assert [len(batch) for batch in batches] == [4, 4, 4]


def test_forgetting_is_a_whole_number_up_to_the_epochs(scored):
    counts = scored[0].forgetting
    assert set(counts) <= {0.0, 1.0, 2.0}
    never = forgetting_counts(np.zeros((2, 1), dtype=bool))
    assert never.tolist() == [2.0]


def test_scores_are_saved_with_what_they_are_of(pair, scored, tmp_path):
    dataset = synthetic.dataset()
    paths = save_all(tmp_path, scored[0], pair, dataset, 0.1)
    assert [path.name for path in paths] == [f"{name}-epoch4-seed0.npy" for name in BY_NETWORK]
    for name, path in zip(BY_NETWORK, paths, strict=True):
        by_batch = name == "hessian-batch"
        manifest = ScoreManifest(
            name, "ResNet-14", 4, dataset.source, dataset.sha256,
            weights_sha256(pair[0] if by_batch else pair[1]),
            "train" if by_batch else "eval", 0, 12, 0.1 if "hessian" in name else 0.0,
        )  # fmt: skip
        np.testing.assert_array_equal(load_scores(path, manifest), scored[0][name])
