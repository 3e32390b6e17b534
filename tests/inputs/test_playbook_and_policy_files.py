"""Playbooks and policies as files: what is told where there is none to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aegis_provision.documents.yaml_reader import LARGEST_FILE
from aegis_provision.inputs.playbook_and_policy_files import read_playbook, read_policy

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = {"playbook": b"- hosts: all\n", "policy": b"- max_share: 100%\n"}


def _messages(noun: str, path: Path) -> list[str]:
    """Return what is wrong with the file at ``path``; an error comes without a value."""
    if noun == "playbook":
        playbook, source, found = read_playbook(path)
        assert (playbook is None) is bool(found)
        assert source is None or source.path == str(path)
    else:
        policy, found = read_policy(path)
        assert (policy is None) is bool(found)
    return [item.message for item in found]


@pytest.mark.parametrize("noun", TEXTS)
def test_what_is_no_file_is_told_by_name(noun: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    assert _messages(noun, path) == [f"the {noun} {path} does not exist"]
    path.symlink_to("nowhere")
    assert _messages(noun, path) == [f"the {noun} {path} leads nowhere"]
    path.unlink()
    path.mkdir()
    assert _messages(noun, path) == [f"the {noun} {path} can't be read: Is a directory"]


@pytest.mark.parametrize("noun", TEXTS)
def test_the_beginning_of_a_file_that_is_too_large_does_not_count(
    noun: str, tmp_path: Path
) -> None:
    path, text = tmp_path / "x.yml", TEXTS[noun]
    path.write_bytes(text + b"#" * (LARGEST_FILE + 1 - len(text)))
    [message] = _messages(noun, path)
    assert "16 MiB" in message
