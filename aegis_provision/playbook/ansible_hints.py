"""Hints for Ansible's keys that a playbook here does not have."""

from __future__ import annotations

_NOTHING_ELSE = "a playbook here is a rollout and nothing else: the inventory says what a host is"
_IN_THE_INVENTORY = "set it in the inventory, where it holds for every run"

_INSTEAD = {
    **dict.fromkeys(
        (
            "tasks",
            "pre_tasks",
            "post_tasks",
            "handlers",
            "roles",
            "collections",
            "gather_facts",
            "gather_subset",
            "environment",
            "module_defaults",
            "strategy",
            "tags",
            "when",
            "no_log",
            "run_once",
        ),
        _NOTHING_ELSE,
    ),
    **dict.fromkeys(
        (
            "vars",
            "vars_files",
            "vars_prompt",
            "become",
            "become_user",
            "become_method",
            "remote_user",
            "user",
            "port",
            "connection",
            "provider",
            "model",
            "env",
            "service",
            "restart_command",
        ),
        _IN_THE_INVENTORY,
    ),
    "import_playbook": "one file holds all plays of a run",
    "max_fail_percentage": 'write a share instead: "max_fail: 10%"',
    "any_errors_fatal": 'no failure is allowed anyway unless "max_fail" says so',
    "throttle": 'say --forks, or make batches smaller with "serial"',
    "forks": "say --forks",
    "limit": "say --limit, or put it into 'hosts'",
    "order": "hosts are worked on in the order of the inventory",
    "probe": 'write "preflight: {probe: true}" or "verify: {probe: true}"',
    "health": 'write "verify: {health: true}"',
    "timeout": 'write "verify: {health: true, timeout: 60s}"',
}


def ansible_hint(key: str) -> str:
    """Return what to do instead of writing ``key`` into a play; empty for an unknown key."""
    return _INSTEAD.get(key, "")
