"""Draws horizontal bars as SVG, readable on light and dark pages; knows nothing of what they mean."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape

WIDTH = 760
LABEL, VALUE = 160, 110
BAR, GAP, TITLE, BETWEEN = 18, 6, 34, 20

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2933 }
  .title { font-weight: 600 }
  .note { fill: #66727f; font-weight: 400 }
  .bar { fill: #b6c2cd }
  .ours { fill: #2f6fde }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e8ec }
    .note { fill: #98a4b0 }
    .bar { fill: #55616d }
    .ours { fill: #6ea0ff }
  }
"""


@dataclass(frozen=True)
class Bar:
    name: str
    value: float
    text: str
    """How the value is written beside the bar."""
    ours: bool = False


@dataclass(frozen=True)
class Panel:
    title: str
    note: str
    """Such as which way is better."""
    bars: tuple[Bar, ...]

    @property
    def height(self) -> int:
        return TITLE + len(self.bars) * (BAR + GAP)


def draw(panels: Iterable[Panel]) -> str:
    """One panel below the other, each with a scale of its own."""
    panels = tuple(panels)
    height = sum(panel.height + BETWEEN for panel in panels)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape('; '.join(panel.title for panel in panels))}</title>",
        f"<style>{STYLE}</style>",
    ]
    top = 0
    for panel in panels:
        lines += _panel(panel, top)
        top += panel.height + BETWEEN
    return "\n".join((*lines, "</svg>", ""))


def _panel(panel: Panel, top: int) -> Iterator[str]:
    most = max((bar.value for bar in panel.bars), default=0) or 1
    room = WIDTH - LABEL - VALUE
    note = f'<tspan class="note" dx="10">{escape(panel.note)}</tspan>'
    yield f'<text class="title" x="0" y="{top + 18}">{escape(panel.title)}{note}</text>'
    for number, bar in enumerate(panel.bars):
        y = top + TITLE + number * (BAR + GAP)
        length = max(1.0, bar.value / most * room)
        kind = "bar ours" if bar.ours else "bar"
        yield f'<text x="{LABEL - 10}" y="{y + 14}" text-anchor="end">{escape(bar.name)}</text>'
        yield f'<rect class="{kind}" x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>'
        yield f'<text x="{LABEL + length + 8:.1f}" y="{y + 14}">{escape(bar.text)}</text>'
