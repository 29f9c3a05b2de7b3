"""The check of fhir beside the models of `fhir.resources`, on resources made at random.

The library is looked for in the directory that JOBCELL_TEST_WHEELS names (made by ``pip install
--target``), and among the installed packages; without it the tests are skipped.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fhir import b
from fhir.structures import Element, choices_of, elements_of, resources
from fhir.validation import problems_of

pytestmark = pytest.mark.slow

WHEELS = os.environ.get("JOBCELL_TEST_WHEELS", "")
MODELS = """
import json, sys
from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError
for line in sys.stdin:
    resource = json.loads(line)
    try:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
        print("null")
    except ValidationError as error:
        print(json.dumps([".".join(map(str, one["loc"])) + ": " + one["msg"] for one in error.errors()]))
"""
"""Prints for each resource the problems that the models find, or null."""


@pytest.fixture(scope="module", autouse=True)
def _models() -> None:
    # Our own adaptor has the same name as the package of the models.
    found = (Path(WHEELS) / "fhir" / "resources").is_dir() if WHEELS else False
    if not found and importlib.util.find_spec("fhir_core") is None:
        pytest.skip(
            "fhir.resources is not installed: pip install --target DIRECTORY fhir.resources"
        )


def verdicts_of_models(made: list[dict[str, Any]]) -> list[list[str] | None]:
    ended = subprocess.run(
        [sys.executable, "-c", MODELS],
        input="\n".join(map(json.dumps, made)),
        env={"PYTHONPATH": WHEELS, "PATH": os.environ.get("PATH", "")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


PRIMITIVES: dict[str, Any] = {
    "base64Binary": base64.b64encode(b"content").decode(),
    "boolean": True,
    "canonical": "http://x.example/q|1",
    "code": "en",
    "date": "2024-05-06",
    "dateTime": "2024-05-06T07:08:09+03:00",
    "decimal": 1.5,
    "id": "a-1.b",
    "instant": "2024-05-06T07:08:09Z",
    "integer": -3,
    "markdown": "*text*",
    "oid": "urn:oid:1.2.3",
    "positiveInt": 2,
    "string": "some text",
    "time": "07:08:09",
    "unsignedInt": 0,
    "uri": "http://x.example/a",
    "url": "http://x.example/a",
    "uuid": "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7",
    "xhtml": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>',
}
WRONG: tuple[Any, ...] = (
    "",
    "no such thing",
    -7,
    3.25,
    [],
    {},
    {"unknown": 1},
    ["x"],
    "2024-13-01",
)
"""Values that are wrong in many places."""
DEEPEST = 3
KNOWN = (
    "is empty",  # an object without elements
    "is an empty list",
    "must be one of",  # closed sets of codes
    "is not a reference: ",
    "must be a URI without spaces",
    "must be <div>",
    "must be 2024-05-06",  # the models take numbers for times
    "is there as well as a value",  # the invariant obs-6
    "is missing in a batch",  # the invariant bdl-3
    "is missing in a transaction",
    "must be a text that is not empty",
    "must be true or false",
)
"""The beginnings of the problems that only the check finds."""


class Maker:
    """Makes resources: required elements, and some of the others."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def resource(self, kind: str) -> dict[str, Any]:
        return {"resourceType": kind, **self._object(kind, 0)}

    def _object(self, kind: str, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        chosen = {
            self._random.choice(options).name
            for options in choices_of(kind).values()
            if options[0].choice_required or self._random.random() < 0.4
        }
        for element in (elements_of(kind) or {}).values():
            wanted = element.name in chosen if element.choice else element.required
            if not (wanted or (element.choice is None and self._is_taken(element, depth))):
                continue
            count = self._random.randint(1, 2)
            values = [self._value(element, depth) for _ in range(count if element.many else 1)]
            made[element.name] = values if element.many else values[0]
        if not made and kind not in resources():
            made["id"] = "x"
        return made

    def _is_taken(self, element: Element, depth: int) -> bool:
        if element.type == "Resource" or element.name in ("modifierExtension", "extension"):
            return False
        return depth < DEEPEST and self._random.random() < 0.3 / (depth + 1)

    def _value(self, element: Element, depth: int) -> Any:
        if element.codes:
            return self._random.choice(element.codes)
        if element.type == "Reference":
            return {"reference": f"{(element.targets or ('Patient',))[0]}/1"}
        if element.type == "Resource":
            return {"resourceType": "Patient"}
        return (
            PRIMITIVES[element.type]
            if element.is_primitive
            else self._object(element.type, depth + 1)
        )

    def spoil(self, made: dict[str, Any]) -> dict[str, Any]:
        """Return a copy with one wrong value, or without one of its elements."""
        copy: dict[str, Any] = json.loads(json.dumps(made))
        place = copy
        while True:
            name = self._random.choice([key for key in place if key != "resourceType"] or ["id"])
            inner = place.get(name)
            inner = inner[0] if isinstance(inner, list) and inner else inner
            if not isinstance(inner, dict) or not inner or self._random.random() < 0.3:
                break
            place = inner
        if self._random.random() < 0.2:
            place.pop(name, None)
        else:
            place[name] = self._random.choice(WRONG)
        return copy


def made_at_random(count: int) -> list[dict[str, Any]]:
    maker = Maker(7)
    right = [maker.resource(kind) for kind in resources() for _ in range(count)]
    return [*right, *map(maker.spoil, right)]


BUILT = [
    b.patient(
        {"name": {"family": "Lovelace", "given": "Ada"}},
        birth_date="1815-12-10",
        identifier=["1", {"value": "2", "use": "usual"}],
        marital_status=("M", "http://x.example/status", {"display": "Married"}),
        general_practitioner={"resourceType": "Practitioner", "id": "9"},
    ),
    b.observation(
        status="final", code=("8867-4", "http://loinc.org"), subject="Patient/1", value=72.5
    ),
    b.encounter(status="finished", class_=("AMB", "http://x.example/class")),
    b.bundle(type="collection", entry=[{"resource": b.patient({"gender": "female"})}]),
]


@pytest.fixture(scope="module")
def made() -> list[dict[str, Any]]:
    """Resources, of which a part is wrong."""
    return made_at_random(20)


@pytest.fixture(scope="module")
def verdicts(made: list[dict[str, Any]]) -> list[list[str] | None]:
    """The verdicts of the models on them, and then on those of the builders; to import the models takes long."""
    return verdicts_of_models([*made, *BUILT])


@pytest.fixture(scope="module")
def models(made: list[dict[str, Any]], verdicts: list[list[str] | None]) -> list[list[str] | None]:
    """The verdicts on the resources that were made at random."""
    return verdicts[: len(made)]


@pytest.fixture(scope="module")
def ours(made: list[dict[str, Any]]) -> list[Any]:
    """The problems that the check finds in them."""
    return [problems_of(one) for one in made]


def test_the_models_accept_what_the_check_accepts(made, ours, models):
    """A resource that the adaptor sends would not be refused for its structure."""
    accepted = [n for n, problems in enumerate(ours) if not problems]
    assert len(accepted) > len(made) / 3
    assert [(made[n], models[n]) for n in accepted if models[n]] == []


def test_the_check_refuses_more_than_the_models_only_in_known_places(made, ours, models):
    """It is stricter only in the places of `KNOWN`."""
    stricter = [
        problem
        for problems, verdict in zip(ours, models, strict=True)
        if verdict is None
        for problem in problems
    ]
    unknown = [str(one) for one in stricter if not one.message.startswith(KNOWN)]
    assert unknown == []
    assert sum(verdict is not None for verdict in models) > len(made) / 6


def test_the_models_accept_what_builders_make(verdicts):
    """Short forms become what the models know."""
    assert verdicts[-len(BUILT) :] == [None] * len(BUILT)
