"""What page 11 reads is there, and its networks are those of pages 09 and 10."""

import pandas as pd
import pytest

from experiments.why.recorded import read_recorded
from liprune_utils.files import PROJECT, read_json

RESULTS = PROJECT / "book" / "results"


def test_recorded_tables_are_those_of_their_pages():
    found = read_recorded()
    batches, images = found.pruned
    assert {"random", "liprune"} <= set(batches.method)
    assert {"random", "hessian"} <= set(images.method)
    followed, kept, curves = found.dynamics
    assert {"kept_noise", "score_gain", "test_error"} <= {*followed, *kept, *curves}
    curves, runs = found.long
    assert len(curves) > len(runs)
    assert {"random", "liprune"} == set(found.paper.method)
    norms = pd.read_csv(RESULTS / "08_hessian_norm" / "batch_norms.csv")
    pd.testing.assert_frame_equal(found.norms, norms)
    seconds = [
        read_json(RESULTS / name)["seconds"]
        for name in (
            "06_convex_is_not_enough/head_provenance.json",
            "09_cifar10/reduced14_provenance.json",
            "10_other_scores/examples_provenance.json",
        )
    ]
    assert found.seconds == pytest.approx(sum(seconds))
    assert found.study["prune_epoch"] == 5
    assert {"unit", "rule", "test_loss"} < set(found.head[0])
