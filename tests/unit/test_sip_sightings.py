"""The memory of phones that nobody owns: newest first, bounded."""

from __future__ import annotations

from era_ap.errors import Reason
from era_ap.sip.pnp import Identity
from era_ap.sip.sightings import Discovered, Sightings


def seen(number: int, at: float, address: str = "192.0.2.50", model: str = "") -> Discovered:
    phone = Identity(f"{number:012x}", "snom", model, "1")
    return Discovered(phone, address, "eth0", Reason.MAC_UNKNOWN, at, at)


def test_a_phone_heard_again_keeps_its_first_time_and_takes_new_particulars() -> None:
    sightings = Sightings()
    sightings.note(seen(1, 10.0))
    sightings.note(seen(2, 11.0))
    sightings.note(seen(1, 12.0, "192.0.2.51", "D735"))
    first, second = sightings
    assert (first.first_seen, first.last_seen, first.count) == (10.0, 12.0, 2)
    assert (first.address, first.identity.model) == ("192.0.2.51", "D735")
    assert second.identity.mac == f"{2:012x}"


def test_of_too_many_the_longest_unheard_is_forgotten() -> None:
    sightings = Sightings(limit=3)
    for number in (1, 2, 3, 1, 4):
        sightings.note(seen(number, float(number)))
    assert [int(each.identity.mac, 16) for each in sightings] == [4, 1, 3]
    sightings.forget(f"{4:012x}")
    sightings.forget("unknown")
    assert len(sightings) == 2
    assert sightings.get(f"{1:012x}") is not None
    assert sightings.get(f"{2:012x}") is None
