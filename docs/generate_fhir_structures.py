"""Writes `adaptors/fhir/fhir/structures.txt`: the elements of FHIR R4 resources, from the models of `fhir.resources`.

Run it by hand with `pip install fhir.resources`.  The adaptor itself does not need that library.
A line is the name of a type, and its elements: `name:Type`, with `*` for a list, `!` if it is required,
`~group` for a choice, `=a|b` for the codes that are allowed, and `>A|B` for the targets of a reference.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from fhir.resources.R4B import get_fhir_model_class

RESOURCES: Final = (
    *("AllergyIntolerance", "Appointment", "Bundle", "CarePlan", "Condition", "DiagnosticReport"),
    *("Encounter", "EpisodeOfCare", "Immunization", "Location", "Medication", "MedicationRequest"),
    *("Observation", "Organization", "Patient", "Practitioner", "PractitionerRole", "Procedure"),
    *("QuestionnaireResponse", "RelatedPerson", "ServiceRequest", "Specimen", "Task"),
)
COMMON: Final = frozenset({"id", "extension", "modifierExtension", "fhir_comments"})
"""Elements that every type has."""

WHOLE: Final = {
    ("Observation", "status"): "registered|preliminary|final|amended|corrected|cancelled"
    "|entered-in-error|unknown",
    ("Encounter", "status"): "planned|arrived|triaged|in-progress|onleave|finished|cancelled"
    "|entered-in-error|unknown",
    (
        "DiagnosticReport",
        "status",
    ): "registered|partial|preliminary|final|amended|corrected|appended"
    "|cancelled|entered-in-error|unknown",
}
"""Sets of codes that the models name in part only.  Source: http://hl7.org/fhir/R4/."""


def main() -> None:
    """Write the file."""
    lines, waiting, seen = [], [*RESOURCES, "Extension"], set[str]()
    while waiting:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen.add(name)
        elements = []
        for field, about in get_fhir_model_class(name).model_fields.items():
            if field.endswith("__ext") or field in COMMON:
                continue
            text, kind = _element(name, about)
            elements.append(text)
            if kind[0].isupper() and kind != "Resource":
                waiting.append(kind)
        lines.append(" ".join([name, *sorted(elements)]))
    head = "# FHIR R4 (4.0.1), written by docs/generate_fhir_structures.py. Public domain: http://hl7.org/fhir/R4/license.html\n"
    place = Path(__file__).parents[1] / "adaptors" / "fhir" / "fhir" / "structures.txt"
    place.write_text(head + "\n".join(sorted(lines)) + "\n")


def _element(owner: str, about: Any) -> tuple[str, str]:
    kind, many = _kind(str(about.annotation))
    extra = about.json_schema_extra or {}
    text = f"{about.alias}:{kind}{'*' if many else ''}"
    if (about.is_required() or extra.get("element_required")) and not extra.get("one_of_many"):
        text += "!"
    if group := extra.get("one_of_many"):
        text += f"~{group}" + ("!" if extra.get("one_of_many_required") else "")
    codes = WHOLE.get((owner, about.alias)) or "|".join(extra.get("enum_values", ()))
    if codes and "+" not in codes.split("|") and kind == "code":
        text += f"={codes}"
    targets = extra.get("enum_reference_types", ())
    if targets and "Resource" not in targets:
        text += ">" + "|".join(sorted(targets))
    return text, kind


def _kind(annotation: str) -> tuple[str, bool]:
    """Return the FHIR type of an annotation, and whether it is a list."""
    many = "List[" in annotation
    if found := re.search(r"abc\.(\w+)Type", annotation):
        return found[1], many
    if "bool" in annotation:
        return "boolean", many
    if "Xhtml" in annotation:
        return "xhtml", many
    if "UUID" in annotation:
        return "uuid", many
    if "Base64Binary" in annotation:
        return "base64Binary", many
    if "ResourceType" in annotation:
        return "Resource", many
    names = re.findall(r", (\w+)\(", annotation)
    if not names:
        raise ValueError(annotation)
    name = names[-1]
    return name[0].lower() + name[1:], many


if __name__ == "__main__":
    main()
