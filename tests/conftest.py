"""What the tests of several modules share."""

from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch

from liprune_utils.book import style


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
