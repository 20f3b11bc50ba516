import pytest

from flax_vision.text import counted, format_value, listed, printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[2Jcat", r"\x1b[2Jcat"),
        ("a\rb\nc\td\0", r"a\rb\nc\td\x00"),
        ("\x9b1mcat\x7f", r"\x9b1mcat\x7f"),
        ("\u202egpj.tac\u2066", r"\u202egpj.tac\u2066"),  # written from right to left
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("\ufefftext\U000e0041", r"\ufefftext\U000e0041"),
        ("caf\udce9.jpg", r"caf\udce9.jpg"),  # a file's name in Latin-1
        ("[/b] :cat: 漢字 e\u0301 \u00a0 👨\u200d👩", "[/b] :cat: 漢字 e\u0301 \u00a0 👨\u200d👩"),
        (7, "7"),
    ],
)
def test_printable(text, expected):
    assert printable(text) == expected


def test_counted():
    assert [counted(n, "image") for n in (0, 1, 2, 1200)] == [
        *("0 images", "1 image", "2 images", "1,200 images")
    ]
    assert [counted(n, "class", "classes") for n in (1, 2)] == ["1 class", "2 classes"]


def test_listed():
    assert listed(["a", "b"], 2) == "a, b"
    assert listed(["a", "b", "c"], 1, "; ") == "a and 2 more"
    assert listed(["a"] * 1203, 3, "; ") == "a; a; a and 1,200 more"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1200, "1,200"),
        (1234.567, "1,234.57"),
        ((28, 28, 6), "28x28x6"),
        (["a", "b\n"], "a\nb\\n"),
        ("caf\udce9", r"caf\udce9"),
    ],
)
def test_format_value(value, expected):
    assert format_value(value) == expected
