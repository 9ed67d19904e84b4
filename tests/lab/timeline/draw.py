#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Draws what test_timeline.py has recorded: one panel for each record, with a common time axis.

    draw.py [OUT.svg RECORD.json...]   without arguments: timeline.svg of the two records beside this file

The same records give the same bytes. Needs python3-matplotlib (packaging/deps.sh check).
"""

import io
import json
import math
import os
import re
import sys

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

HEALTHY, STUCK, ABORT, FENCE = "#2b6cb0", "#dd7a00", "#b2182b", "#7b3294"
SHADE, INK, GREY = "#fbe9e7", "#222222", "#666666"
# The page: its width, and heights from below.
WIDTH_INCHES, LEFT, RIGHT = 11, 0.075, 0.98
BELOW_INCHES, LATENCY_INCHES, ABORTS_INCHES, RUN_INCHES, ABOVE_INCHES = 1, 2.3, 0.5, 3.4, 0.4
ROWS_MIN = 8
BEFORE_SECONDS = 5
# A write that took longer has a line back to the time when it was sent.
LONG_SECONDS = 0.25
FLOOR_SECONDS, CEILING_SECONDS, LABEL_SECONDS = 0.0006, 60, 1.2
STYLE = {
    "svg.fonttype": "none",  # the viewer's own font
    "svg.hashsalt": "timeline",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
    "font.size": 10,
    "path.simplify": False,
    "axes.edgecolor": "#999999",
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
}


def duration(seconds):
    """For people: 8 ms, 0.4 s, 17 s."""
    if seconds < 0.1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


class Run:
    """A record, with times from the moment when the OSD stopped."""

    def __init__(self, record):
        self.record = record
        self.zero = record["stopped"]
        self.name = f"{record['daemon']} {record['versions']['daemon']}"
        self.writes = {kind: [(self.at(each["sent"]), self.at(each["answered"])) for each in record["writes"]
                              if each["writer"].startswith(kind)] for kind in ("healthy", "stuck")}
        self.failed_over, self.resumed, self.ended = (self.at(record[key]) for key in ("failed_over", "resumed", "ended"))
        self.aborts = [(each["writer"], self.at(each["sent"]), self.at(each["answered"])) for each in record["aborts"]]

    def at(self, time):
        return time - self.zero

    def fences(self):
        """(begin, end) of each: until the gateway has the lock again with its new client instance."""
        for events in self.record["gateways"]:
            begin = None
            for event in events:
                if event["what"] == "lock: fencing":
                    begin = self.at(event["at"])
                elif event["what"] == "lock: owned" and begin is not None:
                    yield begin, self.at(event["at"])
                    begin = None

    def abort_summary(self):
        """How the aborts were answered, as text."""
        aborts = f"{len(self.aborts)} ABORT TASKs"
        slowest = max(answered - sent for _, sent, answered in self.aborts)
        if min(answered for _, _, answered in self.aborts) > self.resumed:
            return f"{aborts}, none answered until the OSD resumes: up to {duration(slowest)}"
        return f"{aborts}, each answered within {duration(slowest)}"

    def take_over(self):
        """When the second gateway served a write on a healthy OSD that was sent after the fail-over."""
        return min(answered for sent, answered in self.writes["healthy"] if sent >= self.failed_over)


def dots(axes, writes, color, **options):
    """As one path of points with round ends: small, however many there are."""
    xs = [x for _, answered in writes for x in (answered, answered, math.nan)]
    ys = [y for sent, answered in writes for y in (answered - sent, answered - sent, math.nan)]
    axes.plot(xs, ys, color=color, linewidth=4.2, solid_capstyle="round", **options)


def tails(axes, writes, color):
    late = [(sent, answered) for sent, answered in writes if answered - sent > LONG_SECONDS]
    xs = [x for sent, answered in late for x in (sent, answered, math.nan)]
    ys = [y for sent, answered in late for y in (answered - sent, answered - sent, math.nan)]
    axes.plot(xs, ys, color=color, linewidth=1.1, alpha=0.75, zorder=2)


def draw_aborts(axes, run):
    rows = {}
    bars = [(sent, answered, -rows.setdefault(writer, len(rows))) for writer, sent, answered in run.aborts]
    axes.plot([x for sent, answered, _ in bars for x in (sent, answered, math.nan)], [y for *_, y in bars for _ in range(3)],
              color=ABORT, linewidth=2.6, solid_capstyle="butt")
    begins = {"linestyle": "", "marker": "|", "markersize": 5, "markeredgewidth": 1.6}
    axes.plot([sent for sent, _, _ in bars], [y for *_, y in bars], color=ABORT, **begins)
    axes.set_ylim(-max(len(rows), ROWS_MIN), 1)
    axes.set_ylabel("ABORT\nTASK", rotation=0, ha="right", va="center")
    axes.yaxis.set_major_locator(NullLocator())
    axes.set_title(run.abort_summary(), loc="right", color=ABORT, fontsize=11, pad=6)
    axes.set_title(run.name, loc="left", fontsize=14, fontweight="bold", pad=6)


def draw_latency(axes, run):
    axes.set_yscale("log")
    axes.set_ylim(FLOOR_SECONDS, CEILING_SECONDS)
    axes.yaxis.set_major_locator(FixedLocator([0.001, 0.01, 0.1, 1, 10]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s" if value >= 1 else f"{1000 * value:g} ms"))
    axes.grid(axis="y", color="#cccccc", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_ylabel("write latency")
    for kind, color in (("stuck", STUCK), ("healthy", HEALTHY)):
        tails(axes, run.writes[kind], color)
        dots(axes, run.writes[kind], color, zorder=3)
    axes.text(0.15, FLOOR_SECONDS * 1.3, "one of three OSDs does not answer", color=ABORT)
    axes.text(0.15, run.resumed * 1.25, "writes on that OSD wait for it in any case", color=STUCK)
    for begin, end in run.fences():
        axes.axvspan(begin, end, color=FENCE, alpha=0.22, linewidth=0)
        axes.text(end + 0.15, LABEL_SECONDS, f"fence: {duration(end - begin)}", color=FENCE)
    served = run.take_over()
    when = f"serves\nafter {duration(served - run.failed_over)}" if served < run.resumed else "serves nothing\nuntil the OSD resumes"
    axes.text(run.failed_over + 0.15, LABEL_SECONDS, f"second gateway {when}")


def frame(axes, run):
    axes.axvspan(0, run.resumed, color=SHADE, linewidth=0, zorder=0)
    axes.axvline(run.failed_over, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.tick_params(length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def legend(figure):
    round_dot = {"marker": "o", "markersize": 5, "linestyle": ""}
    figure.legend(loc="lower center", bbox_to_anchor=(0.5, 0.2 / figure.get_figheight()), ncol=5, frameon=False,
                  handletextpad=0.5, columnspacing=1.6, handles=[
        Line2D([], [], color=HEALTHY, label="write on other OSDs", **round_dot),
        Line2D([], [], color=STUCK, label="on the OSD that stops", **round_dot),
        Line2D([], [], color=GREY, linewidth=1.1, label="waiting"),
        Line2D([], [], color=ABORT, linewidth=2.6, label="ABORT TASK until its answer"),
        Patch(color=FENCE, alpha=0.22, label="fence")])


def headings(figure, run):
    """What was done: of the first record, since it is the same for all."""
    height = figure.get_figheight()
    record, versions = run.record, run.record["versions"]
    figure.text(0.02, 1 - 0.32 / height, "What a host sees while an OSD hangs", fontsize=17, fontweight="bold")
    scenario = (f"{record['writes_per_second']} writes of 4 KiB a second. A write without an answer for {record['abort_after']} s is "
                f"aborted, and sent again. After {run.failed_over:.0f} s the host fails over to its second gateway.")
    figure.text(0.02, 1 - 0.58 / height, scenario, color=GREY)
    figure.text(0.98, 0.1 / height, f"Linux {versions['kernel']}, Ceph {versions['ceph']}; tests/lab/test_timeline.py", fontsize=8,
                color=GREY, ha="right")


def panels(figure, count):
    """(axes of the aborts, axes of the latencies) of each run, from above; places are in inches from below."""
    height, made, first = figure.get_figheight(), [], None
    for number in reversed(range(count)):
        below = BELOW_INCHES + (count - 1 - number) * RUN_INCHES
        latency = figure.add_axes([LEFT, below / height, RIGHT - LEFT, LATENCY_INCHES / height], sharex=first)
        first = first or latency
        aborts = figure.add_axes([LEFT, (below + LATENCY_INCHES + 0.04) / height, RIGHT - LEFT, ABORTS_INCHES / height], sharex=first)
        made.insert(0, (aborts, latency))
    return made


def draw(records):
    """The picture as SVG text."""
    runs = [Run(record) for record in records]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, BELOW_INCHES + RUN_INCHES * len(runs) + ABOVE_INCHES), facecolor="white")
        FigureCanvasSVG(figure)
        headings(figure, runs[0])
        for run, (aborts, latency) in zip(runs, panels(figure, len(runs))):
            draw_aborts(aborts, run)
            draw_latency(latency, run)
            for axes in (aborts, latency):
                frame(axes, run)
            aborts.tick_params(labelbottom=False)
        latency.set_xlim(-BEFORE_SECONDS, max(run.ended for run in runs))
        latency.set_xlabel("seconds since the OSD stopped")
        legend(figure)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return compact(out.getvalue())


def compact(svg):
    """A tenth of a point is exact enough, and a dot needs its place once."""
    svg = re.sub(r"(?<![\d.])-?\d+\.\d{2,}(?![\d.])", lambda number: f"{float(number.group()):.1f}".removesuffix(".0"), svg)
    return re.sub(r"M (\S+ \S+) \nL \1 \n", r"M\1h.01", svg)


def main(out, *paths):
    records = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            records.append(json.load(file))
    with open(out, "w", encoding="utf-8") as file:
        file.write(draw(records))


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    main(*(sys.argv[1:] or [f"{here}/{name}" for name in ("timeline.svg", "tcmu-rbd.json", "tcmu-runner.json")]))
