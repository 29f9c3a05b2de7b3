from pathlib import Path

import pytest

from jobcell.testing import JobFailedError, raises

FETCH = Path("../fetch.py")
PLAN = Path("../plan.json")


def test_only_new_patients_are_asked_for(run_job, fake_adaptor):
    http = fake_adaptor("http", get=[])
    run_job(FETCH, {"since": "2026-11-01"}, adaptor="http")
    (call,) = http.calls
    assert call.kwargs == {"query": {"since": "2026-11-01"}}


def test_an_answer_of_the_real_registry(run_job, http_cassette):
    registry = http_cassette("http://127.0.0.1:8765")
    login = {"base_url": registry.url, "access_token": "sesame"}
    state = run_job(FETCH, {"since": "2026-11-01"}, adaptor="http", configuration=login)
    assert state["data"] == [{"name": "Ada", "age": 36}, {"name": "Tim", "age": 7}]


def test_a_registry_that_is_away_fails_the_step(run_plan, fake_adaptor):
    fake_adaptor("http", get=raises("UnreachableError", "no answer", retryable=True))
    with pytest.raises(JobFailedError, match="no answer"):
        run_plan(PLAN, {"since": "2026-11-01"}, credentials={"registry": {}})


@pytest.mark.parametrize(("ages", "steps"), [([], ["fetch"]), ([36], ["fetch", "report"])])
def test_a_report_needs_patients(run_plan, fake_adaptor, ages, steps):
    fake_adaptor("http", get=[{"name": "Ada", "age": age} for age in ages])
    state = run_plan(PLAN, {"since": "2026-11-01"}, credentials={"registry": {}})
    assert state.steps == steps
