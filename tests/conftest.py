"""What the tests of several modules share."""

import pytest
import torch


@pytest.fixture(scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tensors are tiny: threads would only wait for one another
    yield
    torch.set_num_threads(threads)
