"""The journal's record and the limit on lines about refusals."""

import tracemalloc

from era_ap.errors import Reason
from era_ap.journal import Record, RefusalLimit
from era_ap.provisioning.request import Subject


def test_a_record_names_all_that_is_known_and_leaves_out_what_is_not() -> None:
    record = Record(
        at=1.0,
        transport="tftp",
        peer="192.0.2.7",
        reason=Reason.RENDERED,
        subject=Subject(mac="001565aabbcc", account="101@a.example.com", file="001565aabbcc.cfg"),
        size=1234,
        retransmits=2,
        seconds=0.0123,
        options=(("blksize", "1428"),),
    )
    assert record.reason.is_served
    assert record.fields() == {
        "transport": "tftp",
        "peer": "192.0.2.7",
        "reason": "rendered",
        "file": "001565aabbcc.cfg",
        "mac": "001565aabbcc",
        "account": "101@a.example.com",
        "bytes": 1234,
        "options": {"blksize": 1428},
        "retransmits": 2,
        "seconds": 0.0123,
    }


def test_records_of_one_file_tell_how_each_request_ended() -> None:
    subject = Subject(file="a.cfg", revision="1")
    served = Record(0.0, "tftp", "192.0.2.7", Reason.STATIC, subject, 10, options=(("tsize", "10"),))
    broken = Record(0.0, "tftp", "192.0.2.8", Reason.PEER_SILENT, subject, options=(("tsize", "20"),))
    for record, reason, size in ((served, "static", 10), (broken, "peer-silent", 20), (served, "static", 10)):
        fields = record.fields()
        assert (fields["reason"], fields["options"]) == (reason, {"tsize": size})
        assert (fields["file"], fields["revision"]) == ("a.cfg", "1")


def test_long_names_of_strangers_are_told_and_not_remembered() -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(500):
            name = f"{number:04000}.cfg"
            assert name in Record(0.0, "tftp", "192.0.2.7", Reason.NO_MASK, Subject(file=name)).members()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 100_000


def test_a_refusal_is_not_served() -> None:
    record = Record(0.0, "tftp", "192.0.2.7", Reason.MAC_UNKNOWN, Subject())
    assert not record.reason.is_served


def test_refusals_fill_no_more_than_ten_lines_a_second_and_the_rest_is_counted() -> None:
    limit = RefusalLimit()
    admitted = sum(limit.admit(5.0 + n / 10_000)[0] for n in range(5000))
    assert admitted == 10
    assert limit.admit(6.0) == (True, 4990)
    assert limit.admit(6.1) == (True, 0)


def test_a_token_never_reaches_the_journal() -> None:
    for name in (f"p/{'A' * 52}/001565000001.cfg", f"P/{'A' * 68}/"):
        subject = Subject(file=name, detail=f"no mask fits '{name}'")
        fields = Record(0.0, "tftp", "192.0.2.7", Reason.MAC_UNKNOWN, subject).fields()
        assert "AAAA" not in str(fields)
        assert str(fields["file"]).startswith(name[:2])


def test_a_secret_that_a_phone_names_itself_never_reaches_the_journal() -> None:
    subject = Subject(file="a.cfg?user=x&password=s3cret", detail="//joe:s3cret@h/a.cfg?PIN=s3cret")
    record = Record(0.0, "http", "192.0.2.7", Reason.NO_MASK, subject, agent="Phone/1 web_pw=s3cret")
    assert "s3cret" not in str(record.fields())
    assert record.fields()["file"] == "a.cfg?user=x&password=***"
