get("patients", query={"since": state.since})
