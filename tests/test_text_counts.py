from flax_vision.text import counted, listed


def test_one_thing_and_several():
    assert [counted(n, "image") for n in (0, 1, 2, 1200)] == [
        *("0 images", "1 image", "2 images", "1,200 images")
    ]
    assert [counted(n, "class", "classes") for n in (1, 2)] == ["1 class", "2 classes"]


def test_list_that_is_cut_says_how_much_of_it():
    assert listed(["a", "b"], 2) == "a, b"
    assert listed(["a", "b", "c"], 1, "; ") == "a and 2 more"
    assert listed(["a"] * 1203, 3, "; ") == "a; a; a and 1,200 more"
