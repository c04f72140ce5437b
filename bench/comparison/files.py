# SPDX-License-Identifier: MIT
"""Writes the results of a comparison to files: raw as JSON, and a picture."""

import html
import json

from comparison.series import SERVERS, Failure, cpu_ns, latency_ns, messages_per_s

CHART_STYLE = """\
text { font: 13px sans-serif; text-anchor: middle; fill: #222222 }
.name { fill: #666666 }"""
ROW_WIDTH, ROW_HEIGHT = 1080, 370
BARS_TOP, BARS_BOTTOM = 90, 310  # The longest bar spans this.
BAR_SHARE = 0.62  # Of a server's width.
LINE = 19  # Line height of text.
COLOURS = {"ringlet": "#1f77b4", "threads": "#c44e52"}  # All other servers are grey.
GREY = "#8c8c8c"
PANELS = (  # Title, function of a result, unit, number format.
    ("thousand messages/s: more is better", messages_per_s, 1e3, ",.0f"),
    ("us of CPU per message: less is better", cpu_ns, 1e3, ".2f"),
    ("ms of latency, p99: less is better", latency_ns("p99"), 1e6, ".2f"),
)


def write_json(path, conditions, all_series, verdicts, **more):
    content = {
        "conditions": conditions,
        "series": [{"connections": series.workload.connections, "size": series.workload.size,
                    "reconnect": series.workload.reconnect,
                    "rounds": series.rounds} for series in all_series],
        "goals": [{"workload": goal.workload.title, "subject": goal.subject,
                   "base": goal.base, "limit": goal.limit,
                   "median": ratio.median, "low": ratio.low, "high": ratio.high,
                   "verdict": verdict} for goal, ratio, verdict in verdicts],
        **more,
    }
    write(path, json.dumps(content, indent=1) + "\n")
    print(f"raw results: {path}")


def write(path, text):
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from None


def text_lines(x, y, lines, kind=""):
    kind = f' class="{kind}"' if kind else ""
    return [f'<text x="{x:.0f}" y="{y + LINE * index}"{kind}>{html.escape(line)}</text>'
            for index, line in enumerate(lines)]


def panel(series, left, width, what):
    """One panel: a bar for each server, with its median above and its name below."""
    title, metric, unit, number_format = what
    values = [series.median(key, metric) / unit for key in series.servers]
    drawn = text_lines(left + width / 2, 28, [series.workload.title, title])
    slot = width / len(values)
    for index, (key, value) in enumerate(zip(series.servers, values)):
        middle = left + (index + 0.5) * slot
        height = (BARS_BOTTOM - BARS_TOP) * value / max(values)
        top = BARS_BOTTOM - height
        drawn += text_lines(middle, round(top) - 8, [format(value, number_format)])
        drawn.append(f'<rect x="{middle - slot * BAR_SHARE / 2:.0f}" y="{top:.0f}" '
                     f'width="{slot * BAR_SHARE:.0f}" height="{height:.0f}" '
                     f'fill="{COLOURS.get(key, GREY)}"/>')
        name = SERVERS[key].title.replace(" per ", "\nper ").replace(" by ", "\nby ")
        drawn += text_lines(middle, BARS_BOTTOM + 24, name.split("\n"), "name")
    drawn.append(f'<path d="M{left:.0f} {BARS_BOTTOM}h{width:.0f}" stroke="#888888"/>')
    return drawn


def write_chart(path, all_series):
    """An SVG with a row of panels for each workload. Drawn by hand: a charting library would make
    the demo's download larger and save little."""
    height = ROW_HEIGHT * len(all_series)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {ROW_WIDTH} {height}" role="img">',
        "<title>Echo servers side by side</title>",
        f"<style>\n{CHART_STYLE}\n</style>",
        f'<rect width="{ROW_WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    slot = ROW_WIDTH / len(PANELS)
    for row, series in enumerate(all_series):
        lines.append(f'<g transform="translate(0 {row * ROW_HEIGHT})">')
        for column, what in enumerate(PANELS):
            lines += panel(series, column * slot + 15, slot - 30, what)
        lines.append("</g>")
    write(path, "\n".join([*lines, "</svg>"]) + "\n")
    print(f"picture: {path}")
