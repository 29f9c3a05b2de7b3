# Good rows become a bundle of FHIR-like resources: a patient, and the measured values.
SEXES = {"f": "female", "m": "male", "u": "unknown"}


def patient(row):
    return {
        "resourceType": "Patient",
        "id": row["patient_id"],
        "name": [{"family": clean(row["family_name"]), "given": [clean(row["given_name"])]}],
        "gender": SEXES[row["sex"]],
        "birthDate": row["birth_date"],
        "address": [{"city": clean(row["village"])}],
    }


def observation(row, text, value, unit):
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": text},
        "subject": {"reference": f"Patient/{row['patient_id']}"},
        "valueQuantity": {"value": value, "unit": unit},
    }


def main(state):
    entries = []
    for row in state.data.good:
        entries.append(patient(row))
        entries.append(observation(row, "Body weight", number(row["weight_kg"]), "kg"))
        entries.append(observation(row, "Temperature", number(row["temperature_c"]), "C"))
    print(f"{len(entries)} resources of {len(state.data.good)} patients")
    return {"data": {"resourceType": "Bundle", "type": "transaction", "entry": entries}}
