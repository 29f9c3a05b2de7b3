# Only if the register took all of it; try `jobcell run` with a larger "max_entries" in plan.json.
def main(state):
    return {"data": {"confirmed": state.data.submitted}}
