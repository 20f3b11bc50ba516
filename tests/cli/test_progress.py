import io

from rich.console import Console

from flax_vision.cli import progress


def test_markup_and_control_codes_in_names_are_escaped(monkeypatch):
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=120)
    monkeypatch.setattr(progress, "Console", lambda **settings: terminal)
    with progress.progress() as report:
        report("reading [/b]\x1b[2J", 1, 2)
        report("reading [/b]\x1b[2J", 2, 2)
    assert r"reading [/b]\x1b[2J" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()
