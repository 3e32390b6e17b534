"""A map that never changes: its changed copies are what a dict would be, and share the rest."""

from __future__ import annotations

import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_provision.rollout.persistent_map import PersistentMap

_ENTRIES = st.dictionaries(st.integers(), st.text(max_size=3), max_size=250)


@settings(deadline=None)
@given(_ENTRIES, st.lists(st.tuples(st.integers(0, 260), st.text(max_size=3)), max_size=20))
def test_it_is_what_a_dict_is(entries: dict[int, str], changes: list[tuple[int, str]]) -> None:
    found, expected = PersistentMap.of(entries.items()), dict(entries)
    states = [(found, dict(expected))]
    for key, value in changes:
        found = found.replaced(key, value)
        expected[key] = value
        states.append((found, dict(expected)))
    for state, content in states:
        assert state == content
        assert list(state.items()) == list(content.items())
        assert len(state) == len(content)
        assert all(state.get(key) == content.get(key) for key in range(-1, 261))


def test_copies_share_what_did_not_change() -> None:
    state = PersistentMap.of((number, 0) for number in range(10_000))
    tracemalloc.start()
    states = [state.replaced(number, 1) for number in range(100)]
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(states) == 100
    assert used < 100 * 4096  # ten thousand references alone are 80,000 bytes
