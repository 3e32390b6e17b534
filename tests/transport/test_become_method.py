"""What sudo and doas refuse, what a command runs under them, and the rule that allows it."""

from __future__ import annotations

import getpass
import json
import re
import subprocess
import tempfile

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aegis_provision.transport.become_method import (
    BecomeCommand,
    become_commands,
    own_lines,
    refusal,
)
from tests.fleet.clients import need

PASSWORD = "sudo wants a password to become aegis"
RULE = "sudo does not let me become aegis"


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("sudo: a password is required", PASSWORD),
        ("sudo: a terminal is required to read the password; either use -S", PASSWORD),
        ("sudo: no tty present and no askpass program specified", PASSWORD),
        ("sudo: sorry, you must have a tty to run sudo", PASSWORD),
        ("sudo: interactive authentication is required", PASSWORD),
        ("SUDO: A PASSWORD IS REQUIRED", PASSWORD),
        ("Sorry, user me is not allowed to execute '/x' as aegis on host.", RULE),
        ("me is not in the sudoers file.", RULE),
        ("Sorry, user me may not run sudo on host.", RULE),
        ("I'm sorry me. I'm afraid I can't do that", RULE),
        ("sudo: unknown user: aegis", ""),
        ("", ""),
    ],
)
def test_sudo_output_in_our_words(output: str, reason: str) -> None:
    assert refusal(output, "me", "aegis") == reason


def under(user: str, *words: str) -> BecomeCommand:
    return BecomeCommand(words, user)


def by_doas(user: str, *words: str) -> BecomeCommand:
    return BecomeCommand(words, user, "doas")


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("doas: Authentication required", "doas wants a password to become aegis"),
        ("doas: Authorization required", "doas wants a password to become aegis"),
        ("doas: Operation not permitted", "doas does not let me become aegis"),
        (
            "doas: doas is not enabled, /etc/doas.conf: No such file or directory",
            "doas does not let me become aegis",
        ),
        ("doas: unknown user", ""),
        ("rm: Operation not permitted", ""),
        ("", ""),
    ],
)
def test_doas_output_in_our_words(output: str, reason: str) -> None:
    assert refusal(output, "me", "aegis", "doas") == reason


def test_lines_of_the_command_itself_are_none_of_doas() -> None:
    output = "Authentication required\n doas: Operation not permitted\nx doas: y\n"
    assert own_lines(output, "doas") == " doas: Operation not permitted"
    assert own_lines(output, "sudo") == ""


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("sudo -n systemctl restart aegis", [under("root", "systemctl", "restart", "aegis")]),
        ("sudo systemctl restart aegis", [under("root", "systemctl", "restart", "aegis")]),
        ("/usr/bin/sudo -n -u aegis /opt/restart", [under("aegis", "/opt/restart")]),
        ("sudo -nu aegis -- /opt/restart -f", [under("aegis", "/opt/restart", "-f")]),
        ("sudo -n --user=aegis -H /opt/restart", [under("aegis", "/opt/restart")]),
        ("sudo --non-interactive --user aegis /x", [under("aegis", "/x")]),
        ("sudo -u a -u b /x", [under("b", "/x")]),
        ("LC_ALL=C exec sudo -n /x 'a b'", [under("root", "/x", "a b")]),
        ("cd /opt && sudo -n /x; sleep 1", [under("root", "/x")]),
        ("sudo -n /x && sudo -n -u a /y", [under("root", "/x"), under("a", "/y")]),
        ("(sudo -n /x)", [under("root", "/x")]),
        ("sudo -n /x 'a;b'", [under("root", "/x", "a;b")]),
        ("sudo -n /x a#b", [under("root", "/x", "a#b")]),
        ("systemctl restart aegis", []),
        ("doas systemctl restart aegis", [by_doas("root", "systemctl", "restart", "aegis")]),
        ("doas -nu aegis -- /x -f; sudo /y", [by_doas("aegis", "/x", "-f"), under("root", "/y")]),
        ("/usr/bin/doas -n -u aegis A=b", [by_doas("aegis", "A=b")]),
        ("doas -s", []),
        ("doas -C /etc/doas.conf /x", []),
        ("doas -n", []),
        ("echo sudo -n /x", []),
        ("", []),
        ("sudo", []),
        ("sudo -n", []),
        ("sudo -n A=b /x", []),
        ("sudo -g wheel /x", []),
        ("sudo -i /x", []),
        ("sudo -s", []),
        ("sudo -n /x 2>&1", []),
        ("sudo -n /x $UNIT", []),
        ("sudo -n /x `cat unit`", []),
        ("sudo -n /x unit*", []),
        ("sudo -n ~/x", []),
        ("sudo -n /x ^a$", []),
        ("sudo -n /x ^a", []),
        ("sudo -n /x a?", []),
        ("sudo -n /x [a]", []),
        ("sudo -n /x <f", []),
        ("sudo -n /x >f", []),
        ("sudo -n /x 'open", []),
        ("sudo -n /x\nsudo -n /y", []),
    ],
)
def test_what_a_command_runs_as_another_user(command: str, found: list[BecomeCommand]) -> None:
    assert list(become_commands(command)) == found


@pytest.mark.parametrize(
    ("command", "rule"),
    [
        (
            under("root", "systemctl", "--no-ask-password", "restart", "--", "aegis"),
            "me ALL=(root) NOPASSWD: /usr/bin/systemctl --no-ask-password restart -- aegis",
        ),
        (under("aegis", "/opt/x"), "me ALL=(aegis) NOPASSWD: /opt/x"),
        (
            under("root", "service", "a", "restart"),
            "me ALL=(root) NOPASSWD: /usr/sbin/service a restart",
        ),
        (under("root", "rc-service", "a"), "me ALL=(root) NOPASSWD: /sbin/rc-service a"),
        (
            under("root", "/x", "a,b:c=d", "e\\f*g?[h]!#"),
            "me ALL=(root) NOPASSWD: /x a\\,b\\:c\\=d e\\\\\\\\f\\*g\\?\\[h\\]\\!\\#",
        ),
        (under("root", "/x", "a b"), "me ALL=(root) NOPASSWD: /x a\\ b"),
    ],
)
def test_the_rule_that_allows_just_that(command: BecomeCommand, rule: str) -> None:
    assert command.rule("me") == rule
    assert command.hint("me") == f"allow it with: {rule}"


def test_a_command_without_a_place_is_not_given_one() -> None:
    assert under("root", "restart-aegis", "now").hint("me") == (
        "allow it with: me ALL=(root) NOPASSWD: restart-aegis now "
        "(with the whole path of restart-aegis)"
    )


WORD = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=12)


@given(st.lists(WORD.filter(lambda word: word[0] not in ' "^' and word[-1] != " "), max_size=3))
@example(["a,b:c=d", "e\\f*g?[h]!#", "i j"])
def test_sudo_takes_the_rule_for_just_these_words(words: list[str]) -> None:
    rule = BecomeCommand(("/usr/bin/systemctl", *words)).rule("deploy")
    need("cvtsudoers", "sudo")
    parsed = subprocess.run(
        ["cvtsudoers", "-f", "json"], input=f"{rule}\n", capture_output=True, text=True, check=True
    )
    [user] = json.loads(parsed.stdout)["User_Specs"]
    assert user["User_List"] == [{"username": "deploy"}]
    [spec] = user["Cmnd_Specs"]
    assert spec["runasusers"] == [{"username": "root"}]
    assert spec["Options"] == [{"authenticate": False}]
    # What is left of the backslashes is for fnmatch(3).
    [command] = spec["Commands"]
    assert re.sub(r"\\(.)", r"\1", command["command"]) == " ".join(("/usr/bin/systemctl", *words))


def test_the_line_of_doas_conf() -> None:
    command = by_doas("root", "systemctl", "--no-ask-password", "restart", "--", "aegis")
    rule = "permit nopass me as root cmd systemctl args --no-ask-password restart -- aegis"
    assert command.hint("me") == f"allow it in doas.conf with: {rule}"
    assert by_doas("as", "/x").rule("me") == 'permit nopass me as "as" cmd /x'


@given(st.lists(st.one_of(WORD, st.sampled_from(["", "args", "as", "nopass"])), max_size=3))
@example(['a"b', "c\\d", "{e}", "#f", "args", " "])
@settings(max_examples=40)
def test_doas_takes_the_line_for_just_these_words(words: list[str]) -> None:
    doas, login = need("doas", "opendoas"), getpass.getuser()
    command = BecomeCommand(("/usr/bin/env", *words), "root", "doas")
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as rules:
        rules.write(command.rule(login) + "\n")
        rules.flush()

        def answer(*asked: str) -> str:
            line = [doas, "-C", rules.name, "/usr/bin/env", *asked]
            return subprocess.run(line, capture_output=True, text=True, check=False).stdout

        assert answer(*words) == "permit nopass\n"
        if words:
            assert answer(*words, "x") == answer(*words[:-1], f"{words[-1]}x") == "deny\n"
