import resource

import pytest

from flax_vision.errors import UserError
from flax_vision.runtime.open_files import allow_open_files

NOFILE = resource.RLIMIT_NOFILE
INFINITY = resource.RLIM_INFINITY


@pytest.fixture
def limits(monkeypatch):
    """A list with the limits of the process, which are not the real ones."""
    limits = [1024, 1024]

    def setrlimit(kind, new):
        assert kind == NOFILE
        limits[:] = new

    monkeypatch.setattr(resource, "getrlimit", lambda kind: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    return limits


@pytest.mark.parametrize(
    ("count", "before", "after"),
    [
        (1088, (1024, 10**6), (4 * 1344, 10**6)),
        (1088, (1024, 1344), (1344, 1344)),
        (1088, (1024, INFINITY), (4 * 1344, INFINITY)),
        (1088, (INFINITY, INFINITY), (INFINITY, INFINITY)),
        (1088, (10**5, 10**6), (10**5, 10**6)),
        (0, (1024, 10**6), (1024, 10**6)),
    ],
)
def test_limit_is_raised_as_far_as_needed(count, before, after, limits):
    limits[:] = before
    allow_open_files(count, "dataset 'd'")
    assert tuple(limits) == after


def test_limit_of_the_system(limits):
    message = (
        r"^dataset 'd' has 1,088 files, and this process may open only 1,024 at once; raise the "
        r"hard limit \(`ulimit -Hn`\) to 1,344 or more"
    )
    with pytest.raises(UserError, match=message):
        allow_open_files(1088, "dataset 'd'")
    assert limits == [1024, 1024]
