"""The builders of fhir complete what authors write, and refuse what FHIR R4 does not allow."""

from __future__ import annotations

import ast
import datetime as dt
import re

import pytest
from fhir import ArgumentError, ResourceError, b, builders
from fhir.structures import elements_of, resources
from fhir.validation import problems_of

pytestmark = pytest.mark.slow

PATIENT = {"resourceType": "Patient", "name": [{"family": "Lovelace", "given": ["Ada"]}]}


@pytest.fixture(autouse=True)
def no_systems():
    """Forget the short names of systems before and after a test."""
    b.set_system_map({})({})
    yield
    b.set_system_map({})({})


def documented():
    """Yield the examples of the docstrings."""
    for name in builders.__all__:
        text = getattr(builders, name).__doc__.partition("Example:")[2]
        for code, result in re.findall(r"`([^`]+)`(?:\s+is\s+`([^`]+)`)?", text):
            if "state" not in code:
                yield pytest.param(code, result, id=f"{name}-{code[:20]}")


@pytest.mark.parametrize(("code", "result"), list(documented()))
def test_the_examples_of_the_docstrings_are_right(code, result):
    """Each can be evaluated, and gives the result that is shown, or a resource without a problem."""
    found = eval(code, {"b": b})
    if result:
        assert found == ast.literal_eval(result)
    elif isinstance(found, dict) and "resourceType" in found:
        assert problems_of(found) == []


def test_every_kind_of_resource_has_a_builder():
    """The name is that of the resource, with underscores."""
    for kind in resources():
        name = re.sub(r"(?<!^)([A-Z])", r"_\1", kind).lower()
        assert name in builders.__all__, name


def test_short_forms_are_completed():
    """Names, single values, texts and choices take the form of FHIR."""
    made = b.patient(
        {"name": {"family": "Lovelace", "given": "Ada"}, "active": None},
        birth_date=dt.date(1815, 12, 10),
        identifier=["1", {"value": "2", "use": "usual"}],
        general_practitioner={"resourceType": "Practitioner", "id": "9"},
        marital_status=("M", "http://x.example/status", {"display": "Married"}),
        deceased=dt.datetime(1852, 11, 27, 12, tzinfo=dt.UTC),
        telecom=[{"system": "phone", "value": "+44"}],
        contact={"name": "Byron", "relationship": ["father"]},
    )
    assert made == {
        **PATIENT,
        "birthDate": "1815-12-10",
        "identifier": [{"value": "1"}, {"value": "2", "use": "usual"}],
        "generalPractitioner": [{"reference": "Practitioner/9"}],
        "maritalStatus": {
            "coding": [{"code": "M", "system": "http://x.example/status", "display": "Married"}],
            "text": "Married",
        },
        "deceasedDateTime": "1852-11-27T12:00:00+00:00",
        "telecom": [{"system": "phone", "value": "+44"}],
        "contact": [{"name": {"text": "Byron"}, "relationship": [{"text": "father"}]}],
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, {"valueBoolean": True}),
        (3, {"valueInteger": 3}),
        (36.6, {"valueQuantity": {"value": 36.6}}),
        ({"value": 72, "unit": "/min"}, {"valueQuantity": {"value": 72, "unit": "/min"}}),
        ("2024-05-06", {"valueDateTime": "2024-05-06"}),
        ("2024", {"valueString": "2024"}),
        ("high", {"valueString": "high"}),
        (("H", "http://x.example"), {"valueCodeableConcept": {"coding": [{"code": "H", "system": "http://x.example"}]}}),
        ({"low": {"value": 1}}, {"valueRange": {"low": {"value": 1}}}),
        ({"start": "2024-05-06"}, {"valuePeriod": {"start": "2024-05-06"}}),
        (dt.time(7, 8, 9), {"valueTime": "07:08:09"}),
    ],
)  # fmt: skip
def test_a_choice_gets_the_name_of_its_type(value, expected):
    """The type follows from the value, among those that the element may have."""
    made = b.observation(status="final", code="x", value=value)
    assert {key: made[key] for key in made if key.startswith("value")} == expected


def test_a_value_that_fits_no_choice_is_refused():
    """The error lists the types."""
    with pytest.raises(ArgumentError, match="boolean, dateTime"):
        b.patient(deceased={"a": 1})
    with pytest.raises(ArgumentError, match="needs a zone"):
        b.patient(deceased=dt.datetime(2024, 5, 6))  # noqa: DTZ001 - this is the mistake


WRONG = [
    ({"gendr": "male"}, "Patient.gendr", "does not exist in Patient", "did you mean 'gender'?"),
    ({"gender": "Male"}, "Patient.gender", "must be one of male, female", "did you mean 'male'?"),
    ({"birthDate": "1.2.2000"}, "Patient.birthDate", "must be 2024, 2024-05", None),
    ({"birthDate": "2023-02-29"}, "Patient.birthDate", "must be 2024", None),
    ({"name": [{"famly": "x"}]}, "Patient.name[0].famly", "does not exist", "did you mean 'family'?"),
    ({"active": "yes"}, "Patient.active", "must be true or false", None),
    ({"generalPractitioner": "Patient/1"}, "Patient.generalPractitioner[0].reference", "must lead to", None),
    ({"managingOrganization": "Clinic 7"}, "Patient.managingOrganization.reference", "is not a reference", "write 'Patient/123'"),
    ({"deceasedBoolean": True, "deceasedDateTime": "2024"}, "Patient.deceased[x]", "several values", None),
    ({"gender": ["male"]}, "Patient.gender", "must be a single value", None),
    ({"name": []}, "Patient.name", "is an empty list", "leave it out"),
    ({"name": [{}]}, "Patient.name[0]", "is empty", "leave it out"),
    ({"id": "a b"}, "Patient.id", "up to 64 letters", None),
    ({"communication": [{"preferred": True}]}, "Patient.communication[0].language", "is missing", None),
    ({"text": {"status": "generated", "div": "x"}}, "Patient.text.div", "must be <div>", None),
    ({"contained": [{"resourceType": "Organization", "nam": "x"}]}, "Patient.contained[0].nam", "does not exist", "did you mean 'name'?"),
    ({"extension": [{"url": "http://x", "valueString": "a", "valueCode": "b"}]}, "Patient.extension[0].value[x]", "several", None),
    ({"multipleBirthInteger": 2**31}, "Patient.multipleBirthInteger", "whole number", None),
    ({"photo": [{"data": "%%"}]}, "Patient.photo[0].data", "must be base64", None),
]  # fmt: skip


@pytest.mark.parametrize(("elements", "path", "message", "fix"), WRONG)
def test_a_wrong_element_is_named_with_its_path(elements, path, message, fix):
    """The error is the same for a builder, and says what would be right where that is known."""
    with pytest.raises(ResourceError) as caught:
        b.patient(elements)
    (problem,) = caught.value.problems
    assert problem["path"] == path
    assert message in problem["message"]
    assert fix is None or problem["fix"].startswith(fix)
    assert str(caught.value).startswith(path)
    assert caught.value.retryable is False


def test_all_problems_are_reported_at_once():
    """The text has the first of them and the number of the others."""
    with pytest.raises(ResourceError, match="and 2 more") as caught:
        b.observation(status="finished", value=1, data_absent_reason="unknown")
    paths = [problem["path"] for problem in caught.value.problems]
    assert paths == ["Observation.status", "Observation.code", "Observation.dataAbsentReason"]


def test_primitive_extensions_and_unknown_resources_are_left_alone():
    """An element with an underscore extends its value. Other resources are not checked."""
    assert problems_of({"resourceType": "Patient", "_birthDate": {"extension": []}}) == []
    absent = {"_status": {"extension": [{"url": "http://x", "valueCode": "unknown"}]}}
    assert problems_of({"resourceType": "Observation", "code": {"text": "x"}, **absent}) == []
    assert problems_of({"resourceType": "Basic", "anything": 1}) == []
    assert problems_of([])[0].message == "must be a dict, not a list"
    assert "has no resourceType" in problems_of({})[0].message


def test_an_entry_of_a_transaction_needs_a_request():
    """A collection does not."""
    entry = {"resource": {**PATIENT}}
    assert b.bundle(type="collection", entry=entry)["entry"] == [entry]
    with pytest.raises(ResourceError, match=r"Bundle\.entry\[0\]\.request is missing"):
        b.bundle(type="transaction", entry=entry)


def test_builders_take_functions_of_state():
    """They return a function of state then, whatever the depth."""
    lazy = b.patient({"name": lambda state: state["name"]}, identifier=[lambda state: state["n"]])
    made = lazy({"name": {"family": "Lovelace", "given": "Ada"}, "n": "7"})
    assert made == {**PATIENT, "identifier": [{"value": "7"}]}
    with pytest.raises(ResourceError, match="gender"):
        b.patient(gender=lambda state: "x")({})


def test_short_names_of_systems_are_replaced():
    """Everywhere in a resource, in the next builders too."""
    b.set_system_map({"mrn": "http://clinic.example/mrn"})({})
    made = b.patient(identifier=b.identifier("1", "mrn"), meta={"tag": [{"system": "mrn"}]})
    assert made["identifier"] == [{"value": "1", "system": "http://clinic.example/mrn"}]
    assert made["meta"]["tag"] == [{"system": "http://clinic.example/mrn"}]


def test_extensions():
    """They are added, found, and typed."""
    made = b.add_extension(b.patient(active=True), "http://x.example/a", b.reference("Patient/2"))
    assert made["extension"] == [
        {"url": "http://x.example/a", "valueReference": {"reference": "Patient/2"}}
    ]
    assert b.find_extension(made, "http://x.example/a") == made["extension"][0]
    assert b.find_extension(made, "http://x.example/b") is None
    assert problems_of({**made, **b.extension("http://x.example/b", 1.5)}) == []


def test_structures_know_lists_choices_and_targets():
    """The table is that of FHIR R4."""
    patient = elements_of("Patient")
    assert patient["name"].many
    assert not patient["birthDate"].many
    assert patient["link"].type == "PatientLink"
    assert "Organization" in patient["generalPractitioner"].targets
    assert elements_of("Observation")["status"].required
    assert elements_of("Nothing") is None
