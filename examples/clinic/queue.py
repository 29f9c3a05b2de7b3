# The register refused the bundle: cut it into one per patient, and leave these for the night.
PER_BATCH = 50


def main(state):
    error = state["errors"]["submit"]
    print(f"submit failed: {error['message']}")

    by_patient = {}
    for resource in state.data.entry:
        reference = resource.get("subject", {}).get("reference")
        by_patient.setdefault(reference or f"Patient/{resource['id']}", []).append(resource)

    patients = list(by_patient)
    batches = [patients[begin : begin + PER_BATCH] for begin in range(0, len(patients), PER_BATCH)]
    return {
        "data": {
            "queued": [
                {
                    "batch": number,
                    "patients": len(batch),
                    "entries": sum(len(by_patient[name]) for name in batch),
                    "first": batch[0],
                    "last": batch[-1],
                }
                for number, batch in enumerate(batches, start=1)
            ],
            "example": by_patient[patients[0]],
        },
    }
