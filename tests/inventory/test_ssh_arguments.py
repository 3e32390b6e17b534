"""Arguments that Ansible hands to ssh: the bastion is taken, of the rest only names are kept."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_provision.inventory.ssh_arguments import (
    UNREADABLE,
    SshArguments,
    read_ssh_arguments,
    without_values,
)

MEANINGS: list[tuple[str, tuple[str, ...] | None, tuple[str, ...]]] = [
    ("", None, ()),
    ("-C -o ControlMaster=auto -o ControlPersist=60s", None, ()),
    ("-o ProxyJump=u@b:22", ("u@b:22",), ()),
    ("-oProxyJump=b", ("b",), ()),
    ("-o proxyjump=b", ("b",), ()),
    ("-o 'ProxyJump b'", ("b",), ()),
    ("-qJ a,b", ("a", "b"), ()),
    ("-Ja", ("a",), ()),
    ("-J none", (), ()),
    ("-J a -J b", ("a",), ()),
    ("-o ProxyCommand=none -J b", (), ()),
    ('-o ProxyCommand="ssh -W %h:%p -q user@gw"', ("user@gw",), ()),
    ("-o 'ProxyCommand /usr/bin/ssh -p 2222 -l u -W %h:%p gw'", ("u@gw:2222",), ()),
    ('-o ProxyCommand="ssh -i key -W %h:%p gw"', ("gw",), ("-i",)),
    ('-o ProxyCommand="ssh -W [%h]:%p u@gw -p 2222"', ("u@gw:2222",), ()),
    ('-o ProxyCommand="ssh -o User=u -oPort=2222 -A -W %h:%p gw"', ("u@gw:2222",), ()),
    ("-o ProxyCommand='ssh -F f -o StrictHostKeyChecking=no -W %h:%p gw' -i k", ("gw",),
     ("-F", "StrictHostKeyChecking", "-i")),
    ("-o ProxyCommand='ssh -o ConnectTimeout=3 -c aes -W %h:%p gw'", ("gw",), ()),
    ("-o ProxyCommand='ssh -J a -W %h:%p gw'", None, ("ProxyCommand",)),
    ("-o ProxyCommand='ssh -o HostName=x -W %h:%p gw'", None, ("ProxyCommand",)),
    ("-o ProxyCommand='ssh -W %h:%p gw true'", None, ("ProxyCommand",)),
    ("-J a -o ProxyCommand='ssh -i k -W %h:%p gw'", ("a",), ()),
    ('-o ProxyCommand="ssh -W other:22 gw"', None, ("ProxyCommand",)),
    ('-o ProxyCommand="ssh gw nc %h %p"', None, ("ProxyCommand",)),
    ("-o ProxyCommand='nc -x proxy %h %p' -J b", None, ("ProxyCommand",)),
    ("-J 'a b'", None, ("ProxyJump",)),
    ("-F ssh.cfg -p 22 -l u -i k", None, ("-F", "-p", "-l", "-i")),
    ("-o user=x -o HOSTNAME=y", None, ("User", "HostName")),
    ("-o StrictHostKeyChecking=no", None, ("StrictHostKeyChecking",)),
    ("-o StrictHostKeyChecking=ask", None, ()),
    ("-L 1:2:3 -D 8 -E log", None, ()),
    ("- -- -J b", ("b",), ()),
    ("-o 'unpaired", None, (UNREADABLE,)),
    ("-J {{ bastion }}", None, (UNREADABLE,)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "jump", "left"), MEANINGS)
def test_what_arguments_mean(
    text: str, jump: tuple[str, ...] | None, left: tuple[str, ...]
) -> None:
    assert read_ssh_arguments(text) == SshArguments(jump, left)


WORDS = st.sampled_from(
    [*" ".join(text for text, _, _ in MEANINGS).split(), "hunter2", "'", '"', "-", "--", "-o", "="]
)


@settings(max_examples=60)
@given(st.lists(WORDS, max_size=8).map(" ".join))
def test_without_values_they_mean_the_same_and_hold_no_other_word(text: str) -> None:
    short = without_values(text)
    assert read_ssh_arguments(short) == read_ssh_arguments(text)
    jump = read_ssh_arguments(text).jump or ()
    assert "hunter2" not in short or any("hunter2" in hop for hop in jump)
