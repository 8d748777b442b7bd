"""The address book: what is asked for, when, and what stays when name servers are away."""

from era_ap.provisioning.addresses import NAMES_LIMIT, RETRY_CEILING, TTL_FLOOR, AddressBook


def test_a_name_never_asked_for_is_unknown_and_due() -> None:
    book = AddressBook()
    book.want(["NTP.example.com."], 0.0)
    assert book.addresses("ntp.example.com") is None
    assert book.due(0.0) == ("ntp.example.com",)


def test_an_answer_is_used_until_its_ttl_and_asked_for_again_after_it() -> None:
    book = AddressBook()
    book.want(["ntp.example.com"], 0.0)
    book.learn("ntp.example.com", ("192.0.2.1", "192.0.2.2"), 60.0, 0.0)
    assert book.addresses("ntp.example.com") == ("192.0.2.1", "192.0.2.2")
    assert book.due(59.0) == ()
    assert book.due(60.0) == ("ntp.example.com",)


def test_a_ttl_of_zero_does_not_make_us_ask_all_the_time() -> None:
    book = AddressBook()
    book.learn("a.example", ("192.0.2.1",), 0.0, 0.0)
    assert book.due(TTL_FLOOR - 1) == ()


def test_the_last_good_answer_stays_when_servers_are_away() -> None:
    book = AddressBook()
    book.want(["ntp.example.com"], 0.0)
    book.learn("ntp.example.com", ("192.0.2.1",), 60.0, 0.0)
    book.fail("ntp.example.com", 60.0)
    book.learn("ntp.example.com", (), 60.0, 70.0)
    assert book.addresses("ntp.example.com") == ("192.0.2.1",)
    assert book.news() == ()


def test_a_name_that_fails_is_known_to_have_none_and_asked_less_and_less_often() -> None:
    book = AddressBook()
    book.want(["gone.example"], 0.0)
    now, gaps = 0.0, []
    for _ in range(8):
        book.fail("gone.example", now)
        following = next(t for t in (now + step for step in range(1, 200)) if book.due(t))
        gaps.append(following - now)
        now = following
    assert book.addresses("gone.example") == ()
    assert book.news() == ("gone.example",)
    assert book.news() == ()
    assert gaps[0] < gaps[1] < gaps[2]
    assert max(gaps) == RETRY_CEILING


def test_needed_names_are_reported_once() -> None:
    book = AddressBook()
    assert book.need(["x.example", "X.example."], 0.0) == ("x.example",)
    book.fail("x.example", 0.0)
    assert book.need(["x.example"], 1.0) == ()


def test_names_built_from_data_cannot_grow_without_bound_nor_push_out_literal_ones() -> None:
    book = AddressBook()
    book.want(["ntp.example.com"], 0.0)
    book.learn("ntp.example.com", ("192.0.2.1",), 60.0, 0.0)
    for number in range(NAMES_LIMIT * 2):
        book.need([f"h{number}.example"], 1.0)
    assert book.addresses("ntp.example.com") == ("192.0.2.1",)
    assert len(book.due(2.0)) <= NAMES_LIMIT


def test_a_built_name_that_is_not_used_any_more_is_forgotten() -> None:
    book = AddressBook()
    book.need(["once.example"], 0.0)
    book.learn("once.example", ("192.0.2.9",), 60.0, 0.0)
    assert book.due(10_000.0) == ()
    assert book.addresses("once.example") is None
