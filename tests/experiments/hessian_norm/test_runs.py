"""The runs of page 08, live and recorded: what is scored with which network, and never twice."""

import json
import sys
from dataclasses import astuple, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional

from experiments.hessian_norm import record, runs
from experiments.hessian_norm.record import (
    RECIPE,
    Point,
    network,
    points,
    recorded_network,
    run_point,
)
from experiments.hessian_norm.runs import HessianParameters, example_costs, median_seconds, recheck
from experiments.hessian_norm.tables import DISTANCES
from liprune_utils.batch_scores import batch_hessian_norms
from liprune_utils.batch_statistics import with_population_statistics
from liprune_utils.checks import InputError
from liprune_utils.images import Task, fixed_batches
from liprune_utils.models import resnet
from liprune_utils.training import start, train_until

PARAMETERS = HessianParameters(
    results_dir="x", depth=8, num_images=130, num_epochs=1, learning_rate=0.1, probe_size=3,
    num_random=1, num_checked=1, num_chunks=2, chunk_size=5, tolerance=0.1, seed=3,
)  # fmt: skip
SMALL = replace(RECIPE, depth=8)
pytestmark = pytest.mark.usefixtures("one_thread")


def task(num_images: int = 140, side: int = 8) -> Task:
    draw = torch.Generator().manual_seed(5)
    sets = [torch.randn(n, 3, side, side, generator=draw) for n in (num_images, 4)]
    labels = [torch.randint(10, (len(images),), generator=draw) for images in sets]
    return Task(sets[0], labels[0], sets[1], labels[1])


def same(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(value, states[1][name].to(value)) for name, value in states[0].items())


class Clock:
    """A time that passes only when told to."""

    def __init__(self):
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(runs, "time", clock)
    return clock


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("depth", 10, "6n + 2, such as 8, 14 or 20, up to 1202"),
        ("depth", 2, "6n + 2, such as 8, 14 or 20, up to 1202"),
        ("depth", 1208, "6n + 2, such as 8, 14 or 20, up to 1202"),
        ("num_images", 127, "from 128 to 50000"),
        ("num_images", 50_001, "from 128 to 50000"),
        ("num_images", 257, "one that leaves no batch of one image"),
        ("num_epochs", 0, "from 1 to 10000"),
        ("num_epochs", 10_001, "from 1 to 10000"),
        ("learning_rate", 0.0, "a step size in (0, 1]"),
        ("learning_rate", float("nan"), "a step size in (0, 1]"),
        ("learning_rate", 1.5, "a step size in (0, 1]"),
        ("probe_size", 1, "from 2 to the batch size, 128"),
        ("probe_size", 129, "from 2 to the batch size, 128"),
        ("num_random", 0, "from 1 to 1000"),
        ("num_random", 1001, "from 1 to 1000"),
        ("num_checked", 0, "from 1 to 391"),
        ("num_checked", 392, "from 1 to 391"),
        ("num_chunks", 1, "from 2, for an interval, to 1000"),
        ("num_chunks", 1001, "from 2, for an interval, to 1000"),
        ("chunk_size", 0, "from 1 to 1000"),
        ("chunk_size", 1001, "from 1 to 1000"),
        ("tolerance", 0.0, "a number in (0, 1)"),
        ("tolerance", 1.0, "a number in (0, 1)"),
        ("seed", -1, "from 0 to 2^63 - 1"),
        ("seed", 2**63, "from 0 to 2^63 - 1"),
        ("results_dir", "", "a folder's name"),
        ("depth", 8.0, "a whole number, not a number"),
    ],
)
def test_a_bad_value_is_refused_in_one_sentence(name, value, expected):
    with pytest.raises(InputError) as caught:
        replace(PARAMETERS, **{name: value})
    assert str(caught.value) == f"{name} is {value!r}; expected {expected}."


def test_the_ends_of_the_ranges_are_welcome():
    low = {"num_images": 128, "probe_size": 2, "seed": 0, "chunk_size": 1, "learning_rate": 1}
    assert replace(PARAMETERS, **low).num_images == 128
    high = {"num_images": 50_000, "probe_size": 128, "num_checked": 391, "chunk_size": 1000}
    assert replace(PARAMETERS, **high).depth == 8


def test_networks_are_probed_before_and_after_training():
    table = runs.probe_networks(task(), PARAMETERS)
    cases = table[["activation", "epochs"]].drop_duplicates()
    assert list(cases.itertuples(index=False, name=None)) == [
        ("relu", 0), ("relu", 1), ("softplus", 0), ("softplus", 1),
    ]  # fmt: skip
    for _, rows in table.groupby(["activation", "epochs"]):
        assert list(rows.direction.unique()) == ["eigenvector", "gradient", "random 1"]
        assert rows.distance.tolist() == DISTANCES * 3
    assert table.index.tolist() == list(range(4 * 3 * 7))
    near = table[(table.activation == "softplus") & (table.distance < 2e-4)]
    assert (near.ratio < 1.05).all()
    assert (near.ratio[near.direction == "eigenvector"] > 0.95).all()


def test_probing_sees_one_batch_in_double_and_training_does_not_notice(monkeypatch):
    calls = []
    monkeypatch.setattr(
        runs, "tightness",
        lambda *given, **options: calls.append((given, options)) or pd.DataFrame({"ratio": [1.0]}),
    )  # fmt: skip
    data = task()
    runs.probe_networks(data, PARAMETERS)
    few = Task(data.images[:130], data.labels[:130], data.test_images, data.test_labels)
    batches = fixed_batches(130, 128, seed=3)
    activations = (functional.relu, functional.softplus)
    for number, ((model, loss_fn, inputs, targets, distances), options) in enumerate(calls):
        recipe = replace(SMALL, learning_rate=0.1, seed=3)
        state = start(recipe, few, activations[number // 2])
        train_until(state, few, batches, recipe, number % 2)
        assert same(state.model, model)
        assert model.activation is activations[number // 2]
        assert {p.dtype for p in model.parameters()} == {torch.float64}
        assert torch.equal(inputs, few.images[batches[0][:3]].double())
        assert torch.equal(targets, few.labels[batches[0][:3]])
        assert (loss_fn, distances) == (functional.cross_entropy, DISTANCES)
        assert (options["num_random"], options["generator"].initial_seed()) == (1, 3)
    assert len(calls) == 4


def test_costs_are_in_shares_of_a_batch_gradient(monkeypatch, clock):
    monkeypatch.setattr(runs, "loss_gradient", lambda *_: clock.spend(2.56))
    seen = []

    def norms(model, loss_fn, images, labels, **options):
        clock.spend(3.0 * (1 + len(seen)))
        seen.append((model, images, labels, options))
        return pd.DataFrame({"num_products": [4, 5, 6, 7, 8], "norm": [1.0, 2, 3, 4, 10]})

    monkeypatch.setattr(runs, "example_hessian_norms", norms)
    model, data = resnet(8, torch.Generator().manual_seed(1)), task()
    table = example_costs(model, data, PARAMETERS)
    assert table.columns.tolist() == ["gradients", "num_products", "norm"]
    np.testing.assert_allclose(table.gradients, [3 / 5 / 0.02, 6 / 5 / 0.02])
    assert (table.num_products.tolist(), table.norm.tolist()) == ([6, 6], [4, 4])
    expected = with_population_statistics(model, data.images)
    places = [[int((data.images == x).all((1, 2, 3)).nonzero()) for x in s[1]] for s in seen]
    assert places[0] != places[1]
    for (scored, _, labels, options), chosen in zip(seen, places, strict=True):
        assert same(scored, expected)
        assert len(set(chosen)) == 5
        assert torch.equal(labels, data.labels[chosen])
        assert options == {"chunk_size": 5, "tolerance": 0.1}


def test_costs_of_a_real_network_leave_it_as_it_was():
    model = resnet(8, torch.Generator().manual_seed(1))
    table = example_costs(model, task(), PARAMETERS)
    assert len(table) == 2
    assert (table > 0).all(axis=None)
    assert (table.num_products >= 3).all()
    assert same(model, resnet(8, torch.Generator().manual_seed(1)))
    assert model.training


@pytest.mark.parametrize(("times", "expected"), [([5, 1, 2], 2), ([7], 7), ([4, 1, 2, 9], 3)])
def test_median_seconds(clock, times, expected):
    spent = iter(times)
    found = median_seconds(lambda: clock.spend(next(spent)), repeats=len(times))
    assert found == pytest.approx(expected)
    assert next(spent, None) is None  # each once


def classifier(epoch: int) -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 10))
    with torch.no_grad():
        model[1].weight.copy_(torch.randn(10, 12, generator=torch.Generator().manual_seed(epoch)))
        model[1].bias.zero_()
    return model


# The Hessian of a linear classifier's mean cross-entropy, as a dense matrix.
def dense_norm(model: nn.Module, images: torch.Tensor) -> float:
    x = torch.cat([images.flatten(1), torch.ones(len(images), 1)], dim=1).double()
    p = model(images).detach().softmax(dim=1).double()
    parts = [torch.kron(q.diag() - q.outer(q), v.outer(v)) for q, v in zip(p, x, strict=True)]
    return torch.linalg.matrix_norm(sum(parts) / len(parts), 2).item()


@pytest.mark.parametrize("count", [1, 2, 9])  # nine are more than there are
def test_recorded_norms_are_checked_within_their_error_or_a_thousandth(monkeypatch, count):
    monkeypatch.setattr(runs, "recorded_network", classifier)
    data, batches = task(num_images=200, side=2), fixed_batches(200, 128, seed=0)
    data.images.add_(1.5)  # sets the largest eigenvalue apart
    planted = {(5, 1): (0.98, 0.01), (1, 1): (1.02, 0), (5, 0): (0.98, 0.03), (1, 0): (1, 0)}
    exact = {(e, b): dense_norm(classifier(e), data.images[batches[b]]) for e, b in planted}
    rows = [(*key, exact[key] * ratio, exact[key] * e) for key, (ratio, e) in planted.items()]
    recorded = pd.DataFrame(rows, columns=["epoch", "batch", "norm", "error"])
    found = recheck(data, recorded, count)
    keys = [(e, b) for e in (1, 5) for b in range(min(count, 2))]
    assert found.epoch.tolist() == [epoch for epoch, _ in keys]
    np.testing.assert_allclose(found.again, [exact[key] for key in keys], rtol=1e-3)
    np.testing.assert_allclose(found.recorded, [exact[k] * planted[k][0] for k in keys])
    assert found.agrees.tolist() == [key in {(1, 0), (5, 0)} for key in keys]


def test_the_study_lists_each_point_once():
    listed = [*points()]
    others = {(s, e, "train", 128, 32) for s, e in [(0, 2), (0, 3), (0, 4)]}
    others |= {(s, e, "train", 128, 32) for s in (1, 2) for e in (1, 5)}
    expected = others | {(0, e, "eval", 128, 32) for e in (1, 5)}
    expected |= {(0, e, "train", 128, 391) for e in (1, 5)}
    expected |= {(0, e, "train", size, 20) for e in (1, 5) for size in (16, 32, 64, 256)}
    assert {astuple(point) for point in listed} == expected
    assert len(listed) == len({point.name for point in listed}) == len(expected)


@pytest.fixture
def study(monkeypatch, tmp_path):
    monkeypatch.setattr(record, "RECIPE", SMALL)
    monkeypatch.setattr(record, "RECORDED", str(tmp_path / "record"))
    return tmp_path


def never(*_, **__):
    raise AssertionError


def test_a_network_is_trained_once_and_read_the_next_time(study, monkeypatch):
    data, batches, recipe = task(), fixed_batches(140, 128, seed=2), replace(SMALL, seed=2)
    found = network(data, 2, 3, study)
    assert {path.name for path in study.iterdir()} == {"network-2-2.pt", "network-2-3.pt"}
    monkeypatch.setattr(record, "train_and_save", never)
    state = start(recipe, data)
    for epoch in (1, 2, 3):
        assert same(network(data, 2, epoch, study), state.model)
        assert same(found, state.model) == (epoch == 3)
        train_until(state, data, batches, recipe, epoch)


@pytest.mark.parametrize("point", [Point(0, 1, num_batches=1), Point(1, 2, "eval", 64, 2)])
def test_a_point_is_scored_once_and_on_the_same_batches_for_all_seeds(study, monkeypatch, point):
    data = task()
    found = run_point(data, point, study)
    batches = fixed_batches(140, point.batch_size, seed=0)[: point.num_batches]
    model = network(data, point.seed, point.epoch, study)
    options = {"batch_norm": point.batch_norm, "tolerance": 1e-2}
    expected = batch_hessian_norms(model, data.images, data.labels, batches, **options)
    assert np.array_equal(found[expected.columns], expected)
    own = ["seed", "epoch", "batch_norm", "batch_size"]
    assert (found[own] == [getattr(point, name) for name in own]).all(axis=None)
    assert (found.seconds > 0).all()
    monkeypatch.setattr(record, "batch_hessian_norms", never)
    pd.testing.assert_frame_equal(run_point(data, point, study), found)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x04N."])
def test_a_damaged_network_or_table_is_named(study, content):
    point = Point(0, 2, num_batches=1)
    for name in ("network-0-2.pt", f"{point.name}.csv"):
        (study / name).write_bytes(content if name.endswith(".pt") else b"")
        with pytest.raises(InputError, match=rf"^{study / name} is missing or damaged.*; expected"):
            run_point(task(), point, study)


def test_the_study_records_its_table_its_network_and_its_data(study, monkeypatch):
    few = [Point(0, 1, batch_size=64, num_batches=1), Point(0, 1, batch_size=32, num_batches=2)]
    dataset = SimpleNamespace(source="CIFAR-10", sha256="abc")
    for name, value in {"points": lambda: few, "make_task": lambda *_: task()}.items():
        monkeypatch.setattr(record, name, value)
    monkeypatch.setattr(record.data, "load", lambda: dataset)
    monkeypatch.setattr(sys, "argv", ["study", "--work", str(study / "work")])
    record.main()
    table = pd.read_csv(study / "record" / "batch_norms.csv")
    assert table.batch_size.tolist() == [64, 32, 32]
    assert same(recorded_network(5), network(task(), 0, 5, study / "work"))
    assert same(recorded_network(1), start(SMALL, task()).model)
    facts = json.loads((study / "record" / "provenance.json").read_text())
    assert (facts["data_source"], facts["pixel_sha256"]) == ("CIFAR-10", "abc")
