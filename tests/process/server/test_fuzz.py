"""Made-up requests against the server's own document (OpenAPI) get no answer that the document does not have."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from serving import served

import jobcell
from jobcell.server import EngineBackend

if importlib.util.find_spec("schemathesis") is None:
    pytest.skip("no schemathesis: pip install 'jobcell[browser]'", allow_module_level=True)

EXAMPLES = 4
"""Random requests of each operation. Nearly 400 that are not random (the phase `coverage`) come before them."""

CHECKS = ("not_a_server_error", "status_code_conformance", "response_schema_conformance")


def test_no_request_breaks_the_document(tmp_path):
    """No status 500, no status and no body that the document does not name.

    A valid request may be refused: a schema cannot say all that makes a plan a correct one.
    """
    options = jobcell.RunOptions(timeout_s=2)
    backend = EngineBackend(jobcell.Engine(max_runs=2, options=options))
    with served(backend) as port:
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")),
                *("run", f"http://127.0.0.1:{port}/api/v1/openapi.json", "-n", str(EXAMPLES)),
                *("--exclude-path-regex", "stream$", "--phases", "examples,coverage,fuzzing"),
                *("--checks", ",".join(CHECKS), "--request-timeout", "90", "--no-color"),
            ],
            cwd=tmp_path,  # it keeps a directory of its own
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-4000:]
