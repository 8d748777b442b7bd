"""era_ap.provisioning.override_xpath: which expressions are evaluated at all."""

from __future__ import annotations

import pytest

from era_ap.errors import Reason, Refused
from era_ap.provisioning.override_xpath import Step, attribute_of, check, simple_steps


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/settings/phone-settings/language",
            "//P271",
            "//reg/@reg.1.address",
            "/a/b[@idx='1']/c",
            "//a[1]",
        ),
        *(
            "//a[last()]",
            "//a[position() = 2]",
            "//a[@x='1' and not(@y)]",
            "//*[local-name()='a']",
            "//a/text()",
        ),
        *(
            '//item[@name="account.1.enable"]',
            "//a[contains(@n, 'x') or starts-with(name(), 'y')]",
            "//a//b//c",
        ),
        *(
            "child::a/attribute::b",
            "//a[b/c='1']",
            "//a[.='x']",
            "//a/..",
            "//a|//b",
            "//a[@n='//']",
            "//a[@n='[[']",
        ),
        *("//a[position() <= 2]", "//a[last()-1]", "/Настройки/язык"),
    ],
)
def test_allowed(path: str) -> None:
    check(path, 100)


@pytest.mark.parametrize(
    "path",
    [
        *("", "/" + "a" * 512, "//a//b//c//d", "/a" * 33, "//a[b[c]]", "//a[//b]", "//a[/b]", "//a[../b]"),
        *(
            "//a[parent::b]",
            "document('x')",
            "//a[count(b)=1]",
            "id('x')",
            "//a[string-length(.)>1]",
            "//x:a",
        ),
        *("//namespace::a", "//following::a", "//a/ancestor::b", "//$x", "//a[b=c]", "//a[contains(., b)]"),
        *("//a[1=/b]", "//a;b", "//a{b}", "//a[@b='x]", "re:test(a,'b')", "//a" + "[1]" * 9),
    ],
)
def test_refused(path: str) -> None:
    with pytest.raises(Refused) as caught:
        check(path, 100)
    assert caught.value.reason is Reason.OVERRIDE_XPATH


@pytest.mark.parametrize("path", ["//a//b", "//a/..", "//a|//b", "//a/parent::b"])
def test_slow_expressions_need_a_small_file(path: str) -> None:
    check(path, 2000)
    with pytest.raises(Refused):
        check(path, 2001)


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("/a/b-c", (Step("a", ()), Step("b-c", ()))),
        (
            "/a[@idx='1']/b[@x=\"y'z\"][@w='']",
            (Step("a", (("idx", "1"),)), Step("b", (("x", "y'z"), ("w", "")))),
        ),
        ("/a[@x='1' and @y='2']", (Step("a", (("x", "1"), ("y", "2"))),)),
        ("//a", None),
        ("/a//b", None),
        ("a/b", None),
        ("/a[1]", None),
        ("/a/*", None),
        ("/a/text()", None),
    ],
)
def test_simple_paths(path: str, steps: object) -> None:
    assert simple_steps(path) == steps


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("//reg/@reg.1.address", ("//reg", "reg.1.address")),
        ("/a[@x='1']/@y", ("/a[@x='1']", "y")),
        ("/a[@x='1']", None),
        ("//@x", ("/", "x")),
    ],
)
def test_attributes(path: str, expected: object) -> None:
    assert attribute_of(path) == expected
