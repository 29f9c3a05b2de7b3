# The export of the clinic is one CSV text. Make it a list of rows, each with its line number.
import csv
import io


def main(state):
    reader = csv.DictReader(io.StringIO(state.data.export))
    rows = [{**row, "line": reader.line_num} for row in reader]
    print(f"read {len(rows)} rows, columns: {', '.join(reader.fieldnames)}")
    return {**state, "data": {"rows": rows, "exported": state.data.exported}}
