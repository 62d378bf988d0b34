"""Last-layer features and leverages against the network cut off by hand and the hat matrix."""

import numpy as np
import pytest
import torch
from networks import draw, examples, lived_in, seeded, small_net, unchanged
from torch import Tensor, nn

from liprune_utils import features
from liprune_utils.checks import InputError
from liprune_utils.features import last_layer_features, leverage_scores
from liprune_utils.models import resnet
from liprune_utils.scores import score

pytestmark = pytest.mark.usefixtures("one_thread")
IMAGES, _ = examples(30)


@pytest.mark.parametrize("chunk_size", [1, 7, 30, 500])  # 7 leaves a ragged last chunk
def test_features_are_what_a_headless_network_returns(chunk_size):
    model = small_net()
    found = last_layer_features(model, IMAGES, chunk_size=chunk_size)
    with torch.no_grad():
        expected = small_net().eval()[:-1](IMAGES).numpy()
    assert (found.shape, found.dtype) == ((30, 13), np.float64)
    np.testing.assert_allclose(found[:, :-1], expected, rtol=1e-12)
    assert (found[:, -1] == 1).all()


def test_logits_are_linear_in_the_features_of_a_resnet():
    model, images = resnet(8, seeded()).eval(), draw(6, 3, 8, 8).float()
    nn.init.normal_(model.classifier.bias, generator=seeded(1))
    found = torch.from_numpy(last_layer_features(model, images)).float()
    weights = torch.cat([model.classifier.weight, model.classifier.bias[:, None]], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(found @ weights.T, model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk_size", [4, 500])
def test_leverages_are_the_diagonal_of_the_hat_matrix(chunk_size):
    x = last_layer_features(small_net(), IMAGES)
    hat = x @ np.linalg.solve(x.T @ x, x.T)
    found = leverage_scores(small_net(), IMAGES, chunk_size=chunk_size)
    np.testing.assert_allclose(found, 30 * hat.diagonal(), rtol=1e-8)


def test_leverages_do_not_see_the_labels_and_are_invariant_to_the_layer_before():
    model = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 3)).double()
    x = draw(40, 5)
    labels = torch.zeros(40, dtype=torch.int64)
    found = score("leverage", model, x, labels)
    np.testing.assert_array_equal(found, score("leverage", model, x, labels + 2))
    np.testing.assert_allclose(found, leverage_scores(model[1], x), rtol=1e-8)


class Last(nn.Module):
    """A linear layer, and something around it."""

    def __init__(self, around):
        super().__init__()
        self.first, self.last, self.around = nn.Linear(4, 3), nn.Linear(4, 3), around

    def forward(self, x: Tensor) -> Tensor:
        return self.around(self, x)


def named(model: Last, x: Tensor) -> Tensor:
    model.first(x)
    return model.last(input=2 * x)


def test_the_layer_is_found_by_its_output_however_it_is_called():
    x = draw(3, 4).float()
    found = last_layer_features(Last(named), x)
    np.testing.assert_array_equal(found[:, :-1], 2 * x.double())


X = torch.ones(3, 4)
NOT_LINEAR = {
    "other": lambda model, x: model.last(x).tanh(),
    "in place": lambda model, x: model.last(x).relu_(),
    "pair": lambda model, x: (model.last(x), x),
    "no layer": lambda model, x: x,
}


@pytest.mark.parametrize("around", NOT_LINEAR.values(), ids=NOT_LINEAR)
def test_a_model_that_does_not_end_in_a_linear_layer_is_refused(around):
    model = Last(around)
    with unchanged(model), pytest.raises(InputError) as refused:
        last_layer_features(model, X)
    assert str(refused.value) == (
        "What gives the model's outputs is 'no linear layer'; "
        "expected an nn.Linear of inputs [3, number of features]."
    )


@pytest.mark.parametrize("around", [lambda m, x: m.last(x[:2]), lambda m, x: m.last(x[:, None])])
def test_a_layer_that_does_not_see_one_row_for_each_example_is_refused(around):
    with pytest.raises(InputError, match=r"is 'a linear layer of inputs \[.*\]'; expected an nn"):
        last_layer_features(Last(around), X)


def test_features_that_are_not_finite_are_refused():
    images = IMAGES.clone()
    images[8] = torch.nan
    with pytest.raises(InputError, match=r"^The features of example 8 is \[nan, .*finite numbers"):
        last_layer_features(small_net(), images, chunk_size=3)


@pytest.mark.parametrize("compute", [last_layer_features, leverage_scores])
def test_the_model_is_left_as_it_was(compute):
    model = lived_in()
    hooks = [(len(m._forward_hooks), len(m._forward_hooks_with_kwargs)) for m in model.modules()]
    with unchanged(model):
        compute(model, IMAGES)
    assert [(0, 0)] * len(hooks) == hooks
    assert not any(m._forward_hooks or m._forward_hooks_with_kwargs for m in model.modules())


def test_hooks_are_removed_where_the_model_fails(monkeypatch):
    model = Last(lambda model, x: model.last(x[:, :2]))
    with unchanged(model), pytest.raises(RuntimeError):
        last_layer_features(model, X)
    assert not any(module._forward_hooks for module in model.modules())


def test_too_little_memory_is_reported_in_one_sentence(monkeypatch):
    def run_out(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(features, "_seen_by_the_last_layer", run_out)
    with pytest.raises(InputError, match=r"^Out of memory with chunk_size 8; try chunk_size=4\.$"):
        leverage_scores(small_net(), IMAGES, chunk_size=8)
