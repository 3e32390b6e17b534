"""The text of a YAML file to PyYAML's nodes, which tell where and how each of them is written."""

from __future__ import annotations

from typing import Any

import yaml

from aegis_provision.documents.yaml_reader import LOADER

ALIAS = "alias"
"""The tag of the node that stands for an alias, where it is written; its value is the name."""


def compose(text: str) -> yaml.Node | None:
    """Return the document in ``text``, which was read without errors, ``None`` for an empty one.

    Nothing is resolved. Raises :class:`yaml.YAMLError`.
    """
    # Each collection that is open, as what will be its value, the innermost last.
    open_values: list[list[Any]] = [[]]
    begun: list[Any] = []
    event: Any
    for event in yaml.parse(text, Loader=LOADER):
        start, end = event.start_mark, event.end_mark
        node: yaml.Node
        if isinstance(event, yaml.ScalarEvent):
            node = yaml.ScalarNode(event.tag or "", event.value, start, end, event.style)
        elif isinstance(event, yaml.AliasEvent):
            node = yaml.ScalarNode(ALIAS, event.anchor, start, end)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            begun.append(event)
            open_values.append([])
            continue
        elif isinstance(event, yaml.MappingEndEvent):
            begin, items = begun.pop(), iter(open_values.pop())
            pairs = list(zip(items, items, strict=True))
            node = yaml.MappingNode(begin.tag, pairs, begin.start_mark, end, begin.flow_style)
        elif isinstance(event, yaml.SequenceEndEvent):
            begin, values = begun.pop(), open_values.pop()
            node = yaml.SequenceNode(begin.tag, values, begin.start_mark, end, begin.flow_style)
        else:
            continue
        open_values[-1].append(node)
    return open_values[0][0] if open_values[0] else None
