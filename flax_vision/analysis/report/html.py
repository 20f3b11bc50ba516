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


def table(rows: Sequence[Mapping[str, Any]], title: str = "", totals: int = 0) -> str:
    """Returns a table as HTML.

    Args:
      rows: Rows with the same keys, the headings.
      title: Heading above the table.
      totals: Number of rows at the end that are sums.
    """
    classes = {
        key: ' class="number"' if isinstance(value, int | float) else ""
        for key, value in rows[0].items()
    }
    head = "".join(f'<th scope="col"{kind}>{_escape(key)}</th>' for key, kind in classes.items())
    body = []
    for index, row in enumerate(rows):
        cells = "".join(f"<td{classes[key]}>{_cell(value)}</td>" for key, value in row.items())
        row_class = ' class="sum"' if index >= len(rows) - totals else ""
        body.append(f"<tr{row_class}>{cells}</tr>")
    heading = f"<h3>{_escape(title)}</h3>\n" if title else ""
    name = f' role="region" aria-label="{_escape(title or "table")}" tabindex="0"'
    return (
        f'{heading}<div class="wide"{name}><table><thead><tr>{head}</tr></thead>\n<tbody>'
        + "\n".join(body)
        + "</tbody></table></div>\n"
    )


def _cell(value: Any) -> str:
    return html.escape(format_value(value)).replace("\n", "<br>")


def _escape(text: str) -> str:
    return html.escape(printable(text))
