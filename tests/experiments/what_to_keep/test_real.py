"""Races on real data: what is kept, SGD as a plain loop, tuning, ratios and the rule's edges."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from draws import seeded
from scipy.stats import t as student
from torch.nn import functional

from experiments.convex_is_not_enough.runs import load
from experiments.what_to_keep import real
from experiments.what_to_keep.claims import real_claim
from experiments.what_to_keep.real import (
    CLAIM,
    DATA_SETS,
    ENTRANTS,
    HEAD,
    LABELS,
    NONE,
    PAIRS,
    RACING,
    STEPS,
    TUNING,
    Entrant,
    head_problem,
    kept_points,
    race,
    ratio_table,
    real_figure,
    recorded_head,
    run_problem,
    small_problems,
    tune,
    tuned_table,
    worst_cases,
)
from liprune_utils.designs import optimal_design
from liprune_utils.files import write_json, write_table
from liprune_utils.problems import MULTINOMIAL, Objective

DIABETES, FEW_STEPS, FEW_SIZES = small_problems()[2], (3, 12), np.array([0.25, 2.0, 2.0**40])
CASES = [(name, fraction, step) for name in DATA_SETS for fraction in (0.1, 0.3) for step in STEPS]


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(real, "STEPS", FEW_STEPS)
    monkeypatch.setattr(real, "MULTIPLES", FEW_SIZES)
    monkeypatch.setattr(real, "NUM_TUNING", 2)


def test_the_problems_are_those_of_page_06():
    assert [(p.name, p.batch_size) for p in small_problems()] == [
        ("breast cancer", 10), ("digits", 10), ("diabetes", 10),
    ]  # fmt: skip
    expected = load("diabetes", seeded(3)).train.x
    np.testing.assert_array_equal(DIABETES.draw(seeded(3)).train.x, expected)


def test_what_each_entrant_keeps():
    train = load("diabetes", seeded()).train
    kept = dict(zip(ENTRANTS, kept_points(train, seeded(1)), strict=True))
    for fraction, count in ((0.1, 33), (0.3, 100)):
        hat = train.x @ np.linalg.pinv(train.x)
        for method, scores in (("liprune", (train.x**2).sum(axis=1)), ("leverage", hat.diagonal())):
            points = kept[Entrant(method, fraction)]
            assert len(points) == len(set(points)) == count
            others = np.setdiff1d(np.arange(len(train.x)), points)
            assert scores[points].min() >= scores[others].max()
        expected = optimal_design(train.x, fraction, "V").kept
        np.testing.assert_array_equal(kept[Entrant("design", fraction)], expected)
        assert len(expected) == count
    assert sorted(kept[NONE]) == list(range(len(train.x)))
    one, other = (kept[Entrant("random", fraction)] for fraction in (0.1, 0.3))
    assert set(one) < set(other)
    again = kept_points(train, seeded(2))[ENTRANTS.index(Entrant("random", 0.1))]
    assert set(again) != set(one)


def test_a_design_beats_the_other_kept_sets_in_its_own_criterion():
    train = load("digits", seeded()).train
    seen = train.x[:, (train.x != 0).any(axis=0)]
    moment = seen.T @ seen / len(seen)
    kept = dict(zip(ENTRANTS, kept_points(train, seeded()), strict=True))

    def variance(points: np.ndarray) -> float:
        inverse = np.linalg.pinv(seen[points].T @ seen[points] / len(points), hermitian=True)
        return float(np.trace(moment @ inverse))

    found = {method: variance(kept[Entrant(method, 0.3)]) for method in
             ("design", "leverage", "liprune", "random")}  # fmt: skip
    assert min(found, key=found.get) == "design"


def plain_loop(train: Objective, batches: np.ndarray, step_size: float) -> np.ndarray:
    """SGD on least squares with automatic gradients."""
    weights = torch.zeros(train.x.shape[1], dtype=torch.float64, requires_grad=True)
    for batch in batches:
        x, y = torch.tensor(train.x[batch]), torch.tensor(train.y[batch, 0])
        (gradient,) = torch.autograd.grad(functional.mse_loss(x @ weights, y) / 2, weights)
        weights = (weights - step_size * gradient).detach().requires_grad_()
    return weights.detach().numpy()


@pytest.mark.parametrize("method", ["design", "random"])
def test_a_race_is_sgd_on_what_is_kept(small, method):
    multiples = np.tile([0.5, 1.0], (len(ENTRANTS), 1))
    losses = race(DIABETES, RACING, 4, 7, multiples)
    assert losses.shape == (2, len(ENTRANTS), 2)
    keys = RACING, DATA_SETS.index("diabetes"), 4
    split = DIABETES.draw(real.stream(7, "split", *keys))
    at = ENTRANTS.index(Entrant(method, 0.3))
    points = kept_points(split.train, real.stream(7, "choice", *keys))[at]
    batches = real._draw(points, 10, 7, keys)
    assert batches.shape == (12, 10)
    assert all(len(set(batch)) == 10 for batch in batches)
    assert set(batches.ravel()) <= set(points)
    step_size = 1.0 / (2 * (split.train.x[points] ** 2).sum(axis=1).max())
    for place, step in enumerate(FEW_STEPS):
        weights = plain_loop(split.train, batches[:step], step_size)
        expected = ((split.test.x @ weights - split.test.y[:, 0]) ** 2).mean() / 2
        assert losses[place, at, 1] == pytest.approx(expected, rel=1e-9)


def test_methods_of_one_fraction_draw_the_same_positions():
    keys = RACING, 0, 0
    one, other = (real._draw(np.arange(first, first + 50), 10, 0, keys) for first in (0, 1000))
    np.testing.assert_array_equal(one, other - 1000)
    assert not np.array_equal(one, real._draw(np.arange(50), 10, 0, (TUNING, 0, 0)))


def test_too_large_a_step_size_has_a_finite_loss_and_loses(small):
    tried = np.tile(FEW_SIZES, (len(ENTRANTS), 1))
    losses = race(DIABETES, TUNING, 0, 0, tried)
    assert np.isfinite(losses).all()
    assert (losses[..., 2] > 1e6 * losses[..., 0]).all()


def test_tuning_chooses_the_lowest_mean_of_splits_of_its_own(small, monkeypatch):
    asked = []

    def made_up(problem, purpose, number, seed, multiples):
        asked.append((purpose, number))
        best = np.add.outer(np.arange(2), np.arange(len(ENTRANTS)) % 2)[..., None]  # a place
        return (np.arange(3) - best) ** 2 + 5.0 * number

    monkeypatch.setattr(real, "race", made_up)
    found = tune(DIABETES, seed=0)
    expected = FEW_SIZES[np.add.outer(np.arange(len(ENTRANTS)) % 2, np.arange(2))]
    np.testing.assert_array_equal(found, expected)
    assert asked == [(TUNING, 0), (TUNING, 1)]


def test_splits_that_tune_are_not_those_that_race():
    splits = [DIABETES.draw(real.stream(0, "split", p, 2, 0)).train.x for p in (TUNING, RACING)]
    assert not np.array_equal(*splits)


def test_a_row_is_the_race_at_the_tuned_step_size(small):
    table = run_problem(DIABETES, seed=3, num_splits=2)
    assert len(table) == 2 * 2 * len(ENTRANTS)
    assert not table.duplicated(["split", "method", "keep_fraction", "step"]).any()
    tuned = tune(DIABETES, seed=3)
    losses = race(DIABETES, RACING, 1, 3, tuned)
    rows = table[table.split == 1].set_index(["method", "keep_fraction", "step"])
    for (place, entrant), (at, step) in product(enumerate(ENTRANTS), enumerate(FEW_STEPS)):
        row = rows.loc[(*entrant, step)]
        assert (row.multiple, row.test_loss) == (tuned[place, at], losses[at, place, at])
    assert set(table.multiple) <= {0.25, 2.0}  # the largest one diverges


def test_step_sizes_at_an_end_of_those_tried_are_marked():
    table = losses_of({})
    chosen = tuned_table(table)
    assert len(chosen) == 4 * 2 * len(ENTRANTS)
    assert not chosen.at_an_end.any()
    first, last = real.MULTIPLES[[0, -1]]
    multiple = table.method.map({"design": first, "random": last}).fillna(2.0)
    chosen = tuned_table(table.assign(multiple=multiple))
    assert set(chosen[chosen.at_an_end].method) == {"design", "random"}


def head(num: int, seed: int) -> Objective:
    draw = seeded(seed)
    labels = draw.integers(0, 3, num)
    x = np.column_stack([draw.normal(labels[:, None], 1.0, (num, 4)), np.ones(num)])
    return Objective(MULTINOMIAL, x, np.eye(3)[labels], 0.0)


def test_the_head_takes_half_of_the_images_of_each_kind(small, monkeypatch):
    monkeypatch.setattr(real.convex_head, "BATCH_SIZE", 4)
    train, test = head(400, 0), head(60, 1)
    problem = head_problem(train, test)
    assert (problem.name, problem.batch_size) == (HEAD, 4)
    one, other = (problem.draw(seeded(seed)) for seed in (0, 1))
    for part, whole, count in ((one.train, train, 200), (one.test, test, 30)):
        rows = [np.flatnonzero((whole.x == x).all(axis=1)) for x in part.x]
        assert len({int(row[0]) for row in rows}) == count
        np.testing.assert_array_equal(part.y, whole.y[np.concatenate(rows)])
    assert not np.array_equal(one.test.x, other.test.x)
    losses = race(problem, RACING, 0, 0, np.ones((len(ENTRANTS), 1)))
    assert (losses < np.log(3)).all()  # better than at the start


def losses_of(shifts: dict[tuple, float], noise: float = 0.01, num_splits: int = 6) -> pd.DataFrame:
    """Test losses in which the design is apart from random pruning by a factor in each case."""
    draw, rows = np.random.default_rng(0), []
    for (name, fraction, step), split in product(CASES, range(num_splits)):
        for method in LABELS:
            if method == "none" and fraction == 0.3:
                continue
            loss = (1 + (method != "none")) * np.exp(noise * draw.normal()) * 100 / step
            loss *= shifts.get((name, fraction, step), 1.0) if method == "design" else 1.0
            kept = 1.0 if method == "none" else fraction
            rows.append((name, split, method, kept, step, 2.0, loss))
    columns = ["data_set", "split", "method", "keep_fraction", "step", "multiple", "test_loss"]
    return pd.DataFrame(rows, columns=columns)


def test_ratios_are_those_of_plain_loops():
    table = losses_of({case: 0.5 + 0.1 * n for n, case in enumerate(CASES)}, noise=0.3)
    keys = ["data_set", "split", "method", "keep_fraction", "step"]
    loss = table.set_index(keys).test_loss.to_dict()
    ratios = ratio_table(table)
    assert len(ratios) == len(CASES) * len(PAIRS)
    for row in ratios.itertuples():
        splits = range(6)

        def of(method, split, row=row, step=None):
            kept = 1.0 if method == "none" else row.keep_fraction
            return loss[row.data_set, split, method, kept, step or row.step]

        logs = [np.log(of(row.method, s) / of(row.against, s)) for s in splits]
        assert row.log_ratio == pytest.approx(np.mean(logs))
        half = student.ppf(0.975, 5) * np.std(logs, ddof=1) / np.sqrt(6)
        assert row.high - row.low == pytest.approx(2 * half)
        best = [min(of("none", s, step=step) for step in STEPS) for s in splits]
        over = np.exp(np.mean([np.log(of(row.method, s) / best[s]) for s in splits]))
        assert row.loss_over_best == pytest.approx(over)
        excess = [sum(of(m, s) - best[s] for s in splits) for m in (row.method, row.against)]
        known = row.against != "none"
        expected = excess[0] / excess[1] if known else np.nan
        assert row.excess_ratio == pytest.approx(expected, nan_ok=True)
        assert row.num_splits == 6


def shifts(*of_sets: tuple[float, ...]) -> dict[tuple, float]:
    """Factors of the four cases of each data set."""
    return dict(zip(CASES, np.ravel(of_sets), strict=True))


LOW, SAME, HIGH = (0.8,) * 4, (1.0,) * 4, (1.3,) * 4
ALMOST = (0.8, 0.8, 0.8, 1.0)


@pytest.mark.parametrize(
    ("factors", "verdict"),
    [
        ((LOW, LOW, LOW, LOW), "holds"),
        ((LOW, LOW, LOW, ALMOST), "holds-in-part"),  # one case of the last is open
        ((HIGH, HIGH, LOW, HIGH), "holds-in-part"),
        ((ALMOST, ALMOST, ALMOST, ALMOST), "inconclusive"),  # below in all cases of none
        ((SAME, SAME, SAME, SAME), "inconclusive"),
        ((HIGH, HIGH, HIGH, SAME), "inconclusive"),
        ((HIGH, HIGH, HIGH, HIGH), "does-not-hold"),
    ],
)
def test_a_data_set_counts_if_all_of_its_cases_do(factors, verdict):
    ratios = ratio_table(losses_of(shifts(*factors)))
    found = real_claim(ratios, cost=3.21)
    assert (found.id, found.verdict) == (CLAIM, verdict)
    assert found.estimate == pytest.approx(np.max(factors), rel=0.03)
    assert (found.num_runs, found.cost, found.source) == (6, 3.2, "executed")
    assert all(name in found.note for name in DATA_SETS)


def test_the_worst_case_of_a_data_set_is_its_largest_ratio():
    factors = (0.8, 0.9, 0.7, 0.6), HIGH, ALMOST, LOW
    worst = worst_cases(ratio_table(losses_of(shifts(*factors))))
    values = [worst[name].value for name in DATA_SETS]
    assert values == pytest.approx([0.9, 1.3, 1.0, 0.8], rel=0.03)
    assert all(e.low < e.value < e.high for e in worst.values())


def test_the_figure_shows_every_ratio_to_random_pruning():
    ratios = ratio_table(losses_of(shifts(LOW, HIGH, ALMOST, LOW)))
    figure = real_figure(ratios)
    assert [axes.get_title() for axes in figure.axes] == [f"after {step} steps" for step in STEPS]
    for axes, step in zip(figure.axes, STEPS, strict=True):
        here = ratios[(ratios.against == "random") & (ratios.step == step)]
        drawn = np.concatenate([c.lines[0].get_xdata() for c in axes.containers])
        np.testing.assert_allclose(np.sort(drawn), np.sort(np.exp(here.log_ratio)))
        design = axes.containers[0].lines[0].get_xdata()
        expected = np.exp(here[here.method == "design"].log_ratio)
        np.testing.assert_allclose(design, expected)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels[:2] == ["breast cancer, keep 0.1", "breast cancer, keep 0.3"]


def test_the_recorded_head_is_read_back(monkeypatch, tmp_path):
    monkeypatch.setattr(real, "RECORDED", str(tmp_path))
    write_table(tmp_path, "head", losses_of({}))
    write_json(tmp_path / "head.json", {"seconds": 9.0})
    table, facts = recorded_head()
    pd.testing.assert_frame_equal(table, losses_of({}))
    assert facts == {"seconds": 9.0}
