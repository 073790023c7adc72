"""How a report looks: its colours, light and dark, and the sheet of its drawings.

Drawings name their colours outright and not through variables, so that programs that know little CSS (those that make
PDF of SVG, for instance) draw them too; such programs see the light look.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from megaagent.report.words import markup

PALETTE: Final = (
    ("#1c6f6b", "#58b5ae"),
    ("#c26a2d", "#e29a62"),
    ("#5468b4", "#93a6ea"),
    ("#a8475b", "#dd8597"),
    ("#64843a", "#a5c572"),
    ("#7a5fa0", "#b79fdc"),
    ("#a98314", "#dcbc58"),
    ("#357f9f", "#7fbfe0"),
    ("#86654d", "#c3a38a"),
    ("#47795f", "#88c5a5"),
)  # of the parts of an organization: light, dark

COLOURS: Final = len(PALETTE)

INKS: Final[Mapping[str, tuple[str, str]]] = {
    "paper": ("#f7f5f0", "#14181a"),
    "raised": ("#fdfcf9", "#1c2124"),
    "ink": ("#21272b", "#e3e5e2"),
    "soft": ("#5c656b", "#9aa5a8"),
    "line": ("#d8d3c7", "#343c40"),
    "faint": ("#e9e5dc", "#22282b"),
    "bad": ("#b3352c", "#ef7b6c"),
    "good": ("#3c7a3a", "#86c47f"),
    "warn": ("#8a5a00", "#e2b04a"),
    "boss": ("#3b4449", "#c9cfce"),
}

FONT: Final = 'system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif'

_SHAPES: Final = (
    "text{font-size:11px}.small{font-size:10px}.large{font-size:13px}.end{text-anchor:end}.mid{text-anchor:middle}"
    ".name{font-weight:600;font-size:12px}.edge,.band,.dot,.ring.wrong,circle.wrong{fill:none}"
    ".edge{stroke-opacity:.55}.band{stroke-width:5}.dot{stroke-linecap:round}"
    ".ring{fill-opacity:.07;stroke-opacity:.4}.area{fill-opacity:.85}.thin{stroke-width:1;fill:none}"
    "circle.wrong{stroke-width:1.6}circle.fine{stroke-width:.7}.card.wrong>rect:first-of-type{stroke-width:1.6}"
    ".path{stroke-width:1.5;fill:none}.program{fill-opacity:.45}.wait{fill-opacity:.3}"
)


@cache
def drawing_css() -> str:
    """The sheet of the drawings, for both looks."""
    return f"{_SHAPES}{_rules(0)}@media (prefers-color-scheme:dark){{{_rules(1)}}}"


@cache
def page_css() -> str:
    """The whole sheet of a page."""
    sheet = files(__package__ or "").joinpath("page.css").read_text(encoding="utf-8")
    variables = [";".join(f"--{name}:{both[look]}" for name, both in INKS.items()) for look in (0, 1)]
    looks = (
        f":root{{color-scheme:light dark;{variables[0]}}}@media (prefers-color-scheme:dark){{:root{{{variables[1]}}}}}"
    )
    return f"{looks}{drawing_css()}{sheet}"


def standalone(drawn: str, width: float, height: float, title: str, margin: float = 14.0) -> str:
    """A drawing as a file of its own."""
    w, h = width + 2 * margin, height + 2 * margin + 16
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w:g} {h:g}" width="{w:g}" height="{h:g}" role="img" '
        f"font-family='{FONT}'><title>{markup(title)}</title><style>{drawing_css()}</style>"
        f'<rect class="paper" width="{w:g}" height="{h:g}" rx="6"/><g transform="translate({margin:g} {margin:g})">'
        f'{drawn}</g><text class="soft" x="{margin:g}" y="{h - 10:g}">{markup(title)}</text></svg>\n'
    )


def inline(drawn: str, width: float, height: float, title: str, kind: str) -> str:
    """A drawing as a part of a page."""
    return (
        f'<svg class="drawing {kind}" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
        f'role="img" aria-label="{markup(title)}">'
        f"{drawn}</svg>"
    )


def _rules(look: int) -> str:
    ink = {name: both[look] for name, both in INKS.items()}
    rules = [
        f"text{{fill:{ink['ink']}}}text.soft{{fill:{ink['soft']}}}text.bad{{fill:{ink['bad']}}}",
        f"rect.paper{{fill:{ink['paper']}}}.card>rect{{fill:{ink['raised']};stroke:{ink['line']}}}",
        f".edge{{stroke:{ink['line']};stroke-opacity:1}}.grid{{stroke:{ink['faint']}}}.axis{{stroke:{ink['line']}}}",
        f"circle.wrong,.card.wrong>rect:first-of-type{{stroke:{ink['bad']}}}.mark{{stroke:{ink['bad']}}}",
        f".path{{stroke:{ink['ink']}}}.link{{fill:{ink['ink']}}}.stage{{fill:{ink['faint']}}}",
        _coloured("g", ink["boss"]),
        *(_coloured(f"g{number}", both[look]) for number, both in enumerate(PALETTE)),
    ]
    return "".join(rules)


def _coloured(name: str, colour: str) -> str:
    """How shapes of a part are coloured, which have its class or lie in a group that has it."""
    return (
        f".dot.{name},.{name} .band,.edge.{name},.ring.{name}{{stroke:{colour}}}"
        f".edge.{name}{{stroke-opacity:.45}}"
        f".ring.{name},.card.{name}>.fill,.bar.{name},.{name} .bar{{fill:{colour}}}.card.{name}>.fill{{stroke:none}}"
    )
