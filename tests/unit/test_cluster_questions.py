"""Questions and answers between instances: sealed, for one process, used once."""

from __future__ import annotations

import json
import random

import pytest

from era_ap.cluster import questions
from era_ap.cluster.failsafe import Answer, Ask
from era_ap.cluster.questions import MAX_BYTES, Asked, Asker, UntrustedError, derive

KEY = b"k" * 32
ASK = Ask(11360, "ap1", 7)
ANSWER = Answer("ap2", True, False, 7)


@pytest.fixture
def asker() -> Asker:
    return Asker(KEY, "process-1")


@pytest.fixture
def asked() -> Asked:
    return Asked(KEY, "process-2")


def test_a_question_and_its_answer(asker: Asker, asked: Asked) -> None:
    sealed = asker.seal(ASK, "process-2")
    question = asked.open(sealed)
    assert asked.is_ours(question)
    assert question.ask == ASK
    assert asker.open(asked.seal(ANSWER, question), sealed) == ANSWER
    assert len(sealed) < 300


def test_a_question_is_answered_once(asker: Asker, asked: Asked) -> None:
    first, second = (asker.seal(ASK, "process-2") for _ in range(2))
    asked.open(second)
    for recorded in (first, second):
        with pytest.raises(UntrustedError, match="before"):
            asked.open(recorded)
    asked.open(asker.seal(ASK, "process-2"))
    asked.open(Asker(KEY, "process-3").seal(ASK, "process-2"))


def test_a_question_for_an_earlier_process_is_not_ours_and_it_learns_who_is_here(
    asker: Asker, asked: Asked
) -> None:
    sealed = asker.seal(ASK, "process-2-before")
    question = asked.open(sealed)
    assert not asked.is_ours(question)
    assert asker.open(asked.redirect(question), sealed) == "process-2"


def test_an_answer_is_good_for_its_question_only(asker: Asker, asked: Asked) -> None:
    first, second = (asker.seal(ASK, "process-2") for _ in range(2))
    answer = asked.seal(ANSWER, asked.open(first))
    with pytest.raises(UntrustedError):
        asker.open(answer, second)
    with pytest.raises(UntrustedError):
        asked.open(answer)
    with pytest.raises(UntrustedError):
        asker.open(first, first)


def test_who_has_another_secret_is_not_believed(asker: Asker, asked: Asked) -> None:
    stranger = Asker(derive(b"x" * 32, "questions"), "process-1")
    with pytest.raises(UntrustedError):
        asked.open(stranger.seal(ASK, "process-2"))


def test_each_purpose_has_its_key() -> None:
    keys = {derive(secret, purpose) for secret in (b"a" * 32, b"b" * 32) for purpose in ("one", "two")}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {32}


def test_nothing_that_was_changed_is_believed(asker: Asker, asked: Asked) -> None:
    sealed = asker.seal(ASK, "process-2")
    rng = random.Random(1)
    for place in range(len(sealed)):
        with pytest.raises(UntrustedError):
            asked.open(sealed[:place] + bytes((sealed[place] ^ 1,)) + sealed[place + 1 :])
        with pytest.raises(UntrustedError):
            asked.open(sealed[:place])
        with pytest.raises(UntrustedError):
            asked.open(rng.randbytes(place))
    with pytest.raises(UntrustedError):
        asked.open(sealed + b" " * MAX_BYTES)
    assert asked.open(sealed).ask == ASK


@pytest.mark.parametrize(
    "change",
    [{"count": "1"}, {"from": None}, {"ask": {"group": 1}}, {"ask": None}, {"ask": {"what": 1}}],
    ids=str,
)
def test_another_versions_words_are_no_question(change: dict[str, object]) -> None:
    asker = Asker(KEY, "process-1")
    document = json.loads(asker.seal(ASK, "process-2").partition(b"\n")[2]) | change
    with pytest.raises(UntrustedError):
        Asked(KEY, "process-2").open(questions._seal(KEY, document, b"ask"))
