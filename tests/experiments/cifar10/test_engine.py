import numpy as np
import pandas as pd
import pytest
import scipy.stats

from experiments.cifar10.engine import precision_difference, throughput


def test_precisions_are_compared_by_seed():
    gap, spread = np.array([0.3, -0.1, 0.4, 0.2]), np.array([0.0, 5.0, -5.0, 2.0])
    rows = [
        {"precision": precision, "seed": seed, "test_error": 40 + spread[seed] + more * gap[seed],
         "train_loss": 1 - more * 0.01 * gap[seed]}
        for more, precision in enumerate(("float32", "bfloat16")) for seed in range(4)
    ]  # fmt: skip
    found = precision_difference(pd.DataFrame(rows).sample(frac=1, random_state=1))
    error, loss = found.itertuples()
    low, high = scipy.stats.ttest_1samp(gap, 0).confidence_interval(0.99)
    assert (error.difference, error.low, error.high) == pytest.approx((0.2, low, high))
    assert (error.seed_sd, error.num_seeds) == (pytest.approx(spread.std(ddof=1)), 4)
    assert loss.difference == pytest.approx(-0.002)


def test_throughput_is_compared_turn_by_turn_where_all_is_kept():
    rates = {"common": [100, 200, 50], "float32": [150, 300, 100], "bfloat16": [300, 400, 200]}
    rows = [
        (14, method, 1.0, turn, rate)
        for method, of in rates.items()
        for turn, rate in enumerate(of)
    ]
    rows += [(14, "bfloat16", 0.2, turn, 1.0) for turn in range(3)]
    names = ["depth", "method", "keep_fraction", "turn", "images_per_second"]
    found = throughput(pd.DataFrame(rows, columns=names)).set_index("method")
    assert found.loc["float32", ["times_common", "lowest", "highest"]].tolist() == [1.5, 1.5, 2.0]
    assert found.loc["bfloat16", ["times_common", "lowest", "highest"]].tolist() == [3.0, 2.0, 4.0]
    assert found.images_per_second.to_dict() == {"bfloat16": 300, "common": 100, "float32": 150}
