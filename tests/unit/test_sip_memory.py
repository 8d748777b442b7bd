"""The bounded memory: what is too old or too much is gone."""

from __future__ import annotations

from era_ap.sip.memory import Memory


def test_what_is_noted_is_there_until_its_end() -> None:
    memory: Memory[str] = Memory(10.0, 100)
    memory.note("a", "1", 0.0)
    memory.note("b", "2", 5.0)
    memory.note("a", "3", 6.0)
    assert (memory.get("a", 15.9), memory.get("b", 14.9), memory.get("b", 15.0)) == ("3", "2", None)
    assert memory.get("c", 0.0) is None
    assert memory.take_all(15.5) == ["3"]
    assert len(memory) == 0


def test_old_entries_go_when_new_ones_come() -> None:
    memory: Memory[int] = Memory(1.0, 1000)
    for number in range(5000):
        memory.note(number, number, number / 100)
    assert len(memory) == 100


def test_the_oldest_of_too_many_go() -> None:
    memory: Memory[int] = Memory(1.0, 3)
    for number in range(9):
        memory.note(number, number, 0.0)
    assert memory.take_all(0.0) == [6, 7, 8]


def test_what_is_forgotten_is_gone_and_nothing_may_be_noted_as_well() -> None:
    memory: Memory[None] = Memory(1.0, 3)
    memory.note("a", None, 0.0)
    memory.note("b", None, 0.5)
    assert (memory.has("a", 0.9), memory.has("a", 1.0), memory.has("b", 1.4)) == (True, False, True)
    memory.forget("b")
    memory.forget("c")
    assert not memory.has("b", 0.6)
