"""The findings in words count what the intervals decide."""

import numpy as np
import pandas as pd

from experiments.convex_is_not_enough.findings import findings


def test_findings_count_what_the_intervals_decide():
    ends = {0.1: (-2, -1), 0.3: (-1, 1), 0.5: (1, 2)}
    losses = pd.DataFrame([
        {"measure": measure, "data_set": name, "rule": rule, "method": "liprune",
         "keep_fraction": r, "against": against, "difference": sum(pair) / 2, "low": pair[0],
         "high": pair[1], "num_runs": 7}
        for measure in ("excess", "test_loss")
        for name in ("digits", "diabetes", "breast cancer")
        for rule in ("final", "minimiser")
        for r, pair in ends.items()
        for against in ("random", "none")
    ])  # fmt: skip
    one = losses.query("rule == 'final' and against == 'none' and keep_fraction == 0.5")
    losses = pd.concat([losses, one.assign(method="importance", keep_fraction=1.0)])
    sooner = pd.DataFrame([
        {"data_set": "digits", "rule": rule, "method": "liprune", "against": against,
         "low": low, "high": high}
        for rule in ("shared", "arrival")
        for against in ("random", "none")
        for low, high in ((0.6, 0.9), (0.1, 0.3), (0.2, 0.4), (np.nan, np.nan))
    ])  # fmt: skip
    classes = pd.DataFrame([
        {"label": label, "keep_fraction": r, "share": share}
        for label, shares in {"malignant": (0.75, 0.5, 0.25), "0": (0.001, 0.02, 0.1)}.items()
        for r, share in zip((0.1, 0.5, 1.0), shares, strict=True)
    ])  # fmt: skip
    found = findings(losses, sooner, classes)
    lower = "lower in 3, higher in 3 and undecided in 3 of 9 settings"
    assert {found[f"real_{key}"] for key in ("final_excess_random", "minimiser_test_none")} == {
        lower
    }
    assert found["real_arrival_none"] == "sooner in 1, later in 2 and undecided in 1 of 4 settings"
    assert found["real_diabetes"] == "\N{MINUS SIGN}1.5 [\N{MINUS SIGN}2, \N{MINUS SIGN}1], n = 7"
    assert found["real_importance"].startswith("breast cancer 1.5 [1, 2], n = 7; digits 1.5")
    assert found["real_malignant"] == "75.0% instead of 25.0%"
    assert found["real_zeros"] == "0.1% instead of 10.0%"
