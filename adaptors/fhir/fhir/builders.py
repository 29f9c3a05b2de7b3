"""Builders of resources.  Each checks what it has built.

A builder takes a dict with the elements of the resource, or the elements as keyword arguments, or both.  A name may be
written as in FHIR or with underscores (`birth_date`).  Short forms are completed:

- a text or a resource in place of a reference, and a text in place of an identifier, a name or an address;
- a tuple of code and system in place of a concept or a coding, and a text in place of a concept;
- a single value in place of a list;
- a choice without its type: `value`, `deceased`, `effective`;
- a date or a time in place of its text.

Elements with the value None are left out.
"""

from __future__ import annotations

from typing import Any

from .building import build
from .datatypes import (
    add_extension,
    coding,
    composite,
    concept,
    extension,
    find_extension,
    identifier,
    reference,
)
from .laziness import lazily
from .systems import set_system_map

__all__ = [
    "addExtension",
    "add_extension",
    "allergy_intolerance",
    "appointment",
    "bundle",
    "c",
    "care_plan",
    "cc",
    "coding",
    "composite",
    "concept",
    "condition",
    "diagnostic_report",
    "encounter",
    "episode_of_care",
    "ext",
    "extension",
    "findExtension",
    "find_extension",
    "id",
    "identifier",
    "immunization",
    "location",
    "medication",
    "medication_request",
    "observation",
    "organization",
    "patient",
    "practitioner",
    "practitioner_role",
    "procedure",
    "questionnaire_response",
    "ref",
    "reference",
    "related_person",
    "resource",
    "service_request",
    "setSystemMap",
    "set_system_map",
    "specimen",
    "task",
]

c = coding
cc = concept
ext = extension
id = identifier  # noqa: A001 - the name of OpenFn
ref = reference
setSystemMap = set_system_map  # noqa: N816 - the name of OpenFn
addExtension = add_extension  # noqa: N816
findExtension = find_extension  # noqa: N816


@lazily
def resource(kind: str, elements: Any = None, /, **fields: Any) -> Any:
    """Build a resource of any kind that has a builder.

    Example:
        `b.resource("Patient", active=True)` is `{"resourceType": "Patient", "active": True}`

    """
    return build(kind, elements, fields)


@lazily
def allergy_intolerance(elements: Any = None, /, **fields: Any) -> Any:
    """Build an AllergyIntolerance.

    Example:
        `b.allergy_intolerance(patient="Patient/1", code=("227493005", "http://snomed.info/sct"))`

    """
    return build("AllergyIntolerance", elements, fields)


@lazily
def appointment(elements: Any = None, /, **fields: Any) -> Any:
    """Build an Appointment.

    Example:
        `b.appointment(status="booked", participant=[{"actor": "Patient/1", "status": "accepted"}])`

    """
    return build("Appointment", elements, fields)


@lazily
def bundle(elements: Any = None, /, **fields: Any) -> Any:
    """Build a Bundle.

    Example:
        `b.bundle(type="collection", entry=[{"resource": b.patient(id="1", active=True)}])`

    """
    return build("Bundle", elements, fields)


@lazily
def care_plan(elements: Any = None, /, **fields: Any) -> Any:
    """Build a CarePlan.

    Example:
        `b.care_plan(status="active", intent="plan", subject="Patient/1")`

    """
    return build("CarePlan", elements, fields)


@lazily
def condition(elements: Any = None, /, **fields: Any) -> Any:
    """Build a Condition.

    Example:
        `b.condition(subject="Patient/1", code=("38341003", "http://snomed.info/sct"))`

    """
    return build("Condition", elements, fields)


@lazily
def diagnostic_report(elements: Any = None, /, **fields: Any) -> Any:
    """Build a DiagnosticReport.

    Example:
        `b.diagnostic_report(status="final", code="Blood count", result=["Observation/7"])`

    """
    return build("DiagnosticReport", elements, fields)


@lazily
def encounter(elements: Any = None, /, **fields: Any) -> Any:
    """Build an Encounter.

    Example:
        `b.encounter(status="finished", class_=("AMB", "http://terminology.hl7.org/CodeSystem/v3-ActCode"))`

    """
    return build("Encounter", elements, fields)


@lazily
def episode_of_care(elements: Any = None, /, **fields: Any) -> Any:
    """Build an EpisodeOfCare.

    Example:
        `b.episode_of_care(status="active", patient="Patient/1")`

    """
    return build("EpisodeOfCare", elements, fields)


@lazily
def immunization(elements: Any = None, /, **fields: Any) -> Any:
    """Build an Immunization.

    Example:
        `b.immunization(status="completed", patient="Patient/1", vaccine_code="BCG", occurrence="2024-05-06")`

    """
    return build("Immunization", elements, fields)


@lazily
def location(elements: Any = None, /, **fields: Any) -> Any:
    """Build a Location.

    Example:
        `b.location(name="Ward 3", status="active")`

    """
    return build("Location", elements, fields)


@lazily
def medication(elements: Any = None, /, **fields: Any) -> Any:
    """Build a Medication.

    Example:
        `b.medication(code="Amoxicillin", status="active")`

    """
    return build("Medication", elements, fields)


@lazily
def medication_request(elements: Any = None, /, **fields: Any) -> Any:
    """Build a MedicationRequest.

    Example:
        `b.medication_request(status="active", intent="order", subject="Patient/1", medication={"text": "Amoxicillin"})`

    """
    return build("MedicationRequest", elements, fields)


@lazily
def observation(elements: Any = None, /, **fields: Any) -> Any:
    """Build an Observation.

    Example:
        `b.observation(status="final", code=("8867-4", "http://loinc.org"), value={"value": 72, "unit": "/min"})`

    """
    return build("Observation", elements, fields)


@lazily
def organization(elements: Any = None, /, **fields: Any) -> Any:
    """Build an Organization.

    Example:
        `b.organization(name="Clinic", active=True)`

    """
    return build("Organization", elements, fields)


@lazily
def patient(elements: Any = None, /, **fields: Any) -> Any:
    """Build a Patient.

    Example:
        `b.patient(name={"family": "Lovelace", "given": "Ada"}, gender="female", birth_date="1815-12-10")`

    """
    return build("Patient", elements, fields)


@lazily
def practitioner(elements: Any = None, /, **fields: Any) -> Any:
    """Build a Practitioner.

    Example:
        `b.practitioner(name="Dr Grace", active=True)`

    """
    return build("Practitioner", elements, fields)


@lazily
def practitioner_role(elements: Any = None, /, **fields: Any) -> Any:
    """Build a PractitionerRole.

    Example:
        `b.practitioner_role(practitioner="Practitioner/1", organization="Organization/2")`

    """
    return build("PractitionerRole", elements, fields)


@lazily
def procedure(elements: Any = None, /, **fields: Any) -> Any:
    """Build a Procedure.

    Example:
        `b.procedure(status="completed", subject="Patient/1", performed="2024-05-06")`

    """
    return build("Procedure", elements, fields)


@lazily
def questionnaire_response(elements: Any = None, /, **fields: Any) -> Any:
    """Build a QuestionnaireResponse.

    Example:
        `b.questionnaire_response(status="completed", item=[{"linkId": "1", "answer": [{"value": True}]}])`

    """
    return build("QuestionnaireResponse", elements, fields)


@lazily
def related_person(elements: Any = None, /, **fields: Any) -> Any:
    """Build a RelatedPerson.

    Example:
        `b.related_person(patient="Patient/1", relationship="mother")`

    """
    return build("RelatedPerson", elements, fields)


@lazily
def service_request(elements: Any = None, /, **fields: Any) -> Any:
    """Build a ServiceRequest.

    Example:
        `b.service_request(status="active", intent="order", subject="Patient/1", code="X-ray")`

    """
    return build("ServiceRequest", elements, fields)


@lazily
def specimen(elements: Any = None, /, **fields: Any) -> Any:
    """Build a Specimen.

    Example:
        `b.specimen(subject="Patient/1", type="Blood")`

    """
    return build("Specimen", elements, fields)


@lazily
def task(elements: Any = None, /, **fields: Any) -> Any:
    """Build a Task.

    Example:
        `b.task(status="requested", intent="order", focus="ServiceRequest/1")`

    """
    return build("Task", elements, fields)
