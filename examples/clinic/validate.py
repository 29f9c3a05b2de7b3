# Sort the rows into those for the register and those that the clinic must look at again.
import re
from datetime import date

SEXES = {"f": "female", "m": "male", "u": "unknown"}


def problems_of(row, exported):
    """Yield the problems of one row."""
    if not re.fullmatch(r"C-\d{5}", row["patient_id"] or ""):
        yield "no valid patient id"
    if not clean(row["family_name"]):
        yield "no family name"
    if row["sex"] not in SEXES:
        yield f"unknown code for sex: {row['sex']!r}"
    try:
        if date.fromisoformat(row["birth_date"]) > exported:
            yield "born after the export"
    except ValueError:
        yield f"no such date: {row['birth_date']!r}"
    weight = number(row["weight_kg"])
    if weight is None or not 0.4 <= weight <= 250:
        yield f"impossible weight: {row['weight_kg']!r} kg"
    temperature = number(row["temperature_c"])
    if temperature is None or not 30 <= temperature <= 44:
        yield f"impossible temperature: {row['temperature_c']!r} C"


def check_fields(state):
    exported = date.fromisoformat(state.data.exported)
    for row in state.data.rows:
        row["problems"] = list(problems_of(row, exported))
    return state


def check_duplicates(state):
    seen = {}
    for row in state.data.rows:
        first = seen.setdefault(row["patient_id"], row["line"])
        if first != row["line"] and row["patient_id"]:
            row["problems"].append(f"same patient id as line {first}")
    return state


def split(state):
    good = [row for row in state.data.rows if not row["problems"]]
    bad = [row for row in state.data.rows if row["problems"]]
    print(f"{len(good)} good rows, {len(bad)} bad ones")
    return {**state, "data": {"good": good, "bad": bad}}


operations = [check_fields, check_duplicates, split]
