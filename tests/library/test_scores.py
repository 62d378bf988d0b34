"""Every score behind one interface: in the data set's order, the model left as it was."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from networks import examples, lived_in, small_net, unchanged
from torch import nn
from torch.nn import functional

from liprune_utils import example_scores
from liprune_utils.batch_scores import batch_hessian_norms, best_estimates
from liprune_utils.checks import InputError
from liprune_utils.features import leverage_scores
from liprune_utils.scores import SCORES, score

pytestmark = pytest.mark.usefixtures("one_thread")
NUM_EXAMPLES = 12
IMAGES, LABELS = examples(NUM_EXAMPLES)
FROM_LOSSES = {
    "hessian": "example_hessian_norms",
    "gauss-newton": "example_gauss_newton_norms",
    "grand": "example_gradient_norms",
}
FROM_LOGITS = {"el2n": "el2n_scores", "loss": "example_losses", "margin": "negative_margins"}
OF_EXAMPLES = (*FROM_LOSSES, *FROM_LOGITS)
BY_EXAMPLES = (*OF_EXAMPLES, "leverage")  # which depends on all of them


def test_the_names_are_known():
    assert ("hessian-batch", *BY_EXAMPLES, "forgetting", "random") == SCORES


@pytest.mark.parametrize("name", OF_EXAMPLES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("chunk_size", [5, None])  # 5 leaves a ragged last chunk
def test_scores_of_examples_are_those_of_their_functions(name, dtype, chunk_size):
    model, images = small_net().to(dtype), IMAGES.to(dtype)
    function = getattr(example_scores, (FROM_LOSSES | FROM_LOGITS)[name])
    options = {"chunk_size": chunk_size} if chunk_size else {}
    if name == "hessian":
        options |= {"tolerance": 0.1, "seed": 3, "max_products": 50}
    loss = [functional.cross_entropy] if name in FROM_LOSSES else []
    expected = function(model, *loss, images, LABELS, **options)
    scores = score(name, model, images, LABELS, tolerance=0.1, seed=3, chunk_size=chunk_size)
    assert (scores.dtype, len(set(scores))) == (np.float64, NUM_EXAMPLES)
    np.testing.assert_array_equal(scores, expected.norm if name == "hessian" else expected)


@pytest.mark.parametrize("chunk_size", [5, None])
def test_leverages_are_taken_among_all_examples(chunk_size):
    images, labels = examples(30)
    found = score("leverage", small_net(), images, labels, chunk_size=chunk_size)
    options = {"chunk_size": chunk_size} if chunk_size else {}
    np.testing.assert_array_equal(found, leverage_scores(small_net(), images, **options))
    assert found.mean() == pytest.approx(13)  # the rank of 12 features and a one
    assert len(set(found)) == 30


def test_every_example_has_the_norm_of_its_batch():
    arguments, options = (small_net(), IMAGES, LABELS), {"tolerance": 1e-3, "seed": 3}
    batches = [np.array([7, 1, 4, 0, 11]), [2, 3, 5, 6, 10], np.array([9, 8])]  # ragged
    norms = best_estimates(batch_hessian_norms(*arguments, batches, **options))
    expected = {i: norm for batch, norm in zip(batches, norms, strict=True) for i in batch}
    scores = score("hessian-batch", *arguments, batches=batches, **options)
    assert scores.tolist() == [expected[i] for i in range(NUM_EXAMPLES)]
    assert len(set(scores)) == 3


def test_history_and_chance_need_no_network():
    correct = np.random.default_rng(0).random((4, NUM_EXAMPLES)) < 0.5
    counts = score("forgetting", None, IMAGES, LABELS, correct=correct)
    np.testing.assert_array_equal(counts, example_scores.forgetting_counts(correct))
    first, again, other = (score("random", None, IMAGES, LABELS, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert len({*first, *other}) == 2 * NUM_EXAMPLES
    assert (first >= 0).all()
    assert (first < 1).all()


def fail(*_):
    raise KeyError


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("name", ["hessian-batch", *BY_EXAMPLES])
def test_every_score_leaves_the_model_as_it_was(name, fails):
    model = lived_in()
    if fails:
        model[5].register_forward_hook(fail)
    with unchanged(model), pytest.raises(KeyError) if fails else nullcontext():
        score(name, model, IMAGES, LABELS, batches=[np.arange(NUM_EXAMPLES)])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("grad", {}, "^The score is 'grad'; expected one of hessian-batch, hessian, "),
        ("hessian-batch", {}, "^batches is None; expected arrays of indices that partition"),
        ("hessian-batch", {"batches": [[0, 1], range(3, 12)]}, "hold index 2 0 times; expected on"),
        ("hessian-batch", {"batches": [range(8), range(7, 12)]}, "hold index 7 2 times; expected"),
        ("hessian-batch", {"batches": [range(12), [3, 3]]}, "hold index 3 3 times; expected once"),
        ("hessian-batch", {"batches": []}, "hold index 0 0 times; expected once"),
        ("hessian-batch", {"batches": [range(13)]}, r"^The index is \[12\]; expected 0 to 11"),
        ("hessian-batch", {"batches": [[0], range(1, 12)]}, "^Batch 0: .* examples is 1; expected"),
        ("forgetting", {}, "^correct is None; expected whether each example was right"),
        ("forgetting", {"correct": np.ones((2, 11), bool)}, "examples in correct is 11; expected"),
        ("forgetting", {"correct": np.ones((2, 12))}, "is 'float64 of shape"),
        *[(name, {"chunk_size": 0}, "^chunk_size is 0; expected at least") for name in BY_EXAMPLES],
        ("hessian", {"tolerance": 1}, "^tolerance is 1"),
    ],
)
def test_what_a_score_needs_is_checked(name, options, message):
    with pytest.raises(InputError, match=message):
        score(name, small_net(), IMAGES, LABELS, **options)


class Greedy(nn.Module):
    """Wants a petabyte, or says that a GPU has no more, or fails for another reason."""

    def __init__(self, wish: str):
        super().__init__()
        self.weight, self.wish = nn.Parameter(torch.ones(2)), wish

    def forward(self, x):
        if self.wish == "GPU":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        if self.wish == "other":
            raise RuntimeError("not about memory")
        return x * self.weight + torch.empty(2**48)[0]


@pytest.mark.parametrize("wish", ["CPU", "GPU"])
@pytest.mark.parametrize("name", ["hessian", "loss"])
@pytest.mark.parametrize(
    ("chunk_size", "sentence"),
    [
        (5, "Out of memory with chunk_size 5; try chunk_size=2."),
        (1, "Out of memory with chunk_size 1: one example does not fit."),
        (None, "Out of memory with chunk_size 12; try chunk_size=6."),  # there are only 12 examples
    ],
)
def test_too_little_memory_is_reported_in_one_sentence(name, wish, chunk_size, sentence):
    pair = torch.ones(12, 2), torch.zeros(12, dtype=torch.int64)
    with pytest.raises(InputError) as caught:
        score(name, Greedy(wish), *pair, chunk_size=chunk_size)
    assert str(caught.value) == sentence


def test_other_errors_of_torch_are_its_own():
    with pytest.raises(RuntimeError, match=r"^not about memory$"):
        score("loss", Greedy("other"), torch.ones(3, 2), torch.zeros(3, dtype=torch.int64))
