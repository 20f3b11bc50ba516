import pytest

from flax_vision.text import printable


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
