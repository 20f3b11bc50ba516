from flax_vision.errors import unknown


def test_nearest_name_is_offered_and_all_are_listed():
    error = unknown("fruit", "aple", ["pear", "apple"])
    assert str(error) == "unknown fruit 'aple'; did you mean 'apple'? Valid: apple, pear."


def test_nothing_is_offered_where_nothing_is_near():
    assert str(unknown("fruit", "xyz", ["pear"])) == "unknown fruit 'xyz'. Valid: pear."
