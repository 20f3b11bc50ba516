"""One process alone."""

import pytest

from flax_vision.errors import UserError
from flax_vision.runtime import multihost


def test_alone_it_agrees_with_itself():
    assert multihost.all_max(3, 0) == (3, 0)
    assert multihost.all_gather_text("ä") == ["ä"]
    assert multihost.is_primary()
    multihost.check_same({"seed": 0})


def test_what_the_first_does_returns_or_raises():
    def fail():
        raise UserError("wrong")

    assert multihost.primary_only(lambda: 5) == 5
    with pytest.raises(UserError, match="wrong"):
        multihost.primary_only(fail)
