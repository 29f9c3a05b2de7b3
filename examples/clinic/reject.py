# Bad rows become a report for the clinic: the mistakes to correct, and the number of each kind.
import re
from collections import Counter


def main(state):
    problems = [problem for row in state.data.bad for problem in row["problems"]]
    kinds = Counter(re.split(":| line ", problem)[0] for problem in problems)
    return {
        "data": {
            "rejected": len(state.data.bad),
            "problems": dict(kinds.most_common()),
            "lines": [f"line {row['line']}: {'; '.join(row['problems'])}" for row in state.data.bad],
        }
    }
