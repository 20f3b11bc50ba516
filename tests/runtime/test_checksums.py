import json

import pytest

from flax_vision.runtime.checksums import ChecksumError, check_checksums, write_checksums


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c").write_text("content")
    (tmp_path / "d").write_text("more")
    write_checksums(tmp_path)
    return tmp_path


def test_untouched_files_pass(folder):
    (folder / "a/.DS_Store").touch()
    check_checksums(folder)
    assert json.loads((folder / "sha256.json").read_text()).keys() == {"a/b/c", "d"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "a/b/c").write_text("Content"), "'a/b/c' is not as it was"),
        (lambda folder: (folder / "a/b/c").unlink(), "'a/b/c' is missing"),
        (lambda folder: (folder / "a/e").touch(), "'a/e' does not belong there"),
        (lambda folder: (folder / "e\n").touch(), r"'e\\n' does not belong there$"),
        (lambda folder: (folder / "sha256.json").unlink(), "it has no sha256.json"),
        (lambda folder: (folder / "sha256.json").write_text("{"), "sha256.json is not as it"),
        (lambda folder: (folder / "sha256.json").write_text("[" * 10**5), "sha256.json is not"),
        (lambda folder: (folder / "sha256.json").write_bytes(b"\xff"), "sha256.json is not as it"),
        (lambda folder: (folder / "sha256.json").write_text("[]"), "sha256.json is not as it"),
    ],
)
def test_damage_is_named(damage, message, folder):
    damage(folder)
    with pytest.raises(ChecksumError, match=f"^{message}"):
        check_checksums(folder)


def test_only_the_given_items_are_covered(folder):
    write_checksums(folder, ["a"])
    (folder / "d").write_text("other")
    check_checksums(folder, ["a"])
    (folder / "a/b/c").write_text("other")
    with pytest.raises(ChecksumError, match="'a/b/c' is not"):
        check_checksums(folder, ["a"])


def test_only_the_given_items_are_compared(folder):
    (folder / "a/b/c").write_text("other")
    check_checksums(folder, ["d"])
