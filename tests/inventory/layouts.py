"""Random inventories as texts, in the layouts that people and programs write."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

COMMENTS = ("", "", "   # as it was", " #")
BETWEEN = ("", "", "\n", "{i}# the next one\n", "\n{i}# far\n\n")
NULLS = ("", "", " ~", " null", " Null", " NULL", " &{a}", " &{a} ~")
IN_BRACES = (
    "{}", "{ }", "{port: 22}", "{ port: 22 }", "{port: 22,}", "{user: 'deploy', port: 22}",
    "{model: own}", "{env: {A_B: x, C: \"long\"}}", "{\"port\": 22}", "{}   ",
    "&{a} {}", "&{a} {port: 22}",
)  # fmt: skip
HOST_VARS = (
    "port: 22\n", "# the port\nport: 22", "---\r\nport: 22   # default\r\n\r\n# end\r\n",
    "{port: 22}", "{}\n", '{"port": 22}', "env:\n  A_B: |-\n    x\n\n\n", "jump:\n- a\n- |-\n  b\n",
    "\n",
)  # fmt: skip
BELOW = (
    "{j}port: 22\n", "{j}# first\n{j}port: 22   # default\n{j}user: deploy\n",
    "{j}env:\n{j}  A_B: x\n{j}  C: |-\n{j}    long\n", "{j}jump:\n{j}- a\n{j}- b\n",
    "{j}restart_command: >-\n{j}  do it\n\n", "{j}<<: *base\n{j}user: deploy\n",
    "{j}user: \"deploy\" \n",
)  # fmt: skip
IN_JSON = ("null", "{}", "{ }", '{"port": 22}', '{\n{j}"port": 22,\n{j}"user": "deploy"\n{i}}',
           '{"port":22}')  # fmt: skip


@dataclass(frozen=True, slots=True)
class Text:
    """An inventory's bytes, and the hosts in it that are not pinned: all of them."""

    data: bytes
    hosts: tuple[str, ...]


def _entries(draw: st.DrawFn, group: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return keys of a group's hosts, each with the hosts that it names."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for number in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["name", "name", "range", "both"]))
        stem = f"{group}{number}"
        names = tuple(f"{stem}-{index}.x" for index in (1, 2, 3))
        if kind != "name":
            found.append((f"{stem}-[1:3].x", names))
        if kind != "range":
            found.append((names[1], (names[1],)))
    return found


@st.composite
def block_inventories(
    draw: st.DrawFn, groups: tuple[tuple[str, ...], ...] = (("a",), ("a", "b"))
) -> Text:
    """An inventory in block style, some of its parts in braces."""
    step = " " * draw(st.integers(1, 4))
    lines = ["# ours\n", "all:\n", f"{step}vars: {{provider: openrouter}}\n"]
    if draw(st.booleans()):
        lines.insert(1, "---\n")
    lines.append(f"{step}children:\n")
    hosts: list[str] = []
    lines.append(f"{step * 2}base:\n{step * 3}vars: &base {{port: 22}}\n")
    for group in draw(st.sampled_from(groups)):
        entries = _entries(draw, group)
        hosts += [name for _, names in entries for name in names]
        lines.append(f"{step * 2}{group}:\n")
        if draw(st.integers(0, 3)) == 0:
            inside = ", ".join(
                f'"{key}"' + draw(st.sampled_from(["", ": ", " : ", ": ~", ": {}", ": {port: 22}"]))
                for key, _ in entries
            )
            space = draw(st.sampled_from(["", " "]))
            lines.append(f"{step * 3}hosts: {{{space}{inside}{space}}}\n")
            continue
        lines.append(f"{step * 3}hosts:\n")
        indent = step * 3 + " " * draw(st.integers(1, 4))
        for key, _ in entries:
            lines.append(draw(st.sampled_from(BETWEEN)).replace("{i}", indent))
            lines.append(draw(_entry(indent, key)))
    text = "".join(lines)
    if draw(st.booleans()):
        text = text.rstrip()
    text = text.replace("\n", draw(st.sampled_from(["\n", "\n", "\r\n"])))
    bom = "\ufeff" if draw(st.integers(0, 5)) == 0 else ""
    return Text((bom + text).encode(), tuple(dict.fromkeys(hosts)))


@st.composite
def _entry(draw: st.DrawFn, indent: str, key: str) -> str:
    written = draw(st.sampled_from([key, key, f'"{key}"', f"'{key}'"]))
    comment = draw(st.sampled_from(COMMENTS))
    anchor = "".join(character for character in key if character.isalnum())
    kind = draw(st.sampled_from(["null", "braces", "below", "spread"]))
    if kind == "null":
        return f"{indent}{written}:{draw(st.sampled_from(NULLS))}{comment}\n".replace("{a}", anchor)
    if kind == "braces":
        braces = draw(st.sampled_from(IN_BRACES)).replace("{a}", anchor)
        return f"{indent}{written}: {braces}{comment}\n"
    deeper = indent + " " * draw(st.integers(1, 4))
    if kind == "spread":
        return f"{indent}{written}: {{port: 22,{comment}\n{deeper}user: deploy\n{deeper}}}\n"
    return f"{indent}{written}:{comment}\n" + draw(st.sampled_from(BELOW)).replace("{j}", deeper)


@st.composite
def json_inventories(draw: st.DrawFn) -> Text:
    """An inventory in JSON, on one line or on many."""
    entries = _entries(draw, "a")
    many = draw(st.booleans())
    indent = "\n" + " " * draw(st.integers(0, 5)) if many else draw(st.sampled_from(["", " "]))
    written = [
        f'{indent}"{key}":'
        + draw(st.sampled_from(["", " "]))
        + draw(st.sampled_from(IN_JSON)).replace("{j}", "       ").replace("{i}", "     ")
        for key, _ in entries
    ]
    text = (
        '{"all": {"vars": {"provider": "openrouter"}, "hosts": {'
        + ",".join(written)
        + draw(st.sampled_from(["", "\n"]))
        + "}}}"
        + draw(st.sampled_from(["", "\n"]))
    )
    return Text(text.encode(), tuple(dict.fromkeys(name for _, names in entries for name in names)))
