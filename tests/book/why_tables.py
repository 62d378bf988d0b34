"""Small tables in the shape of page 11's recorded ones; a number says how far methods are apart."""

from itertools import product

import numpy as np
import pandas as pd

ARMS = ("random", "liprune", "hessian", "liprune rescaled", "hessian rescaled")
SEEDS = (0, 1, 2)


def wobble(seed: int) -> float:
    return (-0.1, 0.0, 0.1)[seed]


def estimates(arms: list[str], values: list[float], half: float, **columns) -> pd.DataFrame:
    """A table of paired differences with given intervals."""
    rows = [
        {"arm": arm, "against": "random", "difference": v, "low": v - half, "high": v + half}
        for arm, v in zip(arms, values, strict=True)
    ]
    return pd.DataFrame(rows).assign(num_seeds=3, **columns)


def long_runs(liprune: float, hessian: float) -> pd.DataFrame:
    shift = {"random": 0.0, "liprune": liprune, "hessian": hessian}
    return pd.DataFrame([
        {"method": method, "seed": seed, "depth": 14, "learning_rate": 0.1, "prune_epoch": 5,
         "keep_fraction": 0.2, "full_set_loss": 2 + seed + by * (1 + wobble(seed)),
         "kept_set_loss": 0.01, "test_error": 40 + seed + by, "seconds": 10.0}
        for (method, by), seed in product(shift.items(), SEEDS)
    ])  # fmt: skip


def kept() -> pd.DataFrame:
    return pd.DataFrame([
        {"arm": arm, "seed": seed, "class_shift": 0.1, "kept_loss": 3.0 + wobble(seed),
         "all_loss": 1.5, "kept_el2n": 0.8, "all_el2n": 0.4,
         "score_sd": np.nan if arm == "random" else 0.2, "score_gain": 1.3,
         "importance_gain": 0.9, "rate_factor": 0.5 + seed / 10, "seconds": 9.0}
        for arm, seed in product(ARMS, SEEDS)
    ])  # fmt: skip


def dynamics(noise: float = 2.0) -> pd.DataFrame:
    grown = {"random": 1.0, "liprune": noise, "hessian": noise**2}
    return pd.DataFrame([
        {"arm": arm, "seed": seed, "epoch": epoch, "sharpness": 20.0 + seed, "all_noise": 2.0,
         "kept_noise": (1 + seed) * grown[arm.split()[0]] * (1 + wobble(seed) / 10) / epoch,
         "kept_second_moment": 3.0 + seed, "full_set_loss": 1.0}
        for arm, seed, epoch in product(ARMS, SEEDS, (4, 6, 8))
    ])  # fmt: skip


def curves() -> pd.DataFrame:
    """Test errors that fall by a point an epoch; arms are 0, 1, 2, 3, 4 points worse from 5 on."""
    rows = product(enumerate(ARMS), SEEDS, range(1, 11))
    return pd.DataFrame([
        {"arm": arm, "seed": seed, "epoch": epoch,
         "test_error": 60 + seed - epoch + by * (epoch >= 5) * (1 + wobble(seed))}
        for (by, arm), seed, epoch in rows
    ])  # fmt: skip


def example_curves() -> pd.DataFrame:
    """As `curves` for the first three, halved where half is kept, where all are 5 points better."""
    table = curves()
    first = table[table.arm.isin(ARMS[:3])].rename(columns={"arm": "method"})
    cell = {"depth": 14, "learning_rate": 0.1, "prune_epoch": 5}
    return pd.concat([
        first.assign(**cell, keep_fraction=0.2),
        first.assign(**cell, keep_fraction=0.5, test_error=first.test_error - 5),
    ])  # fmt: skip


def batch_norms() -> pd.DataFrame:
    norms = np.arange(10.0, 20.0)
    return pd.concat([
        pd.DataFrame({"norm": epoch * norms + seed, "eigenvalue": norms, "epoch": epoch,
                      "batch_norm": "train", "batch_size": size, "seed": seed})
        for epoch, size, seed in product((1, 3, 5), (64, 128), (0, 1))
    ], ignore_index=True)  # fmt: skip
