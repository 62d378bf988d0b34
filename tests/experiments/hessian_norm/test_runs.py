"""Page 08's live runs: what is probed, timed and scored again."""

import numpy as np
import pandas as pd
import pytest
import torch
from synthetic import same
from torch import nn
from torch.nn import functional

from experiments.hessian_norm import runs
from experiments.hessian_norm.record import RECIPE
from experiments.hessian_norm.tables import DISTANCES
from liprune_utils.checks import InputError
from liprune_utils.images import Images, fixed_batches
from liprune_utils.models import resnet
from liprune_utils.training import start, train_until, with_population_statistics

PARAMETERS = runs.HessianParameters(
    results_dir="x", depth=8, num_images=130, num_epochs=1, learning_rate=0.1, probe_size=3,
    num_random=1, num_checked=1, num_chunks=2, chunk_size=5, tolerance=0.1, seed=3,
)  # fmt: skip
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("depth", 10, "6n + 2, such as"),
        ("num_images", 127, "a whole number from 128 to 50000"),
        ("num_images", 257, "a number that does not leave a last batch of one"),
        ("num_epochs", 0, "a whole number from 1 to 10000"),
        ("learning_rate", 1.5, "a step size in (0, 1]"),
        ("learning_rate", float("nan"), "a number"),
        ("probe_size", 129, "a whole number from 2 to 128"),
        ("num_checked", 392, "a whole number from 1 to 391"),
        ("num_chunks", 1, "a whole number from 2 to 1000"),
        ("tolerance", 1.0, "a number above 0, below 1"),
        ("seed", 2**63, "a whole number from 0 to"),
    ],
)
def test_a_bad_value_is_refused_in_one_sentence(name, value, expected):
    with pytest.raises(InputError) as caught:
        PARAMETERS.replace(**{name: value})
    assert str(caught.value).startswith(f"{name} is {value!r}; expected {expected}")


def test_networks_are_probed_before_and_after_training(images):
    table = runs.probe_networks(images, PARAMETERS)
    cases = table[["activation", "epochs"]].drop_duplicates()
    assert list(cases.itertuples(index=False, name=None)) == [
        ("relu", 0), ("relu", 1), ("softplus", 0), ("softplus", 1),
    ]  # fmt: skip
    for _, rows in table.groupby(["activation", "epochs"]):
        assert list(rows.direction.unique()) == ["eigenvector", "gradient", "random 1"]
        assert rows.distance.tolist() == DISTANCES * 3
    near = table[(table.activation == "softplus") & (table.distance < 2e-4)]
    assert (near.ratio < 1.05).all()
    assert (near.ratio[near.direction == "eigenvector"] > 0.95).all()


def test_probing_sees_one_batch_in_double_and_training_does_not_notice(images, monkeypatch):
    calls = []
    monkeypatch.setattr(
        runs, "tightness",
        lambda *given, **options: calls.append((given, options)) or pd.DataFrame({"ratio": [1.0]}),
    )  # fmt: skip
    runs.probe_networks(images, PARAMETERS)
    few = Images(images.inputs[:130], images.labels[:130], images.test_inputs, images.test_labels)
    batches = fixed_batches(130, 128, seed=3)
    activations = (functional.relu, functional.softplus)
    recipe = RECIPE.replace(depth=8, learning_rate=0.1, seed=3)
    for number, ((model, loss_fn, inputs, targets, distances), options) in enumerate(calls):
        state = start(recipe, few, activations[number // 2])
        train_until(state, few, batches, recipe, number % 2)
        assert same(state.model.double().state_dict(), model.state_dict())
        assert model.activation is activations[number // 2]
        assert torch.equal(inputs, few.inputs[batches[0][:3]].double())
        assert torch.equal(targets, few.labels[batches[0][:3]])
        assert (loss_fn, distances) == (functional.cross_entropy, DISTANCES)
        assert (options["num_random"], options["generator"].initial_seed()) == (1, 3)
    assert len(calls) == 4


class Clock:
    """A time that passes only when told to."""

    now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


def test_costs_are_in_shares_of_a_batch_gradient(images, monkeypatch):
    monkeypatch.setattr(runs, "time", clock := Clock())
    gradients = iter([9.0, 2.56, 1.0] * 2)  # their median counts
    monkeypatch.setattr(runs, "loss_gradient", lambda *_: clock.spend(next(gradients)))
    seen = []

    def norms(model, loss_fn, inputs, labels, **options):
        clock.spend(3.0 * (1 + len(seen)))
        seen.append((model, inputs, labels, options))
        return pd.DataFrame({"num_products": [4, 5, 6, 7, 8], "norm": [1.0, 2, 3, 4, 10]})

    monkeypatch.setattr(runs, "example_hessian_norms", norms)
    model = resnet(8, torch.Generator().manual_seed(1))
    table = runs.example_costs(model, images, PARAMETERS)
    assert table.columns.tolist() == ["gradients", "num_products", "norm"]
    np.testing.assert_allclose(table.gradients, [3 / 5 / 0.02, 6 / 5 / 0.02])
    assert (table.num_products.tolist(), table.norm.tolist()) == ([6, 6], [4, 4])
    expected = with_population_statistics(model, images.inputs).state_dict()
    places = [[int((images.inputs == x).all((1, 2, 3)).nonzero()) for x in s[1]] for s in seen]
    assert places[0] != places[1]
    for (scored, _, labels, options), chosen in zip(seen, places, strict=True):
        assert same(scored.state_dict(), expected)
        assert len(set(chosen)) == 5
        assert torch.equal(labels, images.labels[chosen])
        assert options == {"chunk_size": 5, "tolerance": 0.1}


def test_costs_of_a_real_network_leave_it_as_it_was(images):
    model = resnet(8, torch.Generator().manual_seed(1))
    table = runs.example_costs(model, images, PARAMETERS)
    assert len(table) == 2
    assert (table > 0).all(axis=None)
    fresh = resnet(8, torch.Generator().manual_seed(1))
    assert same(model.state_dict(), fresh.state_dict())
    assert model.training


def classifier(epoch: int) -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 10))
    with torch.no_grad():
        model[1].weight.copy_(torch.randn(10, 12, generator=torch.Generator().manual_seed(epoch)))
        model[1].bias.zero_()
    return model


def dense_norm(model: nn.Module, inputs: torch.Tensor) -> float:
    """The norm of the dense Hessian of a linear classifier's mean cross-entropy."""
    x = torch.cat([inputs.flatten(1), torch.ones(len(inputs), 1)], dim=1).double()
    p = model(inputs).detach().softmax(dim=1).double()
    parts = [torch.kron(q.diag() - q.outer(q), v.outer(v)) for q, v in zip(p, x, strict=True)]
    return torch.linalg.matrix_norm(sum(parts) / len(parts), 2).item()


@pytest.mark.parametrize("count", [1, 9])  # nine are more than there are
def test_recorded_norms_are_checked_within_their_error_or_a_thousandth(monkeypatch, count):
    monkeypatch.setattr(runs, "recorded_network", classifier)
    draw = torch.Generator().manual_seed(5)
    inputs = torch.randn(200, 3, 2, 2, generator=draw) + 1.5  # sets the largest eigenvalue apart
    labels = torch.randint(10, (200,), generator=draw)
    batches = fixed_batches(200, 128, seed=0)
    planted = {(5, 1): (0.98, 0.01), (1, 1): (1.02, 0), (5, 0): (0.98, 0.03), (1, 0): (1, 0)}
    exact = {(e, b): dense_norm(classifier(e), inputs[batches[b]]) for e, b in planted}
    rows = [(*key, exact[key] * ratio, exact[key] * e) for key, (ratio, e) in planted.items()]
    recorded = pd.DataFrame(rows, columns=["epoch", "batch", "norm", "error"])
    table = runs.recheck(Images(inputs, labels, inputs, labels), recorded, count)
    keys = [(e, b) for e in (1, 5) for b in range(min(count, 2))]
    assert table.epoch.tolist() == [epoch for epoch, _ in keys]
    np.testing.assert_allclose(table.again, [exact[key] for key in keys], rtol=1e-3)
    np.testing.assert_allclose(table.recorded, [exact[k] * planted[k][0] for k in keys])
    assert table.agrees.tolist() == [key in {(1, 0), (5, 0)} for key in keys]
