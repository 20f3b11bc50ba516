import pytest

from flax_vision.training.fit import fit


@pytest.fixture(scope="session")
def finished(small_config, tmp_path_factory):
    """A finished run and its result."""
    workdir = tmp_path_factory.mktemp("finished")
    return workdir, fit(small_config, workdir)
