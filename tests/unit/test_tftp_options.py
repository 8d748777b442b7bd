"""Negotiation: only what was asked for, nothing out of range, never beyond the server's limits."""

from __future__ import annotations

import pytest

from era_ap.tftp.options import DEFAULTS, Agreed, OptionPolicy, Wish, negotiate, read_wish

POLICY = OptionPolicy(blksize=1428, windowsize=16)


def agree(size: int | None = 1000, **options: str) -> Agreed:
    return negotiate(read_wish(options), POLICY, size=size)


def test_no_option_no_oack() -> None:
    assert agree() == DEFAULTS
    assert agree(unknown="1", multicast="") == DEFAULTS


@pytest.mark.parametrize(
    ("asked", "answered"), [("8", 8), ("512", 512), ("1428", 1428), ("1429", 1428), ("65464", 1428)]
)
def test_blksize_is_clamped_to_the_policy(asked: str, answered: int) -> None:
    agreed = agree(blksize=asked)
    assert agreed.blksize == answered
    assert agreed.acknowledged == (("blksize", str(answered)),)


@pytest.mark.parametrize(
    "value", ["0", "7", "-1", "65465", "9" * 300, "", " 512", "+512", "5e2", "٥١٢", "512x", "²"]
)
def test_an_unusable_blksize_is_left_out(value: str) -> None:
    assert agree(blksize=value) == DEFAULTS


def test_the_path_limits_the_block() -> None:
    agreed = negotiate(Wish(blksize=1428), POLICY, size=1, path_limit=1200)
    assert agreed.blksize == 1200


@pytest.mark.parametrize(
    ("asked", "answered"), [("1", 1), ("255", 255), ("0", None), ("256", None), ("x", None)]
)
def test_timeout_is_taken_as_it_is_or_not_at_all(asked: str, answered: int | None) -> None:
    assert agree(timeout=asked).timeout == answered


@pytest.mark.parametrize(
    ("asked", "answered"), [("1", 1), ("16", 16), ("17", 16), ("65535", 16), ("0", 1), ("65536", 1)]
)
def test_windowsize(asked: str, answered: int) -> None:
    assert agree(windowsize=asked).windowsize == answered


def test_a_timeout_beyond_the_policy_leaves_the_timer_free() -> None:
    policy = OptionPolicy(timeout=5)
    assert negotiate(Wish(timeout=5), policy, size=1).timeout == 5
    assert negotiate(Wish(timeout=6), policy, size=1) == DEFAULTS


def test_tsize_is_answered_where_it_is_known() -> None:
    assert agree(tsize="0").acknowledged == (("tsize", "1000"),)
    assert agree(None, tsize="0").acknowledged == ()
    assert agree(0, tsize="0").acknowledged == (("tsize", "0"),)
    assert agree(tsize="-1").acknowledged == ()


@pytest.mark.parametrize(
    "limits", [{"blksize": 7}, {"blksize": 65465}, {"windowsize": 0}, {"windowsize": 65536}, {"timeout": 256}]
)
def test_a_policy_outside_the_rfc_is_an_error(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        OptionPolicy(**limits)
