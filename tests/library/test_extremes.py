"""Values at the edges of float32, other losses, and what is refused before any work."""

import numpy as np
import pytest
import torch
from networks import draw, examples, seeded, small_net, unchanged
from torch import Tensor, nn
from torch.nn import functional

import liprune_utils as lp
from liprune_utils.batch_scores import batch_hessian_norms, select_batches
from liprune_utils.checks import InputError

pytestmark = pytest.mark.usefixtures("one_thread")
FROM_LOSSES = ("hessian", "gauss-newton", "grand")
BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def identity(num_classes: int, dtype: torch.dtype) -> nn.Module:
    model = nn.Linear(num_classes, num_classes).to(dtype)
    with torch.no_grad():
        model.weight.copy_(torch.eye(num_classes))
        model.bias.zero_()
    return model


@BOTH
@pytest.mark.parametrize("label", [0, 1], ids=["right", "wrong"])
@pytest.mark.parametrize("margin", [0.0, 1.0, 8.0, 12.0, 16.0, 20.0, 40.0, 60.0, 75.0, 90.0, 100.0])
def test_a_margin_has_its_closed_form(margin, label, dtype):
    x, y = torch.tensor([[margin, 0.0]], dtype=dtype), torch.tensor([label])
    q = 1 / (1 + np.exp(margin))  # the probability of the other class
    square = margin**2 + 1  # of (x, 1), with which both derivatives are products
    curvature, slope = 2 * q * (1 - q) * square, np.sqrt(2) * (q if label == 0 else 1 - q)
    expected = {
        "hessian": curvature, "gauss-newton": curvature, "grand": slope * np.sqrt(square),
        "el2n": slope, "loss": np.log1p(np.exp(-margin)) + margin * label,
    }  # fmt: skip
    model = identity(2, dtype)
    for name, value in expected.items():
        np.testing.assert_allclose(lp.score(name, model, x, y), value, rtol=1e-3, err_msg=name)
    for count in (1, 3):
        pair = x.expand(count, -1), y.expand(count)
        result = lp.hessian_norm(model, functional.cross_entropy, *pair)
        assert result.norm == pytest.approx(curvature, rel=1e-3)


@pytest.mark.parametrize("num_classes", [3, 10])
@pytest.mark.parametrize("margin", [5.0, 15.0, 30.0, 80.0])
def test_a_margin_among_many_classes(margin, num_classes):
    z = np.r_[margin, -np.arange(num_classes - 1) / 3]
    p = np.exp(z[1:] - margin) / (1 + np.exp(z[1:] - margin).sum())
    rest = p.sum()  # products with the basis e_k - e_0 lose nothing
    D = np.c_[-np.ones(num_classes - 1), np.eye(num_classes - 1)]
    A = D.T @ (np.diag(p / rest) - np.outer(p, p / rest)) @ D
    expected = rest * np.linalg.norm(A, 2) * (z @ z + 1)
    x, y = torch.tensor(z, dtype=torch.float32)[None], torch.tensor([0])
    for name in ("hessian", "gauss-newton"):
        found = lp.score(name, identity(num_classes, torch.float32), x, y)
        np.testing.assert_allclose(found, expected, rtol=2e-3)


def test_confident_examples_of_a_network_agree_in_both_precisions():
    torch.manual_seed(0)
    x, y = torch.randn(6, 4), torch.arange(6) % 3
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    with torch.no_grad():
        model[2].weight *= 80
    for name in FROM_LOSSES:
        single = lp.score(name, model.float(), x, y, tolerance=1e-4)
        double = lp.score(name, model.double(), x.double(), y, tolerance=1e-4)
        np.testing.assert_allclose(single, double, rtol=1e-3)


def test_an_easy_data_set_is_scored():
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    x = torch.tensor(rng.normal(size=(80, 50)) + 3 * y[:, None], dtype=torch.float32)
    model = nn.Linear(50, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, 50))
        model.bias.copy_(torch.tensor([75.0, -75.0]))
    for name in ("hessian", "gauss-newton", "grand", "el2n", "loss", "margin"):
        scores = lp.score(name, model, x, torch.from_numpy(y))
        assert np.isfinite(scores).all()
        assert len(set(scores)) > 70


@BOTH
@pytest.mark.parametrize("scale", [1e-20, 1e-9, 1.0, 1e9, 1e20])
def test_scores_scale_with_the_loss(scale, dtype):
    model, (x, y) = small_net().to(dtype), examples()
    x = x.to(dtype)

    def loss(out: Tensor, labels: Tensor) -> Tensor:
        return scale * functional.cross_entropy(out, labels)

    options = {"batches": [np.arange(5)], "tolerance": 1e-4}
    for name in ("hessian-batch", *FROM_LOSSES, "loss"):
        found = lp.score(name, model, x, y, loss=loss, **options)
        np.testing.assert_allclose(found, scale * lp.score(name, model, x, y, **options), rtol=1e-3)


@pytest.mark.parametrize("scale", [1e-20, 1e-10, 1.0, 1e10, 1e18])
def test_scores_scale_with_the_inputs(scale):
    x, y = scale * torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.zeros(2, 1)
    model = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.zero_()
    found = lp.score("hessian", model, x, y, loss=functional.mse_loss)
    np.testing.assert_allclose(found, 2 * np.array([25.0, 1.0]) * scale**2, rtol=1e-3)


def test_inputs_beyond_float32_are_refused():
    x, y = 1e20 * torch.ones(2, 2), torch.zeros(2, 1)
    with pytest.raises(InputError, match=r"is inf; expected a finite|is not finite"):
        lp.score("hessian", nn.Linear(2, 1), x, y, loss=functional.mse_loss)


def test_zero_hessians_stand_beside_others():
    x = torch.tensor([[300.0, 0], [250, 0], [1, 0], [0, 1]])
    y = torch.tensor([0, 0, 0, 1])
    batches = [np.array([0, 1]), np.array([2, 3])]
    scores = lp.score("hessian-batch", identity(2, torch.float32), x, y, batches=batches)
    np.testing.assert_allclose(scores, [0, 0, 0.5898, 0.5898], rtol=1e-3, atol=1e-30)
    zero = nn.Linear(2, 1, bias=False)
    flat = torch.cat([torch.zeros(2, 2), torch.eye(2)])
    options = {"batches": [[0, 1], [2], [3]], "loss": functional.mse_loss}
    scores = lp.score("hessian-batch", zero, flat, torch.zeros(4, 1), **options)
    np.testing.assert_allclose(scores, [0, 0, 2, 2], rtol=1e-3)
    scores = lp.score("hessian", zero, flat, torch.zeros(4, 1), loss=functional.mse_loss)
    np.testing.assert_allclose(scores, [0, 0, 2, 2], rtol=1e-3)


def test_a_batch_whose_hessian_vanishes_on_the_guess_of_the_last_is_not_zero():
    model, x = nn.Linear(4, 1, bias=False).double(), torch.eye(4, dtype=torch.float64)
    y = torch.zeros(4, 1, dtype=torch.float64)
    scales = torch.tensor([[1.0], [2.0], [3.0], [4.0]]).double()
    ones = [[i] for i in range(4)]  # each batch's Hessian is of another weight alone
    table = batch_hessian_norms(model, scales * x, y, ones, loss_fn=functional.mse_loss)
    np.testing.assert_allclose(table.norm, 2 * np.arange(1, 5.0) ** 2)


def test_equal_eigenvalues_of_both_signs_and_of_rank_one():
    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.u, self.v = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))

        def forward(self, x: Tensor) -> Tensor:
            return (x @ (self.u * self.v))[:, None]

    x, y = torch.tensor([[3.0, 1.0], [0.0, 2.0]]), torch.zeros(2, 1)
    found = lp.score("hessian", Product(), x, y, loss=lambda out, _: out.mean(), tolerance=1e-6)
    np.testing.assert_allclose(found, [3, 2], rtol=1e-6)  # eigenvalues 3, -3, 1, -1
    found = lp.score("gauss-newton", Product(), x, y, loss=functional.mse_loss)
    np.testing.assert_allclose(found, [2 * 2 * 10, 2 * 2 * 4], rtol=1e-6)


LOSSES = {
    "squared": (functional.mse_loss, draw(5, 4, seed=3)),
    "squared, as a module": (nn.MSELoss(), draw(5, 4, seed=3)),
    "Huber": (functional.huber_loss, draw(5, 4, seed=3)),
    "logistic": (functional.binary_cross_entropy_with_logits, draw(5, 4, seed=3).sigmoid()),
    "weighted": (nn.CrossEntropyLoss(torch.ones(4).double()), torch.arange(5) % 4),
    "smoothed": (nn.CrossEntropyLoss(label_smoothing=0.1), torch.arange(5) % 4),
    "probabilities": (functional.cross_entropy, draw(5, 4, seed=3).softmax(1)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_other_losses_have_the_scores_of_dense_matrices(name):
    loss, targets = LOSSES[name]
    model, (x, _) = small_net().eval(), examples()
    options = {"loss": loss, "tolerance": 1e-8}
    for i in range(5):
        parameters = list(model.parameters())
        value = loss(model(x[[i]]), targets[[i]])
        grads = torch.autograd.grad(value, parameters, create_graph=True)
        flat = torch.cat([g.reshape(-1) for g in grads])
        rows = [torch.autograd.grad(g, parameters, retain_graph=True) for g in flat]
        H = torch.stack([torch.cat([r.reshape(-1) for r in row]) for row in rows])
        pair = x[[i]], targets[[i]]
        expected = torch.linalg.matrix_norm(H, 2).item()
        assert lp.score("hessian", model, *pair, **options)[0] == pytest.approx(expected, rel=1e-6)
        expected = flat.norm().item()
        assert lp.score("grand", model, *pair, **options)[0] == pytest.approx(expected)
        assert lp.score("loss", model, *pair, **options)[0] == pytest.approx(value.item())
    scores = lp.score("hessian-batch", model, x, targets, batches=[np.arange(5)], **options)
    expected = lp.hessian_norm(model, loss, x, targets, tolerance=1e-8).norm
    np.testing.assert_allclose(scores, expected)


def test_a_loss_may_use_the_parameters_of_the_model():
    model, (x, y) = small_net(), examples()

    def decayed(out: Tensor, labels: Tensor) -> Tensor:
        penalty = sum(p.square().sum() for p in model.parameters())
        return functional.cross_entropy(out, labels) + 1e3 * penalty

    for name in ("hessian", "hessian-batch"):
        options = {"batches": [np.arange(5)], "loss": decayed}
        found = lp.score(name, model, x, y, **options)
        np.testing.assert_allclose(found, 2e3, rtol=0.02)
    captured = list(model.parameters())
    with pytest.raises(InputError, match=r"^What the loss depends on is 'more'; expected param"):
        lp.score("hessian", model, x, y, loss=lambda out, _: out.mean() + captured[0].sum())


@pytest.mark.parametrize("name", ["hessian-batch", "hessian", "random"])
def test_a_seed_may_be_of_numpy(name):
    model, (x, y) = small_net(), examples()
    options = {"batches": [np.arange(5)]}
    found = [lp.score(name, model, x, y, seed=s, **options) for s in (3, np.int64(3), np.uint8(3))]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_equal_batches_are_undecided():
    model, (x, y) = small_net(), examples(6)
    for batch in ([0, 1], [2, 3, 4, 5]):
        selection = select_batches(model, x, y, [batch] * 3, 1 / 3)
        assert selection.undecided.tolist() == [0, 1, 2]
    zero = nn.Linear(18, 3, bias=False).double()
    flat = torch.zeros(6, 18, dtype=torch.float64)
    assert select_batches(zero, flat, y % 3, [[0, 1]] * 3, 1 / 3).undecided.tolist() == [0, 1, 2]


def compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="eager")


X, Y = torch.randn(4, 2, generator=seeded()), torch.arange(4) % 3
LINE = nn.Linear(2, 3)
OF_MODELS = ("hessian-batch", "hessian", "gauss-newton", "grand", "el2n", "loss", "margin")
REFUSED = {
    "numpy inputs": (LINE, X.numpy(), Y, {}, r"^The data is 'ndarray'; expected a torch\.Tensor, "),
    "numpy by name": (LINE, {"x": X.numpy()}, Y, {}, r"^The inputs 'x' is 'ndarray'; expected one"),
    "nothing": (LINE, (), Y, {}, r"^The inputs is \(\); expected at least one torch\.Tensor"),
    "ragged": (LINE, (X, X[:3]), Y, {}, "^The number of examples in inputs 1 is 3; expected 4"),
    "double inputs": (LINE, X.double(), Y, {}, r"^The inputs' precision is torch\.float64; expect"),
    "a function": (lambda x: x, X, Y, {}, "^The model is 'function'; expected a torch"),
    "compiled": (compiled(LINE), X, Y, {}, "^The model is 'compiled'; expected the module before"),
    "scripted": (torch.jit.script(LINE), X, Y, {}, "^The model is 'compiled'; expected the"),
    "lazy": (nn.LazyLinear(3), X, Y, {}, "^The model is 'one with lazy parameters'; expected one"),
    "meta": (nn.Linear(2, 3, device="meta"), X, Y, {}, "^The parameters' device is 'meta'; "),
    "complex": (nn.Linear(2, 3, dtype=torch.complex64), X, Y, {}, r"torch\.complex64"),
    "labels as list": (LINE, X, [0, 1, 2, 0], {}, "^The (labels|targets) is 'list'; expected one"),
    "labels of int32": (LINE, X, Y.int(), {}, r"^The labels' type is 'torch\.int32 of shape \[4\]"),
    "labels of bool": (LINE, X, Y > 0, {}, r"^The labels' type is 'torch\.bool of shape \[4\]'"),
    "float labels": (LINE, X, Y.float(), {}, r"^The labels' type is 'torch\.float32 of shape"),
    "column labels": (LINE, X, Y[:, None], {}, r"^The labels' type is 'torch\.int64 of shape"),
    "label too large": (LINE, X, Y + 1, {}, "^The label of example 2 is 3; expected 0 to 2"),
    "ignored label": (LINE, X, Y - 100, {}, "^The label of example 0 is -100; expected 0 to 2"),
    "too few labels": (LINE, X, Y[:3], {}, "^The number of (labels|targets) is 3; expected 4"),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_MODELS)
@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_score_is_refused_in_a_sentence(case, name):
    model, x, y, options, message = REFUSED[case]
    options = {"batches": [np.arange(4)]} | options
    with pytest.raises(InputError, match=message) as refused:
        lp.score(name, model, x, y, **options)
    assert "\n" not in str(refused.value)


OPTIONS = {
    "seed": (-1, 2**63, 2.5, True, None, "3"),
    "tolerance": (0, 1, "0.1", None, np.nan),
    "chunk_size": (0, -1, 2.5, "3"),
}


@pytest.mark.parametrize(("option", "value"), [(k, v) for k, vs in OPTIONS.items() for v in vs])
def test_options_of_a_wrong_kind_are_refused(option, value):
    with unchanged(LINE), pytest.raises(InputError, match=f"^{option} is .*; expected a"):
        lp.score("hessian", LINE, X, Y, **{option: value})


@pytest.mark.parametrize("name", ["hessian-batch", "hessian", "gauss-newton", "grand"])
def test_losses_of_another_kind_are_refused(name):
    def fails(loss: object, targets: Tensor, message: str) -> None:
        with pytest.raises(InputError, match=message):
            lp.score(name, LINE, X, targets, loss=loss, batches=[np.arange(4)])

    fails(functional.mse_loss, torch.zeros(4), "^(Batch 0: )?Targets or labels differ from the")
    fails(
        functional.mse_loss,
        torch.zeros(4, 3).double(),
        r"(labels|targets)' precision is torch\.float64",
    )
    fails("squared", Y, "The loss is 'squared'; expected a function")
    fails(lambda out, y: out.sum(1), Y, r"The loss's shape is .*; expected a scalar")
    fails(lambda out, y: 1.0, Y, "^(Batch 0: )?The loss is 'float'; expected one torch")
    fails(lambda out, y: out.mean() * torch.rand(()), Y, "random numbers|passes .* different loss")


def test_a_gradient_needs_no_second_derivative():
    options = {"loss": nn.MultiMarginLoss(), "batches": [np.arange(4)]}  # has none in torch
    assert lp.score("grand", LINE, X, Y, **options).max() > 0
    for name in ("hessian", "hessian-batch"):
        with pytest.raises(InputError, match="cannot be differentiated twice by torch"):
            lp.score(name, LINE, X, Y, **options)


@pytest.mark.parametrize("name", ["el2n", "margin"])
def test_scores_of_classes_have_no_other_loss(name):
    with pytest.raises(InputError, match=f"^The loss of '{name}' is .*; expected the cross-entr"):
        lp.score(name, LINE, X, Y, loss=functional.mse_loss)


@pytest.mark.parametrize("name", ["hessian-batch", "hessian", "gauss-newton", "grand"])
def test_inference_mode_is_named(name):
    options = {"batches": [np.arange(4)]}
    with torch.inference_mode():
        made_in_it = X + 1
        with pytest.raises(InputError, match=r"torch\.inference_mode is True; expected False"):
            lp.score(name, LINE, X, Y, **options)
        assert len(lp.score("loss", LINE, X, Y)) == 4
    if name == "hessian-batch":  # whose inputs are chosen, so copied
        return
    with pytest.raises(InputError, match=r"torch\.inference_mode is True; expected False"):
        lp.score(name, LINE, made_in_it, Y, **options)
