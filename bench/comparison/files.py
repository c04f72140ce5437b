"""The results of a comparison as files: raw as JSON, and as a picture."""

import json
import shutil
import subprocess

from comparison.series import SERVERS, Failure, cpu_ns, latency_ns, messages_per_s

CHART_HEAD = """\
set terminal svg size 1080,{height} font 'sans-serif,13' background '#ffffff'
set multiplot layout {rows},3 margins 0.03,0.98,{bottom},{top} spacing 0.04,{spacing}
set style fill solid 0.9 noborder
set boxwidth 0.62
set border 1 linecolor rgb '#888888'
set xtics nomirror scale 0
unset ytics
unset key
"""
COLOURS = {"ringlet": "0x1f77b4", "threads": "0xc44e52"}  # The two of the story, others are grey.
GREY = "0x8c8c8c"
PANELS = (  # Title, what to ask a result for, its unit, how to print it.
    ("thousand messages/s: more is better", messages_per_s, 1e3, ",.0f"),
    ("us of CPU per message: less is better", cpu_ns, 1e3, ".2f"),
    ("ms of latency, p99: less is better", latency_ns("p99"), 1e6, ".2f"),
)


def write_json(path, conditions, all_series, verdicts):
    content = {
        "conditions": conditions,
        "series": [{"connections": series.workload.connections, "size": series.workload.size,
                    "rounds": series.rounds} for series in all_series],
        "goals": [{"workload": goal.workload.title, "subject": goal.subject,
                   "base": goal.base, "limit": goal.limit,
                   "median": ratio.median, "low": ratio.low, "high": ratio.high,
                   "verdict": verdict} for goal, ratio, verdict in verdicts],
    }
    write(path, json.dumps(content, indent=1) + "\n")
    print(f"raw results: {path}")


def write(path, text):
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from None


def panel(series, title, metric, unit, number_format):
    """One panel in gnuplot's language: a bar for each server, its median written above it."""
    values = [series.median(key, metric) / unit for key in series.servers]
    rows = []
    for index, (key, value) in enumerate(zip(series.servers, values)):
        name = SERVERS[key].title.replace(" per ", "\\nper ").replace(" by ", "\\nby ")
        colour = COLOURS.get(key, GREY)
        rows.append(f'{index} {value} "{name}" {colour} "{format(value, number_format)}"')
    data = "\n".join(rows)
    return (f"$data << END\n{data}\nEND\n"
            f'set title "{series.workload.title}\\n{title}"\n'
            f"set xrange [-0.6:{len(rows) - 0.4}]\nset yrange [0:{max(values) * 1.15}]\n"
            "plot $data using 1:2:4:xticlabels(3) with boxes linecolor rgb variable, "
            "$data using 1:2:5 with labels offset 0,0.7\n")


def write_chart(path, all_series):
    """An SVG drawn by gnuplot, a row of panels for each workload. Without gnuplot, a sentence."""
    gnuplot = shutil.which("gnuplot")
    if not gnuplot:
        print("no picture: gnuplot is not installed (Debian: gnuplot-nox)")
        return
    height = 20 + 370 * len(all_series)
    script = CHART_HEAD.format(rows=len(all_series), height=height, bottom=50 / height,
                               top=1 - 64 / height, spacing=126 / height)
    script += "".join(panel(series, *what) for series in all_series for what in PANELS)
    drawn = subprocess.run([gnuplot, "-"], input=script, text=True, capture_output=True, timeout=60)
    if drawn.returncode != 0:
        raise Failure(f"gnuplot could not draw the picture: {drawn.stderr.strip()}")
    write(path, drawn.stdout)
    print(f"picture: {path}")
