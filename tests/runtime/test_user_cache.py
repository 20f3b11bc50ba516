import os
import stat
from pathlib import Path

import platformdirs
import pytest

from flax_vision.runtime import user_cache


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty directory for caches."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def forget_warnings():
    """Lets each test see a warning that another test has already caused."""
    user_cache._warn_once.cache_clear()


def test_it_is_made_so_that_nobody_else_writes_it(home):
    umask = os.umask(0)
    try:
        path = user_cache.cache_dir()
    finally:
        os.umask(umask)
    assert path == home / "flax_vision"
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


@pytest.mark.parametrize("path", [Path("~/.cache/flax_vision"), None])
def test_without_a_home_directory_there_is_none_and_one_warning(path, monkeypatch, recwarn):
    """Versions of platformdirs differ: one raises an error, the others leave the tilde."""

    def find(name):
        if path is None:
            raise RuntimeError
        return path

    monkeypatch.setattr(platformdirs, "user_cache_path", find)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.warns(UserWarning, match="this user has no home directory; set XDG_CACHE_HOME"):
        assert user_cache.cache_dir() is None
    assert user_cache.cache_dir() is None
    assert not recwarn


def test_a_directory_of_another_user_is_not_used(home, monkeypatch):
    path = user_cache.cache_dir()
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.warns(UserWarning, match="flax_vision belongs to another user"):
        assert user_cache.cache_dir() is None


@pytest.mark.parametrize("mode", [0o775, 0o777, 0o1777])
def test_a_directory_that_others_can_write_is_not_used(mode, home):
    path = user_cache.cache_dir()
    path.chmod(mode)
    with pytest.warns(UserWarning, match="can be written by others \\(`chmod go-w "):
        assert user_cache.cache_dir() is None
