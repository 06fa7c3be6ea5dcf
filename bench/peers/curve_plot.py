"""An SVG of two sets of training runs: every run thin, the means bold."""

import math
from html import escape

WIDTH, HEIGHT = 460, 320
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 44, 44
COLOURS = {"kiln": "#c2410c", "PyTorch": "#1d4ed8"}


def _ticks(low, high, count=5):
    """Round numbers that cover [low, high]."""
    raw = (high - low) / count
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(s * scale for s in (1, 2, 5, 10) if s * scale >= raw)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(index * step, 10) for index in range(first, last + 1)]


class _Panel:
    def __init__(self, left, title, series):
        values = [v for curves in series.values() for curve in curves for v in curve]
        self._left, self._title, self._series = left, title, series
        self._ticks = _ticks(min(values), max(values))
        self._epochs = max(len(curve) for curves in series.values() for curve in curves)

    def _x(self, epoch):
        return self._left + LEFT + (epoch - 1) / max(1, self._epochs - 1) * (WIDTH - LEFT - RIGHT)

    def _y(self, value):
        low, high = self._ticks[0], self._ticks[-1]
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def _curve(self, values, colour, width, opacity):
        points = " ".join(f"{self._x(at):.1f},{self._y(v):.1f}" for at, v in enumerate(values, 1))
        return (f'<polyline points="{points}" fill="none" stroke="{colour}" '
                f'stroke-width="{width}" stroke-opacity="{opacity}"/>')

    def _axes(self):
        right = self._left + WIDTH - RIGHT
        for tick in self._ticks:
            y = self._y(tick)
            yield (f'<line x1="{self._left + LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" '
                   f'stroke="#d6d3d1"/>')
            yield (f'<text x="{self._left + LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">'
                   f'{tick:g}</text>')
        for epoch in range(1, self._epochs + 1):
            yield (f'<text x="{self._x(epoch):.1f}" y="{HEIGHT - BOTTOM + 18}" '
                   f'text-anchor="middle">{epoch}</text>')
        yield (f'<text x="{self._left + LEFT + (WIDTH - LEFT - RIGHT) / 2}" y="{HEIGHT - 8}" '
               f'text-anchor="middle">epoch</text>')
        yield (f'<text x="{self._left + LEFT}" y="{TOP - 24}" font-weight="bold">'
               f'{escape(self._title)}</text>')

    def draw(self):
        yield from self._axes()
        for at, (name, curves) in enumerate(self._series.items()):
            for curve in curves:
                yield self._curve(curve, COLOURS[name], 1, 0.35)
            mean = [sum(values) / len(values) for values in zip(*curves)]
            yield self._curve(mean, COLOURS[name], 2.5, 1)
            x = self._left + LEFT + 150 * at
            yield (f'<text x="{x}" y="{TOP - 8}" fill="{COLOURS[name]}">'
                   f'{name} ({len(curves)} seeds, mean bold)</text>')


def svg(kiln_runs, peer):
    """The text of the picture: training loss on the left, test accuracy on the right."""
    runs = {"kiln": kiln_runs, "PyTorch": peer["runs"]}
    panels = []
    for at, (title, key) in enumerate([("mean training loss", "train_loss"),
                                       ("test accuracy, %", "test_accuracy")]):
        series = {name: [[epoch[key] for epoch in run["epochs"]] for run in group]
                  for name, group in runs.items()}
        panels.append(_Panel(at * WIDTH, title, series))
    note = f'{peer["what"]}; data: {peer["data"]}; {peer["peer"]}'
    body = "\n".join(line for panel in panels for line in panel.draw())
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT + 24}" '
            f'font-family="sans-serif" font-size="12" fill="#1c1917">\n'
            f'<rect width="100%" height="100%" fill="white"/>\n{body}\n'
            f'<text x="{LEFT}" y="{HEIGHT + 16}" fill="#57534e">{escape(note)}</text>\n</svg>\n')
