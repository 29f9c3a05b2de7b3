def main(state):
    adults = [p for p in state.data if p["age"] >= 18]
    return {**state, "report": f"{len(adults)} of {len(state.data)} patients are adults"}
