"""Every score behind one interface: in the data set's order, against scores by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from liprune_utils.batch_scores import batch_hessian_norms, best_estimates
from liprune_utils.checks import InputError
from liprune_utils.example_scores import forgetting_counts
from liprune_utils.scores import SCORES, score

NUM_EXAMPLES = 12
OF_EXAMPLES = ("hessian", "gauss-newton", "grand", "el2n", "loss", "margin")


pytestmark = pytest.mark.usefixtures("one_thread")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def problem() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    images = torch.randn(NUM_EXAMPLES, 2, 4, 4, generator=seeded(1), dtype=torch.float64)
    labels = torch.randint(0, 3, (NUM_EXAMPLES,), generator=seeded(2))
    layers = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 3)
    model = nn.Sequential(*layers).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=seeded(3))
    return model, images, labels


def test_the_names_are_known():
    assert tuple(SCORES) == ("hessian-batch", *OF_EXAMPLES, "forgetting", "random")


# All scores of one example but Lanczos' from dense derivatives, in the order of OF_EXAMPLES.
def scores_by_hand(model: nn.Module, image: torch.Tensor, label: int) -> list[float]:
    model = model.eval()
    parameters = dict(model.named_parameters())
    sizes = [p.numel() for p in parameters.values()]

    def outputs(weights: torch.Tensor) -> torch.Tensor:
        parts = [
            w.view_as(p) for w, p in zip(weights.split(sizes), model.parameters(), strict=True)
        ]
        values = dict(zip(parameters, parts, strict=True))
        return torch.func.functional_call(model, values, (image[None],))[0]

    def loss(weights: torch.Tensor) -> torch.Tensor:
        return outputs(weights).logsumexp(dim=0) - outputs(weights)[label]

    weights = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    hessian = torch.autograd.functional.hessian(loss, weights)
    gradient = torch.autograd.functional.jacobian(loss, weights)
    jacobian = torch.autograd.functional.jacobian(outputs, weights)
    z = outputs(weights).detach()
    p = z.softmax(dim=0)
    gauss_newton = jacobian.T @ (p.diag() - p.outer(p)) @ jacobian
    norms = [torch.linalg.matrix_norm(matrix, 2).item() for matrix in (hessian, gauss_newton)]
    error = [p[k].item() - (k == label) for k in range(3)]
    other = max(z[k].item() for k in range(3) if k != label)
    of_outputs = [np.linalg.norm(error), loss(weights).item(), other - z[label].item()]
    return [*norms, gradient.norm().item(), *of_outputs]


@pytest.mark.parametrize("chunk_size", [5, None])  # 5 leaves a ragged last chunk
def test_scores_of_examples_are_those_of_dense_derivatives_in_order(chunk_size):
    model, images, labels = problem()
    expected = [
        scores_by_hand(problem()[0], *pair) for pair in zip(images, labels.tolist(), strict=True)
    ]
    for name, column in zip(OF_EXAMPLES, np.transpose(expected), strict=True):
        found = score(name, model, images, labels, tolerance=1e-8, chunk_size=chunk_size)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, column, rtol=1e-6, err_msg=name)
        assert len(set(found)) == NUM_EXAMPLES


def test_a_float32_network_has_float64_scores():
    model, images, labels = problem()
    for name in OF_EXAMPLES:
        found = score(name, model.float(), images.float(), labels)
        assert (found.dtype, found.shape) == (np.float64, (NUM_EXAMPLES,))


def test_every_example_has_the_norm_of_its_batch():
    arguments, options = problem(), {"tolerance": 1e-3, "seed": 3}
    batches = [np.array([7, 1, 4, 0, 11]), [2, 3, 5, 6, 10], np.array([9, 8])]  # ragged
    norms = best_estimates(batch_hessian_norms(*arguments, batches, **options))
    expected = {i: norm for batch, norm in zip(batches, norms, strict=True) for i in batch}
    found = score("hessian-batch", *arguments, batches=batches, **options)
    assert found.tolist() == [expected[i] for i in range(NUM_EXAMPLES)]
    assert len(set(found)) == 3


def test_lanczos_options_reach_the_scores():
    arguments, batches = problem(), [np.arange(NUM_EXAMPLES)]
    for name in ("hessian-batch", "hessian"):
        exact, loose, other = (
            score(name, *arguments, batches=batches, tolerance=tolerance, seed=seed)
            for tolerance, seed in ((1e-9, 0), (0.5, 0), (0.5, 1))
        )
        assert (np.abs(loose / exact - 1) > 1e-6).any()
        assert (loose != other).any()


def test_history_and_chance_need_no_network():
    _, images, labels = problem()
    correct = np.random.default_rng(0).random((4, NUM_EXAMPLES)) < 0.5
    found = score("forgetting", None, images, labels, correct=correct)
    np.testing.assert_array_equal(found, forgetting_counts(correct))
    first, again, other = (score("random", None, images, labels, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert len({*first, *other}) == 2 * NUM_EXAMPLES
    assert (first >= 0).all()
    assert (first < 1).all()


def fail(*_):
    raise KeyError


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("name", ["hessian-batch", *OF_EXAMPLES])
def test_every_score_leaves_the_model_as_it_was(name, fails):
    model, *pair = problem()
    model[2].eval()
    if fails:
        model[4].register_forward_hook(fail)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    options = {"batches": [np.arange(NUM_EXAMPLES)]}
    if fails:
        with pytest.raises(KeyError):
            score(name, model, *pair, **options)
    else:
        score(name, model, *pair, **options)
    assert [module.training for module in model] == [True, True, False, True, True]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("grad", {}, "^The score is 'grad'; expected one of hessian-batch, hessian, "),
        ("hessian-batch", {}, "^batches is None; expected arrays of indices that partition"),
        (
            "hessian-batch",
            {"batches": [[0, 1], range(3, 12)]},
            "hold index 2 0 times; expected once",
        ),
        ("hessian-batch", {"batches": [range(8), range(7, 12)]}, "hold index 7 2 times; expected"),
        ("hessian-batch", {"batches": [range(12), [3, 3]]}, "hold index 3 3 times; expected once"),
        ("hessian-batch", {"batches": []}, "hold index 0 0 times; expected once"),
        ("hessian-batch", {"batches": [range(13)]}, r"^The index is \[12\]; expected 0 to 11"),
        ("hessian-batch", {"batches": [[0], range(1, 12)]}, "^Batch 0: .* examples is 1; expected"),
        ("forgetting", {}, "^correct is None; expected whether each example was right"),
        (
            "forgetting",
            {"correct": np.ones((2, 11), bool)},
            "examples in correct is 11; expected 12",
        ),
        ("forgetting", {"correct": np.ones((2, 12))}, "is 'float64 of shape"),
        *[(name, {"chunk_size": 0}, "^chunk_size is 0; expected at least") for name in OF_EXAMPLES],
        *[(name, {"tolerance": 1}, "^tolerance is 1") for name in ("hessian",)],
    ],
)
def test_what_a_score_needs_is_checked(name, options, message):
    with pytest.raises(InputError, match=message):
        score(name, *problem(), **options)


class Greedy(nn.Module):
    """Wants a petabyte, or says that a GPU has no more."""

    def __init__(self, on_gpu: bool):
        super().__init__()
        self.weight, self.on_gpu = nn.Parameter(torch.ones(2)), on_gpu

    def forward(self, x):
        if self.on_gpu:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return x * self.weight + torch.empty(2**48)[0]


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize("name", OF_EXAMPLES)
@pytest.mark.parametrize(
    ("chunk_size", "sentence"),
    [
        (5, "Out of memory with chunk_size 5; try chunk_size=2."),
        (1, "Out of memory with chunk_size 1: one example does not fit."),
        (None, "Out of memory with chunk_size 12; try chunk_size=6."),  # there are only 12 examples
    ],
)
def test_too_little_memory_is_said_in_one_sentence(name, on_gpu, chunk_size, sentence):
    pair = torch.ones(12, 2), torch.zeros(12, dtype=torch.int64)
    with pytest.raises(InputError) as caught:
        score(name, Greedy(on_gpu), *pair, chunk_size=chunk_size)
    assert str(caught.value) == sentence


class Broken(nn.Linear):
    def forward(self, x):
        raise RuntimeError("not about memory")


@pytest.mark.parametrize("name", OF_EXAMPLES)
def test_other_errors_of_torch_are_its_own(name):
    with pytest.raises(RuntimeError, match=r"^not about memory$"):
        score(name, Broken(2, 2), torch.ones(3, 2), torch.zeros(3, dtype=torch.int64))
