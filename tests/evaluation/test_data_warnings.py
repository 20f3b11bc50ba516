import dataclasses

from flax_vision.evaluation.data_warnings import class_names_warning


def test_class_names_are_compared_in_one_form_of_unicode(metadata, digits):
    metadata = dataclasses.replace(metadata, class_names=["caf\u00e9", "b", "c", "d"])
    images = dataclasses.replace(digits, class_names=["cafe\u0301", "b", "c", "d"])
    assert not class_names_warning(metadata, images, "pictures")
    assert "class 0 is" in class_names_warning(metadata, digits, "pictures")
