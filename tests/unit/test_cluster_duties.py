"""The whole table of duties, written out: any change of it must be made here too."""

from __future__ import annotations

from era_ap.cluster.contract import SessionState
from era_ap.cluster.duties import Duty, Standing, Verdict, acts, verdict

TABLE = """
duty       session    follower leader cut         backed leaving
FILES      CONNECTED  act      act    act         act    stop
FILES      SUSPENDED  act      act    act         act    stop
FILES      LOST       act      act    act         act    stop
HEAR       CONNECTED  act      act    act         act    stop
HEAR       SUSPENDED  act      act    act         act    stop
HEAR       LOST       act      act    act         act    stop
ANSWER     CONNECTED  stop     act    pause       pause  stop
ANSWER     SUSPENDED  stop     pause  pause       act    stop
ANSWER     LOST       stop     pause  pause       act    stop
PUBLISH    CONNECTED  stop     act    pause       pause  stop
PUBLISH    SUSPENDED  stop     pause  pause       pause  stop
PUBLISH    LOST       stop     pause  pause       pause  stop
SCAN_FAST  CONNECTED  pause    act    act         act    stop
SCAN_FAST  SUSPENDED  act      act    act         act    stop
SCAN_FAST  LOST       act      act    act         act    stop
RUN        CONNECTED  act      stop   stop        stop   stop
RUN        SUSPENDED  stop     stop   stop        stop   stop
RUN        LOST       stop     stop   stop        stop   stop
CONTACT    CONNECTED  act      act    act         act    stop
CONTACT    SUSPENDED  stop     stop   stop        stop   stop
CONTACT    LOST       stop     stop   stop        stop   stop
ASK        CONNECTED  stop     stop   stop        stop   stop
ASK        SUSPENDED  stop     act    act         act    stop
ASK        LOST       stop     act    act         act    stop
PROMISE    CONNECTED  stop     stop   stop        stop   stop
PROMISE    SUSPENDED  act      act    act         act    stop
PROMISE    LOST       act      act    act         act    stop
"""


def test_the_table() -> None:
    rows = [line.split() for line in TABLE.strip().splitlines()[1:]]
    written = {
        (Duty[duty], SessionState[state], standing): Verdict(word)
        for duty, state, *words in rows
        for standing, word in zip(Standing, words, strict=True)
    }
    every = {(duty, state, standing) for duty in Duty for state in SessionState for standing in Standing}
    assert written.keys() == every
    assert {key: verdict(*key) for key in every} == written
    assert {key for key in every if acts(*key)} == {key for key in every if written[key] is Verdict.ACT}


def test_who_may_promise_does_not_act_by_the_lease() -> None:
    """No state lets an instance give its word and use the lease at the same time."""
    for state in SessionState:
        for standing in Standing:
            by_lease = acts(Duty.ANSWER, state, standing) and standing is not Standing.BACKED
            assert not (by_lease and acts(Duty.PROMISE, state, standing))
