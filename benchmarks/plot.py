"""Lines over the number of hosts, as SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT = 470, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 130, 34, 40
_COLORS = (
    "#c0392b",
    "#2471a3",
    "#1e8449",
    "#b9770e",
    "#7d3c98",
    "#117a65",
    "#7b7d7d",
    "#1b2631",
    "#e67e22",
)
_LABEL_GAP = 13.0


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot: ``lines`` maps names to points of a number of hosts and a value above zero."""

    title: str
    lines: Mapping[str, Sequence[tuple[int, float]]]


def render(panels: Sequence[Panel]) -> str:
    """Return the panels side by side. Both axes are logarithmic."""
    width = _WIDTH * len(panels)
    body = "".join(
        f'<g transform="translate({at * _WIDTH},0)">{_panel(panel)}</g>\n'
        for at, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" '
        'font-family="sans-serif" font-size="11">\n'
        f'<rect width="{width}" height="{_HEIGHT}" fill="#ffffff"/>\n{body}</svg>\n'
    )


def _panel(panel: Panel) -> str:
    points = [point for line in panel.lines.values() for point in line]
    if not points:
        return ""
    hosts = sorted({number for number, _ in points})
    low = 10 ** math.floor(math.log10(min(value for _, value in points)))
    high = 10 ** math.ceil(math.log10(max(value for _, value in points)))
    inner_width, inner_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x_of(number: float) -> float:
        span = math.log10(hosts[-1] / hosts[0]) or 1.0
        return _LEFT + inner_width * math.log10(number / hosts[0]) / span

    def y_of(value: float) -> float:
        span = math.log10(high / low) or 1.0
        return _TOP + inner_height * (1 - math.log10(value / low) / span)

    parts = [f'<text x="{_LEFT}" y="18" font-weight="bold">{escape(panel.title)}</text>']
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        y = y_of(10**power)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10**power:g}</text>'
        )
    for number in hosts:
        x, y = x_of(number), _HEIGHT - _BOTTOM + 16
        parts.append(f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{number:,}</text>')
    middle = _LEFT + inner_width / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">hosts</text>')
    ends: list[tuple[float, float, str, str]] = []
    for at, (name, line) in enumerate(panel.lines.items()):
        color = _COLORS[at % len(_COLORS)]
        places = [(x_of(number), y_of(value)) for number, value in sorted(line)]
        if not places:
            continue
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{text}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{color}"/>' for x, y in places]
        ends.append((places[-1][1], places[-1][0], name, color))
    parts += _labels(ends)
    return "".join(parts)


def _labels(ends: Sequence[tuple[float, float, str, str]]) -> list[str]:
    """Name each line at its end, from the top on, so far apart that all can be read."""
    labels: list[str] = []
    lowest = 0.0
    for y, _, name, color in sorted(ends):
        lowest = max(y, lowest + _LABEL_GAP)
        x = _WIDTH - _RIGHT + 8
        labels.append(f'<text x="{x}" y="{lowest + 4:.1f}" fill="{color}">{escape(name)}</text>')
    return labels
