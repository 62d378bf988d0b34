"""Running statistics are the population's, and the model that they are of stays as it was."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from liprune_utils.batch_statistics import with_population_statistics
from liprune_utils.checks import InputError

pytestmark = pytest.mark.usefixtures("one_thread")


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def small_net() -> nn.Module:
    model = nn.Sequential(
        nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3, momentum=0.3), nn.Dropout(0.5),
        nn.Conv2d(3, 2, 2), nn.BatchNorm2d(2, momentum=None), nn.Flatten(), nn.Linear(2, 3),
    ).double()  # fmt: skip
    with torch.no_grad():
        for number, p in enumerate(model.parameters()):
            p.copy_(draw(*p.shape, seed=number))
        model[1].running_mean.copy_(draw(3, seed=20))
        model[4].running_var.fill_(torch.inf)  # of a past that should be forgotten
    return model


IMAGES = draw(7, 2, 3, 3, seed=30) + torch.arange(7)[:, None, None, None]  # not shuffled


# Mean and unbiased variance of each channel in each batch, weighted by the batches' sizes.
def averages(features: list[Tensor]) -> tuple[np.ndarray, np.ndarray]:
    weights = [len(f) for f in features]
    rows = [f.detach().transpose(0, 1).flatten(1).numpy() for f in features]
    means = np.average([r.mean(axis=1) for r in rows], axis=0, weights=weights)
    return means, np.average([r.var(axis=1, ddof=1) for r in rows], axis=0, weights=weights)


@pytest.mark.parametrize("batch_size", [4, 5, 7, 500])  # 4 and 5 leave a ragged last batch
def test_statistics_are_averages_weighted_by_the_batches_sizes(batch_size):
    model = small_net()
    found = with_population_statistics(model, IMAGES, batch_size)
    first = [model[0](batch) for batch in IMAGES.split(batch_size)]
    second = [model[3](nn.functional.batch_norm(  # no dropout
        f, None, None, model[1].weight, model[1].bias, training=True)) for f in first]  # fmt: skip
    for norm, features in ((found[1], first), (found[4], second)):
        mean, variance = averages(features)
        np.testing.assert_allclose(norm.running_mean, mean, rtol=1e-12)
        np.testing.assert_allclose(norm.running_var, variance, rtol=1e-12)


@pytest.mark.parametrize("batch_size", [2, 4, 5, 7])
def test_the_first_mean_is_the_populations(batch_size):
    images, model = IMAGES[:6] if batch_size == 2 else IMAGES, small_net()
    found = with_population_statistics(model, images, batch_size)
    mean = model[0](images).mean(dim=(0, 2, 3)).detach()
    np.testing.assert_allclose(found[1].running_mean, mean, rtol=1e-12)


def test_the_copy_has_the_same_weights_and_momenta_in_eval_mode():
    model = small_net()
    found = with_population_statistics(model, IMAGES)
    for a, b in zip(model.parameters(), found.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.data_ptr() != b.data_ptr()
    assert not any(module.training for module in found.modules())
    assert (found[1].momentum, found[4].momentum) == (0.3, None)
    found(IMAGES).sum().backward()


def fail(*_):
    raise KeyError


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_and_the_generators_are_as_before(fails):
    model = small_net()
    model[2].eval()
    if fails:
        model[6].register_forward_hook(fail)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    if fails:
        with pytest.raises(KeyError):
            with_population_statistics(model, IMAGES)
    else:
        with_population_statistics(model, IMAGES)
    assert [m.training for m in model] == [True, True, False, True, True, True, True]
    assert (model[1].momentum, model[4].momentum) == (0.3, None)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_without_batch_norm_is_only_copied():
    model = nn.Linear(2, 2).double()
    found = with_population_statistics(model, draw(3, 2))
    assert torch.equal(found.weight, model.weight)
    assert not found.training


@pytest.mark.parametrize(
    ("count", "batch_size", "message"),
    [
        (0, 3, "number of examples is 0; expected at least 1"),
        (1, 3, "number of examples is 1; expected at least 2"),
        (7, 3, "number of images is 7; expected a number that does not leave a last batch of one"),
        (7, 1, "batch_size is 1; expected at least 2"),
        (7, 0, "batch_size is 0; expected at least 2"),
    ],
)
def test_batches_without_a_variance_are_refused(count, batch_size, message):
    with pytest.raises(InputError, match=message):
        with_population_statistics(small_net(), IMAGES[:count], batch_size)
