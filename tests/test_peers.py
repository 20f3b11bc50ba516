"""One process alone."""

import pytest

from flax_vision import peers
from flax_vision.errors import UserError


def test_alone_it_agrees_with_itself():
    assert peers.agreed(3, 0) == (3, 0)
    assert peers.gathered("ä") == ["ä"]
    assert peers.is_first()
    peers.check_same({"seed": 0})


def test_what_the_first_does_returns_or_raises():
    def fail():
        raise UserError("wrong")

    assert peers.first_only(lambda: 5) == 5
    with pytest.raises(UserError, match="wrong"):
        peers.first_only(fail)
