"""Whether a part has the images that it had."""

import json
import shutil

import numpy as np
from tiny_folders import VIEW, ignore, load, write

from flax_vision.data.crops import DecodeConfig
from flax_vision.data.fingerprint import brief, changes, identities, identity
from flax_vision.data.splits import Source, load_parts


def test_folder_is_the_same_wherever_it_lies(tmp_path):
    write(tmp_path / "here/train")
    before = identity(load(tmp_path / "here")[0])
    shutil.move(tmp_path / "here", tmp_path / "there")
    after = identity(load(tmp_path / "there")[0])
    assert before == after
    assert not changes(json.loads(json.dumps(before)), after)
    assert {name: count for name, (count, _) in before.items()} == {"a": 6, "b": 6}


def test_folder_is_the_same_in_every_form_of_unicode(tmp_path):
    """macOS writes é as two characters."""
    found = []
    for here, name in (("here", "caf\u00e9"), ("there", "cafe\u0301")):
        write(tmp_path / here, ("a", name), 2)
        (tmp_path / here / name / "1.png").rename(tmp_path / here / name / f"{name}.png")
        (tmp_path / here / name / "0.png").rename(tmp_path / here / name / "caff.png")
        found.append(identity(load(tmp_path / here)[0]))
    assert found[0] == found[1]


def test_damaged_file_may_be_mended(tmp_path):
    before = identity(load(write(tmp_path))[0])
    (tmp_path / "a/1.png").write_bytes((tmp_path / "a/2.png").read_bytes())
    assert not changes(before, identity(load(tmp_path)[0]))


def test_what_has_changed_is_told_by_class(tmp_path):
    before = identity(load(write(tmp_path, "abcd"))[0])
    shutil.copy(tmp_path / "a/1.png", tmp_path / "a/more.png")
    (tmp_path / "b/1.png").rename(tmp_path / "b/other.png")
    after = identity(load(tmp_path)[0])
    assert changes(before, after) == "'a' had 6 images and has 7, the 6 images of 'b' are others"
    assert changes(after, before).startswith("'a' had 7 images and has 6, ")
    for name in "cd":
        (tmp_path / name / "1.png").unlink()
    told = changes(before, identity(load(tmp_path)[0]))
    assert told.endswith("'c' had 6 images and has 5, and 1 more class")


def test_class_by_another_name(tmp_path):
    before = identity(load(write(tmp_path, "ab", 1))[0])
    (tmp_path / "b").rename(tmp_path / "c")
    after = identity(load(tmp_path)[0])
    assert changes(before, after) == "'b' had 1 image and has 0, 'c' had 0 images and has 1"


def test_one_more_file_divides_a_folder_otherwise(tmp_path):
    """Files are drawn by their place, so that old ones go to other parts."""
    source = Source("folder", "", str(write(tmp_path, "ab", 20)), 0.2, 0.2, DecodeConfig(VIEW))
    before = identities(load_parts(source, ignore))
    shutil.copy(tmp_path / "a/1.png", tmp_path / "a/00.png")
    after = identities(load_parts(source, ignore))
    assert changes(before["test"], after["test"]).startswith("the 4 images of 'a' are others")


def test_images_in_memory_are_known_by_their_pixels(digits):
    before = identity(digits)
    digits.images[5, 0, 0] ^= 1  # of the class b
    assert changes(before, identity(digits)) == "the 10 images of 'b' are others"
    fewer = identity(digits.take(np.arange(39)))
    assert "'d' had 10 images and has 9" in changes(before, fewer)


def test_few_words_tell_one_image_from_another(tmp_path):
    before = brief({"train": identity(load(write(tmp_path))[0])})
    assert before["train"].startswith("12 images, ")
    assert before == brief({"train": identity(load(tmp_path)[0])})
    (tmp_path / "b/1.png").rename(tmp_path / "b/other.png")
    after = brief({"train": identity(load(tmp_path)[0])})
    assert after["train"].startswith("12 images, ")
    assert after != before
