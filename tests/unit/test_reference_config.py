"""deploy/site.yml is the reference: every key of the schema stands in it, with its default and its meaning.

Scheme of the file: '#' directly before a key (or a list's '-') shows a default, '# ' is prose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from era_ap import config
from era_ap.config.cluster import Cluster, Management, Zookeeper
from era_ap.config.ext import Ext, MacIsEnough
from era_ap.config.pnp import Phones, Pnp
from era_ap.config.roles import ApShape, SgExt, SgShape
from era_ap.config.shape import SiteShape

REFERENCE = Path(__file__).parents[2] / "deploy" / "site.yml"


def uncommented() -> str:
    """The file with every shown default in effect."""
    return re.sub(r"^( *)#(?=[^ #\n])", r"\1", REFERENCE.read_text("utf-8"), flags=re.MULTILINE)


def shapes() -> list[tuple[str, type[BaseModel], dict[str, Any]]]:
    """Each shape of the schema with the mapping of the reference that shows it."""
    top = yaml.safe_load(uncommented())
    ap, sg = top["roles"]
    return [
        ("site", SiteShape, top),
        ("ap role", ApShape, ap),
        ("ext", Ext, ap["ext"]),
        ("ext.mac_is_enough", MacIsEnough, ap["ext"]["mac_is_enough"]),
        ("ext.misses", type(Ext().misses), ap["ext"]["misses"]),
        ("ext.pnp", Pnp, ap["ext"]["pnp"]),
        ("ext.pnp.allow", Phones, ap["ext"]["pnp"]["allow"]),
        ("ext.pnp.deny", Phones, ap["ext"]["pnp"]["deny"]),
        ("ext.cluster", Cluster, ap["ext"]["cluster"]),
        ("ext.zookeeper", Zookeeper, ap["ext"]["zookeeper"]),
        ("ext.management", Management, ap["ext"]["management"]),
        ("ext.log", type(Ext().log), ap["ext"]["log"]),
        ("sg role", SgShape, {"enabled": True, **sg}),
        ("sg ext", SgExt, sg["ext"]),
    ]


CASES = [
    pytest.param(shape, shown, key, id=f"{name}.{key}")
    for name, shape, shown in shapes()
    for key in shape.model_fields
]


def test_the_file_as_delivered_loads_with_all_defaults() -> None:
    site = config.load(REFERENCE)
    assert site.site == "msk1"
    assert site.ap("ap1").ext == Ext()
    assert [gate.name for gate in site.gates()] == ["sg1"]
    assert site.storage == REFERENCE.parent / "storage"


def test_every_default_shown_is_the_default_of_the_schema() -> None:
    shown = config.parse(uncommented(), REFERENCE.parent, str(REFERENCE))
    assert shown == config.load(REFERENCE)


@pytest.mark.parametrize(("shape", "shown", "key"), CASES)
def test_every_key_stands_in_the_file(shape: type[BaseModel], shown: dict[str, Any], key: str) -> None:
    assert key in shown


@pytest.mark.parametrize(("shape", "shown", "key"), CASES)
def test_a_shown_default_is_written_out(shape: type[BaseModel], shown: dict[str, Any], key: str) -> None:
    """Null counts as absent for the loader, so it would pass for any default."""
    field = shape.model_fields[key]
    if not field.is_required() and field.default is not None:
        assert shown[key] is not None


@pytest.mark.parametrize(
    "shape",
    [
        SiteShape,
        ApShape,
        Ext,
        MacIsEnough,
        type(Ext().misses),
        Cluster,
        Zookeeper,
        Management,
        type(Ext().log),
        SgExt,
    ],
)
def test_the_meaning_of_each_key_stands_above_it(shape: type[BaseModel]) -> None:
    lines = [line.strip() for line in REFERENCE.read_text("utf-8").splitlines()]
    for key, field in shape.model_fields.items():
        places = [n for n, line in enumerate(lines) if re.match(rf"#?(- )?{key}:", line)]
        assert any(lines[n - 1] == f"# {field.description}" for n in places), key


def reached(annotation: object) -> Iterator[type[BaseModel]]:
    """The shapes within a type, and those within them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from reached(field.annotation)
    for part in get_args(annotation):
        yield from reached(part)


def test_no_shape_is_forgotten() -> None:
    everything = {shape for top in (SiteShape, ApShape, SgShape) for shape in reached(top)}
    assert everything - {shape for _, shape, _ in shapes()} == set()


def test_no_key_is_shown_that_does_not_exist() -> None:
    for name, shape, shown in shapes():
        assert set(shown) <= set(shape.model_fields), name
