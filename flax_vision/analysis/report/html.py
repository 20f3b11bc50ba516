"""Renders a self-contained HTML page for wide and narrow screens, light and dark."""

import base64
import html
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from flax_vision.analysis.report.figures.drawing import DARK, LIGHT, Picture, Theme
from flax_vision.text import format_value, printable

THEMES: Mapping[str, Theme] = {"": LIGHT, "-dark": DARK}
"""Themes of each figure, by the suffix of its file name."""


@dataclass(frozen=True)
class Figure:
    """A figure of a page.

    Attributes:
      name: Name of its file, without theme and suffix.
      pngs: PNG files, in the order of `THEMES`.
      alternative: Alternative text.
      caption: Text above the figure; may be empty.
      width: Width of the light figure in CSS pixels.
      height: Height of the light figure in CSS pixels.
    """

    name: str
    pngs: Sequence[bytes]
    alternative: str
    caption: str
    width: int
    height: int

    def html(self) -> str:
        """Returns the HTML."""
        light, dark = (f"data:image/png;base64,{base64.b64encode(x).decode()}" for x in self.pngs)
        caption = f"<figcaption>{_escape(self.caption)}</figcaption>" if self.caption else ""
        return (
            f'<figure>{caption}<picture><source media="(prefers-color-scheme: dark)" '
            f'srcset="{dark}"><img src="{light}" width="{self.width}" height="{self.height}" '
            f'alt="{_escape(self.alternative)}"></picture></figure>'
        )


@dataclass(frozen=True)
class Thumbnail:
    """A small picture in a table.

    Attributes:
      content: Content of the image file.
      media_type: Media type of the file, such as `image/png`.
      alternative: Alternative text.
      width: Width in CSS pixels.
      height: Height in CSS pixels.
    """

    content: bytes
    media_type: str
    alternative: str
    width: int
    height: int

    def html(self) -> str:
        """Returns the HTML."""
        data = base64.b64encode(self.content).decode()
        return (
            f'<img src="data:{self.media_type};base64,{data}" width="{self.width}" '
            f'height="{self.height}" alt="{_escape(self.alternative)}">'
        )


@dataclass(frozen=True)
class Cell:
    """A number in a table that is displayed as other text.

    Attributes:
      text: Text of the cell.
      number: Number by which the table is sorted.
    """

    text: str
    number: float


@dataclass(frozen=True)
class Section:
    """A section of a page.

    Attributes:
      title: Heading.
      text: Paragraph below the heading.
      figures: Figures below the paragraph.
      tables: HTML below the figures.
    """

    title: str
    text: str
    figures: Sequence[Figure] = ()
    tables: str = ""

    @property
    def anchor(self) -> str:
        """Fragment of links to the section."""
        return self.title.lower().replace(" ", "-")

    def html(self) -> str:
        """Returns the HTML."""
        figures = "\n".join(figure.html() for figure in self.figures)
        block = f'<div class="figures">\n{figures}\n</div>\n' if figures else ""
        return (
            f'<section id="{self.anchor}">\n<h2>{_escape(self.title)}</h2>\n'
            f"<p>{_escape(self.text)}</p>\n{block}{self.tables}</section>"
        )


def figure(name: str, draw: Callable[..., Picture], alternative: str, caption: str = "") -> Figure:
    """Draws a figure for a page in each of `THEMES`.

    Args:
      name: Name of its file.
      draw: Function that draws the figure in the colors of its argument `theme`.
      alternative: Alternative text.
      caption: Text above the figure.
    """
    pictures = [draw(theme=theme) for theme in THEMES.values()]
    width, height = (round(96 * inches) for inches in pictures[0].get_size_inches())
    pngs = [picture.png() for picture in pictures]
    return Figure(name, pngs, alternative, caption, width, height)


def page(
    title: str, subtitle: str, facts: Mapping[str, str], sections: Sequence[Section], footer: str
) -> str:
    """Returns the HTML of a page.

    Args:
      title: Heading of the page.
      subtitle: Sentence below the heading.
      facts: Main results, by name.
      sections: Sections of the page.
      footer: Sentence at the end.
    """
    template = resources.files(__package__).joinpath("page.html").read_text("utf-8")
    return string.Template(template).substitute(
        title=_escape(title),
        subtitle=_escape(subtitle),
        facts="\n".join(
            f"<div><dt>{_escape(name)}</dt><dd>{_escape(value)}</dd></div>"
            for name, value in facts.items()
        ),
        links="\n".join(
            f'<li><a href="#{section.anchor}">{_escape(section.title)}</a></li>'
            for section in sections
        ),
        sections="\n".join(section.html() for section in sections),
        footer=_escape(footer),
    )


def table(
    rows: Sequence[Mapping[str, Any]],
    title: str = "",
    totals: int = 0,
    is_sortable: bool = False,
    sorted_by: str = "",
) -> str:
    """Returns a table as HTML.

    Args:
      rows: Rows with the same keys, the headings. Values may be a `Cell` or a `Thumbnail`.
      title: Heading above the table.
      totals: Number of rows at the end that are sums.
      is_sortable: Whether a click on a heading sorts the rows.
      sorted_by: Heading by which the rows are sorted, the largest first; empty for none.
    """
    head = "".join(_heading(key, value, key == sorted_by) for key, value in rows[0].items())
    body = []
    for index, row in enumerate(rows):
        cells = "".join(_cell(value, is_sortable) for value in row.values())
        row_class = ' class="sum"' if index >= len(rows) - totals else ""
        body.append(f"<tr{row_class}>{cells}</tr>")
    heading = f"<h3>{_escape(title)}</h3>\n" if title else ""
    name = f' role="region" aria-label="{_escape(title or "table")}" tabindex="0"'
    kind = ' class="sortable"' if is_sortable else ""
    return (
        f'{heading}<div class="wide"{name}><table{kind}><thead><tr>{head}</tr></thead>\n<tbody>'
        + "\n".join(body)
        + "</tbody></table></div>\n"
    )


def _heading(key: str, value: Any, is_sorted: bool) -> str:
    """Returns the heading of a column, which begins with `value`."""
    kind = ' class="picture"' if isinstance(value, Thumbnail) else _kind(value)
    order = ' aria-sort="descending"' if is_sorted else ""
    return f'<th scope="col"{kind}{order}>{_escape(key)}</th>'


def _kind(value: Any) -> str:
    return ' class="number"' if isinstance(value, int | float | Cell) else ""


def _cell(value: Any, is_sortable: bool) -> str:
    number = value.number if isinstance(value, Cell) else value
    is_number = is_sortable and isinstance(number, int | float)
    key = f' data-sort="{number!r}"' if is_number else ""
    if isinstance(value, Thumbnail):
        content = value.html()
    else:
        text = value.text if isinstance(value, Cell) else value
        content = html.escape(format_value(text)).replace("\n", "<br>")
    return f"<td{_kind(value)}{key}>{content}</td>"


def _escape(text: str) -> str:
    return html.escape(printable(text))
