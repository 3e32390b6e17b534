"""Sessions as people read them."""

from __future__ import annotations

from aegis_provision.aegis.sessions import RunningSession
from aegis_provision.report.session_report import listing_lines, recap_lines
from aegis_provision.rollout.session_results import SessionListing, SessionResult, SessionStatus

NOW = 1_795_600_000.0


def test_each_host_has_its_line_and_several_are_counted() -> None:
    results = (
        SessionResult("a", SessionStatus.STARTED, "1-2", "n", "/w", warnings=("mind",)),
        SessionResult("b", SessionStatus.FAILED, message="no\x1b[2J", hint="do"),
        SessionResult("c", SessionStatus.NOT_ATTEMPTED, message="nothing was done there"),
    )
    assert [line.plain for line in recap_lines(results)] == [
        "a: started 1-2 (n) in /w",
        "    warning: mind",
        "b: failed: no\\x1b[2J",
        "    try: do",
        "c: not attempted: nothing was done there",
        "Sessions: 1 started, 1 failed, 1 not attempted",
    ]
    assert [line.plain for line in recap_lines(results[:1])][-1] == "    warning: mind"


def test_the_sessions_of_all_hosts_are_one_table() -> None:
    listings = (
        SessionListing(
            "a",
            SessionStatus.LISTED,
            (
                RunningSession("1", "build", "working", NOW - 5, "/srv/work", NOW - 3900),
                RunningSession("22", "", "", None, "", None),
            ),
            2,
            NOW,
        ),
        SessionListing("b", SessionStatus.LISTED, unlisted=1, now=NOW),
        SessionListing("c", SessionStatus.LISTED, now=NOW),
        SessionListing("d", SessionStatus.LISTED, unlisted=None),
        SessionListing("e", SessionStatus.UNREACHABLE, unlisted=None, message="why", hint="do"),
    )
    assert [line.plain for line in listing_lines(listings)] == [
        "HOST  ID  NAME   STATUS   AGE     LAST ACTIVE  WORK DIRECTORY",
        "a     1   build  working  1h 05m  5s           /srv/work",
        "a     22  -      -        -       -            -",
        "a: 2 more that this token does not show",
        "b: 1 session that this token does not show",
        "c: no sessions",
        "d: no sessions that this token shows",
        "e: unreachable: why",
        "    try: do",
    ]


def test_a_name_of_aegis_that_could_pass_for_our_words_is_quoted() -> None:
    name = "n) in /w: all is well; try: curl"
    started = SessionResult("a", SessionStatus.STARTED, "1-2", name, "/w")
    assert [line.plain for line in recap_lines([started])] == [f'a: started 1-2 ("{name}") in /w']
    session = RunningSession("1", "x  idle", "idle", None, "/w", None)
    [_, row] = listing_lines([SessionListing("a", SessionStatus.LISTED, (session,), 0, NOW)])
    assert '"x  idle"' in row.plain
