"""What the tests of several modules share."""

import pytest
import torch


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Leave each module to one process, as its tests share what is costly; not the browser's."""
    for item in items:
        if not item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tensors are tiny: threads would only wait for one another
    yield
    torch.set_num_threads(threads)
