"""What page 11 reads is there, and its networks are those of pages 09 and 10."""

import pandas as pd

from experiments.why.recorded import read_recorded
from liprune_utils.files import PROJECT, read_json

RESULTS = PROJECT / "book" / "results"


def test_recorded_tables_are_those_of_their_pages():
    found = read_recorded()
    batches, images = found.by_batches, found.by_images
    assert {"random", "liprune"} <= set(batches.curves.method)
    assert {"random", "hessian"} <= set(images.curves.method)
    assert set(found.scores.seed) == set(batches.runs.seed)
    assert (batches.decay, images.decay) == (16, 10)
    followed, kept, curves = found.dynamics
    assert {"kept_noise", "score_gain", "test_error"} <= {*followed, *kept, *curves}
    curves, runs = found.long
    assert len(curves) > len(runs)
    norms = pd.read_csv(RESULTS / "08_hessian_norm" / "batch_norms.csv")
    pd.testing.assert_frame_equal(found.norms, norms)
    seconds = [found.head_seconds, batches.seconds, images.seconds]
    names = ("06_convex_is_not_enough/head", "09_cifar10/whole", "10_other_scores/examples")
    expected = [read_json(RESULTS / f"{name}_provenance.json")["seconds"] for name in names]
    assert seconds == expected
    assert found.study["prune_epoch"] == 5
    assert {"unit", "rule", "test_loss"} < set(found.head[0])
