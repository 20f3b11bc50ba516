import pytest

from flax_vision.errors import add_file_name, unknown


def test_nearest_name_is_offered_and_all_are_listed():
    error = unknown("fruit", "aple", ["pear", "apple"])
    assert str(error) == "unknown fruit 'aple'; did you mean 'apple'? Valid: apple, pear."


def test_nothing_is_offered_where_nothing_is_near():
    assert str(unknown("fruit", "xyz", ["pear"])) == "unknown fruit 'xyz'. Valid: pear."


def test_error_of_the_system_gets_a_name_where_it_has_none():
    for name, expected in (("b", "b"), (None, "a")):
        with pytest.raises(OSError) as raised, add_file_name("a"):  # noqa: PT011
            raise OSError(28, "No space left on device", name)
        assert raised.value.filename == expected
