"""The playbooks that come with the tool fit the starter inventory, each in its own way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aegis_provision.playbook.load import load_playbook
from aegis_provision.playbook.plays import Restart, Schedule
from aegis_provision.playbook.schedule import make_schedule
from tests.playbook.schedules import inventory_of

if TYPE_CHECKING:
    from aegis_provision.inventory.host import Inventory

ROOT = Path(__file__).resolve().parents[2]
STARTER = ROOT / "aegis_provision" / "operations" / "starter"
STARTER_PLAYBOOK = STARTER / "playbook.yml"
READY_MADE = sorted((ROOT / "playbooks").glob("*.yml"))
LANGUAGE_SERVER = "# yaml-language-server: $schema=../schemas/playbook.schema.json\n"


@pytest.fixture(scope="module")
def inventory() -> Inventory:
    return inventory_of((STARTER / "inventory.yml").read_text(encoding="utf-8"))


def schedule_of(path: Path, inventory: Inventory) -> Schedule:
    book, found = load_playbook(path.name, path.read_bytes())
    assert found == ()
    assert book is not None
    schedule, found = make_schedule(book, inventory, chosen=None, read_file=lambda _: "")
    assert found == ()
    return schedule


def test_there_is_one_for_each_way_to_roll_out() -> None:
    assert [path.stem for path in READY_MADE] == [
        "all-at-once",
        "canary-then-waves",
        "one-provider",
        "token-rotation",
    ]


@pytest.mark.parametrize("path", [*READY_MADE, STARTER_PLAYBOOK], ids=lambda path: path.stem)
def test_it_restarts_and_verifies_every_host_in_one_play(path: Path, inventory: Inventory) -> None:
    schedule = schedule_of(path, inventory)
    names = [name for play in schedule.plays for name in play.hosts]
    assert names
    assert len(names) == len(set(names))
    for scheduled in schedule.plays:
        gates = scheduled.play.gates
        assert gates.restart is Restart.CHANGED
        assert gates.verify is not None
        assert gates.verify.health
        assert scheduled.batches


@pytest.mark.parametrize("path", READY_MADE, ids=lambda path: path.stem)
def test_it_is_explained_and_leads_an_editor_to_its_schema(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(LANGUAGE_SERVER)
    assert (path.parent / LANGUAGE_SERVER.split("=")[1].strip()).resolve().is_file()
    assert f"playbooks/{path.name}" in text
    assert max(map(len, text.splitlines())) <= 100


def test_canaries_come_alone_and_waves_grow(inventory: Inventory) -> None:
    canary, waves = schedule_of(ROOT / "playbooks" / "canary-then-waves.yml", inventory).plays
    assert [len(batch) for batch in canary.batches] == [1]
    assert [len(batch) for batch in waves.batches] == [1, 1, 2]
    assert set(inventory.hosts) == {*canary.hosts, *waves.hosts}


def test_one_provider_is_one_provider(inventory: Inventory) -> None:
    schedule = schedule_of(ROOT / "playbooks" / "one-provider.yml", inventory)
    providers = {name: inventory.hosts[name].provider for name in schedule.hosts}
    assert {setting.value for setting in providers.values() if setting} == {"openrouter"}


def test_all_at_once_is_one_batch(inventory: Inventory) -> None:
    [play] = schedule_of(ROOT / "playbooks" / "all-at-once.yml", inventory).plays
    assert play.batches == (tuple(inventory.hosts),)
