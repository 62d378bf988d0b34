"""What the tests of several modules share."""

from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch
from hypothesis import HealthCheck, settings

from liprune_utils.book import style

# A busy machine fails no test, and each run draws the same.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


@pytest.fixture
def book_style():
    """The look of the book's figures, which are closed afterwards."""
    plt.switch_backend("agg")
    with plt.style.context(Path(style.__file__).with_name("liprune.mplstyle")):
        yield
    plt.close("all")


@pytest.fixture(autouse=True)
def same_draws():
    """What a test draws without a generator is the same in every process."""
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tensors are tiny: threads would only wait for one another
    yield
    torch.set_num_threads(threads)
