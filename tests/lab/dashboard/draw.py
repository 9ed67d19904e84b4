#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the dashboard's panels, each at its place, from the answers of Prometheus that test_dashboard.py has written.

    draw.py answers.json OUT.png

It is not Grafana, but uses the same queries, legends, units, thresholds, mappings and axes, to check a change without Grafana.
Needs python3-matplotlib (packaging/deps.sh check).
"""

import json
import math
import re
import sys

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

COLUMNS, ROW_INCHES, COLUMN_INCHES = 24, 0.42, 0.85
COLORS = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2", "yellow": "#fade2a", "purple": "#b877d9",
          "transparent": "#ffffff", "text": "#222222"}
BINARY, DECIMAL = ((1024, ["", "Ki", "Mi", "Gi", "Ti"]), (1000, ["", "k", "M", "G", "T"]))


def scaled(value, base, names, unit):
    index = min(max(int(math.log(abs(value), base)), 0), len(names) - 1) if value else 0
    return f"{value / base ** index:.3g} {names[index]}{unit}".strip()


def shown(value, unit, decimals=None):
    """A value as Grafana shows it in that unit, roughly."""
    if value is None:
        return "No data"
    if unit == "s":
        return f"{value:.3g} s" if value >= 1 or value == 0 else f"{1000 * value:.3g} ms"
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit in ("bytes", "Bps"):
        return scaled(value, *(BINARY if unit == "bytes" else DECIMAL), "B" if unit == "bytes" else "B/s")
    if unit in ("iops", "ops"):
        return f"{value:.3g} {'io/s' if unit == 'iops' else 'ops/s'}"
    return f"{value:.{decimals}f}" if decimals is not None else f"{value:.4g}"


class Panel:
    def __init__(self, panel, answers):
        self.panel, self.begin, self.step = panel, answers["begin"], answers["step"]
        self.defaults = panel["fieldConfig"]["defaults"]
        self.options = panel["options"]

    def series(self):
        """(legend, [(seconds, value)], the properties that apply to it)."""
        for target in self.panel["targets"]:
            for labels, values in target["series"]:
                name = re.sub(r"{{(\w+)}}", lambda label: labels.get(label.group(1), ""), target["legendFormat"])
                points = [(time - self.begin, value) for time, value in values if not math.isnan(value)]
                yield name, points, self.properties(name)

    def properties(self, name):
        found = {"unit": self.defaults.get("unit")}
        for override in self.panel["fieldConfig"]["overrides"]:
            matcher = override["matcher"]
            same = {"byName": lambda text: text == name, "byRegexp": lambda text: re.search(text.strip("/"), name)}[matcher["id"]]
            if same(matcher["options"]):
                found |= {each["id"]: each["value"] for each in override["properties"]}
        return found

    def threshold_color(self, value):
        color = "text"
        for step in self.defaults.get("thresholds", {}).get("steps", ()):
            if step["value"] is None or (value is not None and value >= step["value"]):
                color = step["color"]
        return COLORS[color]

    def mapped(self, value):
        """(text, color) of a value in a state timeline."""
        for mapping in self.defaults.get("mappings", ()):
            to = mapping["options"].get(f"{value:g}")
            if to:
                return to["text"], COLORS[to["color"]]
        return f"{value:g}", COLORS["green"]

    # --- the kinds ---

    def draw(self, axes, end):
        axes.set_title(self.panel["title"], loc="left", fontsize=9, fontweight="bold")
        getattr(self, self.panel["type"].replace("-", "_"))(axes, end)

    def stat(self, axes, _):
        axes.set_axis_off()
        series = list(self.series())
        value = series[-1][1][-1][1] if series and series[-1][1] else None
        color = self.threshold_color(value)
        background = self.options["colorMode"] == "background"
        name = series[-1][0] if self.options.get("textMode") == "value_and_name" and series else ""
        text = f"{name}\n{shown(value, self.defaults['unit'], self.defaults.get('decimals'))}".strip()
        axes.text(0.5, 0.4, text, fontsize=18, ha="center", va="center", transform=axes.transAxes, color="white" if background else color)
        if background:
            axes.add_patch(Rectangle((0, -0.1), 1, 1, transform=axes.transAxes, color=color, zorder=-1))

    def timeseries(self, axes, end):
        custom, decimals = self.defaults["custom"], self.defaults.get("decimals")
        right, table = None, []
        for number, (name, points, properties) in enumerate(self.series()):
            on, color, unit = axes, f"C{number % 10}", properties["unit"]
            if properties.get("custom.axisPlacement") == "right":
                on = right = right or axes.twinx()
                unit_axis(right, unit)
            for piece in self.pieces(points):
                if len(piece) > 1 or custom["showPoints"] != "never":
                    on.plot(*zip(*piece), "-" if len(piece) > 1 else ".", color=color, linewidth=1.1)
            values = [value for _, value in points]
            last, most = (shown(value, unit, decimals) for value in (values[-1], max(values))) if values else ("-", "-")
            axes.text(0.02, 0.98 - 0.09 * number, f"{name}   {last}   max {most}", color=color, fontsize=6, va="top",
                      transform=axes.transAxes)
        log = custom.get("scaleDistribution", {}).get("type") == "log"
        axes.set_yscale("log" if log else "linear")
        unit_axis(axes, self.defaults["unit"], not log)
        axes.set_xlim(0, end)
        if not log:
            axes.set_ylim(self.defaults.get("min"), self.defaults.get("max"))

    def pieces(self, points):
        """A line ends where a sample is missing."""
        pieces = []
        for point in points:
            if pieces and point[0] - pieces[-1][-1][0] < 1.5 * self.step:
                pieces[-1].append(point)
            else:
                pieces.append([point])
        return pieces

    def heatmap(self, axes, end):
        buckets = sorted(((float(name), points) for name, points, _ in self.series()), key=lambda each: each[0])
        below, rows = {}, []
        for _, points in buckets:
            rows.append([value - below.get(time, 0) for time, value in points])
            below = dict(points)
        times = [time for time, _ in buckets[0][1]]
        color = self.options["color"]
        cells = [[max(value, 0) ** color["exponent"] or math.nan for value in row] for row in rows]
        mesh = axes.pcolormesh(times, range(len(rows)), cells, cmap=color["scheme"], shading="nearest")
        axes.set_yticks(range(0, len(rows), 3), [shown(bound, "s") for bound, _ in buckets[::3]], fontsize=6)
        axes.set_xlim(0, end)
        axes.figure.colorbar(mesh, ax=axes).ax.tick_params(labelsize=5)

    def state_timeline(self, axes, end):
        names, texts = [], set()
        for name, points, _ in self.series():
            names.append(name)
            for time, value in points:
                text, color = self.mapped(value)
                texts.add((text, color))
                axes.barh(len(names) - 1, self.step, left=time, height=0.8, color=color, linewidth=0)
        for number, (text, color) in enumerate(sorted(texts)):
            axes.text(0.02 + 0.1 * number, -0.2, text, color="#999999" if color == COLORS["transparent"] else color, fontsize=8,
                      transform=axes.transAxes)
        for number, name in enumerate(names):
            axes.text(0.005, number, name, fontsize=7, va="center", transform=axes.get_yaxis_transform())
        axes.set_yticks([])
        axes.set_xlim(0, end)


def unit_axis(axes, unit, linear=True):
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, unit)))
    if linear:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(labelsize=6)


def draw(answers, out):
    panels = answers["panels"]
    width, height = COLUMNS * COLUMN_INCHES, ROW_INCHES * max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in panels)
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    for panel in panels:
        place = panel["gridPos"]
        top = 1 - place["y"] * ROW_INCHES / height
        if panel["type"] == "row":
            figure.text(0.01, top - 0.6 * ROW_INCHES / height, panel["title"], fontsize=12, fontweight="bold", color="#555555")
            continue
        left, bottom = place["x"] / COLUMNS, top - place["h"] * ROW_INCHES / height
        size = [place["w"] / COLUMNS - 0.055, (place["h"] * ROW_INCHES - 0.75) / height]
        axes = figure.add_axes([left + 0.035, bottom + 0.35 / height, *size])
        axes.tick_params(labelsize=6)
        Panel(panel, answers).draw(axes, answers["end"] - answers["begin"])
    figure.savefig(out, dpi=80)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        draw(json.load(file), sys.argv[2])
