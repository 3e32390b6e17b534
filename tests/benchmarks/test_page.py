"""What the benchmark says of its measurements: ratios, what is not met, a page, a plot."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from benchmarks.page import BEGIN, END, panels, replace_section, section
from benchmarks.plot import render
from benchmarks.rows import FAR, NEAR, ROWS, compare, table
from benchmarks.samples import Sample


def sample(name: str, hosts: int, seconds: float, away: float = NEAR) -> Sample:
    return Sample(name, hosts, away, seconds, seconds / 2, seconds / 4, 50.0, 8 if away else 0)


SAMPLES = [
    *(sample("plan", 100, seconds) for seconds in (0.5, 9.0, 0.6)),
    sample("paramiko read", 100, 0.5),
    sample("asyncssh read", 100, 0.7),
    sample("apply", 100, 1.0),
    sample("ansible", 100, 24.5),
    sample("pyinfra", 100, 1.7),
    sample("apply", 2000, 20.0),
    sample("apply", 100, 3.0, FAR),
    sample("paramiko write", 100, 3.0, FAR),
]
RESULTS = [compare(row, SAMPLES, 100) for row in ROWS]


def test_medians_are_held_against_what_is_promised_and_what_is_not_met_is_told() -> None:
    found = {item.name: (item.measured, item.kept) for item in RESULTS}
    assert found == {
        "plan": ("1.20 x", False),
        "plan-cpu": ("0.86 x", True),
        "apply": ("not measured", None),
        "ansible": ("24.50 x", True),
        "mitogen": ("not measured", None),
        "pyinfra": ("1.70 x", False),
        "unchanged": ("not measured", None),
        "far": ("1.00 x", True),
    }
    lines = table(RESULTS).splitlines()
    assert [line.split()[-1] for line in lines[1:3]] == ["MET", "met"]
    assert lines[1].endswith("at most 1 x     NOT MET")
    assert lines[3].endswith("?")


def test_the_page_has_one_section_however_often_it_is_written() -> None:
    facts = {"date": "2026-11-30", "machine": "2 CPUs"}
    text = section(SAMPLES, RESULTS, ["mitogen, 2000 hosts: no time"], facts, "p.svg")
    once = replace_section("# Performance\n\nWords.\n", text)
    assert once.startswith("# Performance\n\nWords.\n")
    assert replace_section(once, text) == once
    assert once.count(BEGIN) == once.count(END) == 1
    for line in (
        "| plan / paramiko read | 1.20 x | at most 1 x | NOT MET |",
        "| apply | 1.00 | 5.0 | 2.5 |",
        "| apply | 3.00 | 15.0 | 7.5 | 8 |",
        "- mitogen, 2000 hosts: no time",
        "date 2026-11-30; machine 2 CPUs.",
    ):
        assert line in once.splitlines()


def test_the_plot_is_svg_with_a_line_for_each_program() -> None:
    root = ET.fromstring(render(panels(SAMPLES)))  # noqa: S314 - our own text
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    lines = root.findall(f".//{space}polyline")
    assert len(lines) == 3 + 3
    [apply] = [line for line in lines if " " in str(line.get("points"))]
    (_, above), (_, below) = (pair.split(",") for pair in str(apply.get("points")).split())
    assert above == below  # 5 ms a host at 100 and at 2,000
    texts = {item.text for item in root.iter(f"{space}text")}
    assert {"apply", "ansible", "100", "2,000", "hosts"} <= texts
