"""A page of its own: pictures inside, no network, for wide and narrow screens, light and dark."""

import base64
import html
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from flax_vision.analysis.report.figures.drawing import DARK, LIGHT, Picture, Theme
from flax_vision.text import format_value, printable

THEMES: Mapping[str, Theme] = {"": LIGHT, "-dark": DARK}
"""What is added to the name of a picture's file, for each form of it."""


@dataclass(frozen=True)
class Figure:
    """A picture on a page.

    Attributes:
      name: of its file, without what says its form and type.
      pngs: the picture as files, in the order of `THEMES`.
      alternative: what it shows, for who cannot see it.
      caption: above it; may be empty.
      width: of the light picture, in pixels of the page.
      height: the same.
    """

    name: str
    pngs: Sequence[bytes]
    alternative: str
    caption: str
    width: int
    height: int

    def html(self) -> str:
        """Returns it as HTML."""
        light, dark = (f"data:image/png;base64,{base64.b64encode(x).decode()}" for x in self.pngs)
        caption = f"<figcaption>{_escape(self.caption)}</figcaption>" if self.caption else ""
        return (
            f'<figure>{caption}<picture><source media="(prefers-color-scheme: dark)" '
            f'srcset="{dark}"><img src="{light}" width="{self.width}" height="{self.height}" '
            f'alt="{_escape(self.alternative)}"></picture></figure>'
        )


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
      title: its heading.
      text: below that.
      figures: its pictures.
      tables: HTML below them.
    """

    title: str
    text: str
    figures: Sequence[Figure] = ()
    tables: str = ""

    @property
    def anchor(self) -> str:
        """What a link to it ends with."""
        return self.title.lower().replace(" ", "-")

    def html(self) -> str:
        """Returns it as HTML."""
        figures = "\n".join(figure.html() for figure in self.figures)
        shown = f'<div class="figures">\n{figures}\n</div>\n' if figures else ""
        return (
            f'<section id="{self.anchor}">\n<h2>{_escape(self.title)}</h2>\n'
            f"<p>{_escape(self.text)}</p>\n{shown}{self.tables}</section>"
        )


def figure(name: str, pictures: Sequence[Picture], alternative: str, caption: str = "") -> Figure:
    """Returns a picture as a page has it.

    Args:
      name: of its file.
      pictures: one for each of `THEMES`.
      alternative: what it shows, for who cannot see it.
      caption: above it.
    """
    width, height = (round(96 * inches) for inches in pictures[0].get_size_inches())
    pngs = [picture.png() for picture in pictures]
    return Figure(name, pngs, alternative, caption, width, height)


def page(
    title: str, subtitle: str, facts: Mapping[str, str], sections: Sequence[Section], footer: str
) -> str:
    """Returns a whole page as HTML.

    Args:
      title: of it.
      subtitle: a sentence below it.
      facts: what matters most, by its name.
      sections: the parts.
      footer: a sentence at the end.
    """
    template = (
        resources.files("flax_vision.analysis.report").joinpath("page.html").read_text("utf-8")
    )
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
    """Returns a table as HTML, with what `tables.print_table` prints.

    Args:
      rows: that have the same keys, which become the headings.
      title: above it.
      totals: how many rows at the end are sums.
    """
    numeric = [isinstance(value, int | float) for value in rows[0].values()]
    classes = [' class="number"' if is_number else "" for is_number in numeric]
    head = "".join(
        f'<th scope="col"{kind}>{_escape(heading)}</th>'
        for kind, heading in zip(classes, rows[0], strict=True)
    )
    body = []
    for place, row in enumerate(rows):
        cells = "".join(
            f"<td{kind}>{_cell(value)}</td>"
            for kind, value in zip(classes, row.values(), strict=True)
        )
        is_sum = place >= len(rows) - totals
        body.append(f'<tr class="sum">{cells}</tr>' if is_sum else f"<tr>{cells}</tr>")
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
