"""Tests of the description of a launch."""

import subprocess
from pathlib import Path

from flax_vision.training import launches


def test_git_revision_of_this_code():
    command = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    expected = done.stdout.strip() if done.returncode == 0 else None
    revision = launches._git_revision()
    assert (revision or "").removesuffix("-dirty") == (expected or "")
