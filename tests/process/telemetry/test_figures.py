"""Figures and log records of runs with real children."""

from __future__ import annotations

import logging

import pytest
from runs import QUICK, job, make_engine
from telemetered import kept

from engine import EngineError
from jobcell import telemetry
from jobcell.telemetry import measures
from jobcell.telemetry.measures import ALL


def test_figures_count_what_has_happened(zygote):
    """Ends, durations, retries; a class without an error has no attribute."""
    step = {
        "id": "a",
        "expression": "import jobcell_context\n" + job("1 / (jobcell_context.attempt - 1)"),
    }
    step["retry"] = {"attempts": 2, "delay": 1, "on": ["RuntimeError"]}
    with kept(zygote) as found:
        assert (
            zygote.execute({"workflow": {"steps": [step]}}, options=QUICK).result().reason
            == "success"
        )
        assert zygote.execute(job("1 / 0"), options=QUICK).result().reason == "fail"
        found.all()
        figures = found.figures()
    assert figures["jobcell.runs"] == {("success",): 1, ("fail",): 1}
    assert figures["jobcell.run.duration"] == {("success",): 1, ("fail",): 1}
    assert figures["jobcell.run.wait"] == {(): 2}
    assert figures["jobcell.attempt.duration"] == {(): 1, ("RuntimeError",): 2}
    assert figures["jobcell.retries"] == {("RuntimeError",): 1}
    assert figures["jobcell.queued"] == figures["jobcell.running"] == {(): 0}


@pytest.mark.parametrize(
    ("mode", "kind"), [("exec", "exec"), ("zygote", "zygote"), ("zygote+spare", "spare")]
)
def test_starts_are_counted_by_kind(mode, kind):
    """Each child of a run has come about in one way."""
    with make_engine(mode) as engine, kept(engine) as found:
        assert engine.execute(job("pass"), options=QUICK).result().reason == "success"
        starts = {key[0]: value for key, value in found.figures()["jobcell.starts"].items()}
    assert sum(starts.values()) == 1
    # The spare may not be there yet when the first run comes.
    assert starts[kind] == 1 or (kind == "spare" and starts["zygote"] == 1)


def test_the_queue_is_seen(zygote):
    """The first run has the place, and the second one waits."""
    with make_engine("zygote", max_runs=1) as engine, kept(engine) as found:
        first = engine.execute(job("import time\ntime.sleep(60)"), options=QUICK)
        second = engine.execute(job("pass"), options=QUICK)
        while not first.poll(timeout_s=1):
            pass
        figures = found.figures()
        first.cancel()
        assert second.result().reason == "success"
    assert (figures["jobcell.running"], figures["jobcell.queued"]) == ({(): 1}, {(): 1})


def test_a_tally_counts_the_same():
    """The page of Prometheus and OpenTelemetry have one source."""
    tally = telemetry.Tally()
    feed = telemetry.Feed([tally])
    with make_engine("zygote") as engine, kept(engine) as found:
        feed.observe(engine)
        for source in (job("pass"), job("1 / 0"), "def main(state:"):
            engine.execute(source, options=QUICK).result()
        assert feed.flush(30)
        found.all()
        figures = found.figures()
    feed.close()
    for (reason,), count in figures["jobcell.runs"].items():
        assert tally.total(measures.RUNS, reason) == count
    assert tally.count(measures.ATTEMPT_DURATION) == sum(
        figures["jobcell.attempt.duration"].values()
    )
    page = telemetry.page(tally.families)[0].decode()
    assert 'jobcell_runs_total{reason="crash"} 1.0' in page
    assert 'jobcell_runs_total{reason="kill"} 0.0' in page
    assert 'jobcell_attempt_duration_seconds_count{error_type="RuntimeError"} 1.0' in page
    assert 'jobcell_net_bytes_total{network_io_direction="transmit"} 0.0' in page


def test_no_two_figures_have_the_same_name_on_a_page():
    """A name for OpenTelemetry and one for Prometheus belong together."""
    assert len({measure.page_name for measure in ALL}) == len({m.name for m in ALL}) == len(ALL)


class Collecting(logging.Handler):
    """Keeps records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record):
        self.records.append(record)


@pytest.fixture
def jobs():
    """A logger with a handler that keeps records."""
    logger = logging.getLogger("jobcell.jobs.test")
    handler = Collecting()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield handler
    logger.removeHandler(handler)


def test_log_lines_are_records_with_ids(zygote, jobs):
    """They have the time of the line, and formats of the user are left alone."""
    with telemetry.log_jobs(zygote, "jobcell.jobs.test") as made:
        run = zygote.execute(job("print('100 % of {} rows')"), options=QUICK)
        run.result()
        assert made.flush(30)
    (line,) = [event for event in run.poll(after=0) if event.type == "log"]
    (record,) = jobs.records
    assert record.getMessage() == line.message == "100 % of {} rows"
    assert (record.run_id, record.step_id, record.step_run_id, record.attempt) == (
        run.id,
        "job-1",
        "job-1",
        1,
    )
    assert (record.source, record.levelname, record.created) == ("job", "INFO", line.time)


def test_a_level_that_nobody_wants_is_left_out(zygote, jobs):
    """The logger decides, as for any other program."""
    logging.getLogger("jobcell.jobs.test").setLevel(logging.WARNING)
    with telemetry.log_jobs(zygote, "jobcell.jobs.test") as made:
        zygote.execute(job("print('quiet')"), options=QUICK).result()
        assert made.flush(30)
    assert jobs.records == []


def test_an_engine_has_one_of_each_observer(zygote):
    """Twice the same would count everything twice."""
    feed = telemetry.Feed([])
    feed.observe(zygote)
    with pytest.raises(EngineError, match="was added to the engine already"):
        feed.observe(zygote)
    feed.close()


def test_there_must_be_something_to_follow():
    """A call without a target is a mistake."""
    with pytest.raises(TypeError, match="needs an engine, a worker or a store"):
        telemetry.instrument()
