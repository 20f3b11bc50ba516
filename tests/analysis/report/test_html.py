from flax_vision.analysis.report.html import Figure, Section, page, table

NAME = "<b>\x1b[2J\udce9"
SHOWN = r"&lt;b&gt;\x1b[2J\udce9"


def test_names_in_a_table():
    cells = table([{NAME: [NAME, "two"]}], NAME)
    assert f"<td>{SHOWN}<br>two</td>" in cells
    assert cells.count(SHOWN) == 4
    assert NAME not in cells


def test_names_on_a_page_can_be_written_as_utf_8():
    figure = Figure("name", [b"", b""], NAME, NAME, 1, 1)
    content = page(NAME, NAME, {NAME: NAME}, [Section("Title", NAME, [figure])], NAME)
    assert content.encode().count(SHOWN.encode()) >= 8
    assert "<b>" not in content
