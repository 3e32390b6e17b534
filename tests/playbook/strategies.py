"""Plays of any kind, for the laws of what records hold."""

from __future__ import annotations

from hypothesis import strategies as st

from aegis_provision.playbook.host_counts import HostCount
from aegis_provision.playbook.plays import Gates, OnFailure, Play, Restart, Sessions, Verify

_COUNTS = st.builds(HostCount, st.floats(0, 100), st.booleans())
_SECONDS = st.floats(0, 86_400)
_GATES = st.builds(
    Gates,
    restart=st.sampled_from(Restart),
    verify=st.none()
    | st.builds(Verify, st.booleans(), st.booleans(), _SECONDS, st.booleans(), st.text()),
    on_failure=st.sampled_from(OnFailure),
    sessions=st.sampled_from(Sessions),
    sessions_wait=_SECONDS,
    idle_after=_SECONDS,
    probe_first=st.booleans(),
    go_on=st.booleans(),
)
PLAYS = st.builds(
    Play,
    name=st.text(),
    hosts=st.text(),
    serial=st.lists(_COUNTS, min_size=1, max_size=3).map(tuple),
    pause=_SECONDS,
    max_fail=_COUNTS,
    gates=_GATES,
)
