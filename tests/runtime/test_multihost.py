"""Collectives of one process, and of several whose texts are replaced."""

import json

import pytest

from flax_vision.errors import UserError
from flax_vision.runtime import multihost


def test_single_process_agrees_with_itself():
    assert multihost.all_max(3, 0) == (3, 0)
    assert multihost.all_gather_text("ä") == ["ä"]
    assert multihost.is_primary()
    multihost.check_same({"seed": 0})


def test_primary_returns_or_raises():
    def fail():
        raise UserError("wrong")

    assert multihost.primary_only(lambda: 5) == 5
    with pytest.raises(UserError, match="wrong"):
        multihost.primary_only(fail)


def test_difference_names_the_processes_and_the_hint(monkeypatch):
    texts = [json.dumps({"seed": 0}), json.dumps({"seed": 1, "more": 2})]
    monkeypatch.setattr(multihost, "all_gather_text", lambda text: texts)
    message = "have one seed: more is None in process 0 and 2 in process 1; seed is 0 .*1. Set it"
    with pytest.raises(UserError, match=message):
        multihost.check_same({}, "one seed", "Set it.")
