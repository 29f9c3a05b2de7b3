"""The verbs of fhir work with a server: resources, searches with pages, transactions, errors."""

from __future__ import annotations

import pytest
from fhir import (
    ArgumentError,
    OutcomeError,
    ResourceError,
    add_to_bundle,
    b,
    create,
    create_bundle,
    delete,
    read,
    search,
    update,
    upload_bundle,
)
from fhir.bundles import sorted_entries
from fhir_server import FhirServer
from http_ import HttpError, ResponseError

pytestmark = [pytest.mark.usefixtures("forget_sessions"), pytest.mark.slow]


@pytest.fixture
def server():
    """A FHIR server with three patients."""
    with FhirServer() as running:
        for number, family in enumerate(("Lovelace", "Hopper", "Hamilton"), 1):
            patient = b.patient(id=str(number), name={"family": family}, gender="female")
            running.resources[f"Patient/{number}"] = patient
        yield running


@pytest.fixture
def state(server):
    """A state with the address of the server."""
    return {"configuration": {"base_url": server.url, "access_token": "t0ken-t0ken"}, "data": "old"}


def test_a_resource_is_read(server, state):
    """The state has the resource, the response, and the data before."""
    after = read(lambda state: "Patient/" + str(1))(state)
    assert after["data"]["name"] == [{"family": "Lovelace"}]
    assert after["references"] == ["old"]
    assert after["response"]["status"] == 200
    method, path, headers = server.seen[0]
    assert (method, path, headers["accept"]) == ("GET", "/fhir/Patient/1", "application/fhir+json")
    assert headers["authorization"] == "Bearer t0ken-t0ken"


def test_a_resource_is_created_and_updated_and_deleted(server, state):
    """The server gives the id; the builder may be lazy."""
    made = create(b.patient({"name": lambda state: {"family": state["data"]}}))(state)
    own_id = made["data"]["id"]
    assert made["data"]["name"] == [{"family": "old"}]
    assert server.seen[0][2]["content-type"] == "application/fhir+json"
    changed = update(f"Patient/{own_id}", b.patient(name="New"))(made)
    assert changed["data"] == {"resourceType": "Patient", "name": [{"text": "New"}], "id": own_id}
    delete({"reference": f"Patient/{own_id}"})(changed)
    assert f"Patient/{own_id}" not in server.resources


def test_a_conditional_create_makes_one_resource(server, state):
    """A repeated step does not make a second one."""
    patient = b.patient(identifier=b.identifier("7", "http://x.example"))
    for _ in range(2):
        create(patient, if_none_exist="identifier=http://x.example")(state)
    assert sum("identifier" in one for one in server.resources.values()) == 1


def test_a_search_gives_the_resources_of_as_many_pages_as_asked(server, state):
    """The default is the first page. The response has the total and the next page."""
    one = search("Patient", last_updated="2024", count=10, query={"gender": "female"})(state)
    assert server.seen[0][1] == "/fhir/Patient?_lastUpdated=2024&_count=10&gender=female"
    assert [patient["id"] for patient in one["data"]] == ["1", "2"]
    assert one["response"]["total"] == 3
    assert one["response"]["next"].endswith("_page=2")
    for pages in (None, 2, 10):
        whole = search("Patient", pages=pages)(state)
        assert [patient["id"] for patient in whole["data"]] == ["1", "2", "3"]
        assert whole["response"]["next"] is None
    assert search("Observation")(state)["data"] == []
    options = {"name": "Hopper", "count": lambda state: 5}
    assert search("Patient", options)(state)["data"][0]["name"] == [{"family": "Hopper"}]


def test_a_transaction_is_built_and_uploaded(server, state):
    """Resources with an id are written under it; entries follow those that they refer to."""
    after = create_bundle("upload", timestamp="2024-05-06T07:08:09Z")(state)
    visit = b.encounter(
        id="v1", status="finished", class_=("AMB", "http://x"), subject="Patient/new"
    )
    after = add_to_bundle([visit, b.patient(id="new", active=True)], "upload")(after)
    after = add_to_bundle(b.organization(name="Clinic"), "upload")(after)
    assert [entry["request"]["method"] for entry in after["upload"]["entry"]] == [
        "PUT",
        "PUT",
        "POST",
    ]
    before = {**after, "upload": {**after["upload"]}}
    after = upload_bundle("upload")(after)
    assert after["data"]["type"] == "transaction-response"
    statuses = [entry["response"]["status"] for entry in after["data"]["entry"]]
    assert statuses == ["201", "201", "201"]
    locations = [entry["response"]["location"] for entry in after["data"]["entry"]]
    assert locations[:2] == ["Patient/new", "Organization/5"]
    assert after["upload"] == before["upload"]
    assert server.resources["Encounter/v1"]["subject"] == {"reference": "Patient/new"}


def test_an_operation_outcome_is_an_error_with_its_issues(server, state):
    """The text has the first error and its place."""
    with pytest.raises(
        OutcomeError, match=r"gave 422: gender is not known here at Patient\.gender"
    ) as caught:
        create(b.patient(gender="unknown"))(state)
    error = caught.value
    assert (error.status, error.retryable) == (422, False)
    assert error.issues == [
        {
            "severity": "error",
            "code": "invalid",
            "text": "gender is not known here",
            "path": "Patient.gender",
        }
    ]
    with pytest.raises(OutcomeError, match="404: Patient/77 is not known"):
        read("Patient/77")(state)


def test_other_failures_are_those_of_http(server, state):
    """A body that is not an OperationOutcome, and a server that does not answer."""
    with pytest.raises(OutcomeError, match="404: no API at "):
        read("Patient/1")({"configuration": {"base_url": server.url, "api_path": "other"}})
    with pytest.raises(HttpError, match="base_url"):
        read("Patient/1")({})


def test_an_answer_of_another_server_is_an_error_of_http(web, state):
    """The body says nothing of FHIR."""
    from web import Reply

    web.routes["/fhir/Patient/1"] = lambda _: Reply(500, {}, b"oops")
    state["configuration"]["base_url"] = web.url
    with pytest.raises(ResponseError, match="500") as caught:
        read("Patient/1")(state)
    assert not isinstance(caught.value, OutcomeError)
    with pytest.raises(ArgumentError, match="is api_path right"):
        search("Patient")(state)


@pytest.mark.parametrize(
    "reference",
    ["Patient", "Patient/", "/Patient/1", "patient/1", "Patient/../Secret/1", "Patient/..", "http://x/Patient/1", "Patient/1?x=1", 7, None],
)  # fmt: skip
def test_a_reference_is_a_type_and_an_id(server, state, reference):
    """Nothing else becomes a part of the URL."""
    for verb in (read(reference), delete(reference), update(reference, b.patient(active=True))):
        with pytest.raises(ArgumentError, match="Patient/123"):
            verb(state)
    assert server.seen == []


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (search("patient"), "needs the type of a resource"),
        (search("Patient/1"), "needs the type of a resource"),
        (search("Patient", pages=0), "pages is a number"),
        (search("Patient", query="a=b"), "query is a dict"),
        (create({"active": True}), "has no resourceType"),
        (create({"resourceType": "../x"}), "has no resourceType"),
        (update("Patient/1", {"resourceType": "Observation"}), "is missing"),
        (update("Patient/1", b.patient(id="2", active=True)), "the reference is Patient/1"),
        (update("Patient/1/_history/2", b.patient(active=True)), "cannot be changed"),
        (upload_bundle(), "'bundle' is not a bundle"),
        (upload_bundle({"a": 1}), "the argument is not a bundle"),
        (add_to_bundle({"resourceType": "Patient", "gendr": 1}), "does not exist"),
        (create_bundle(""), "the name of a bundle is a text"),
    ],
)
def test_wrong_arguments_are_found_before_anything_is_sent(server, state, operation, message):
    """The error says what is wrong."""
    with pytest.raises((ArgumentError, ResourceError), match=message):
        operation(state)
    assert server.seen == []


def test_a_resource_can_be_sent_without_a_check(server, state):
    """The server decides then."""
    wrong = {"resourceType": "Patient", "nick": "x"}
    with pytest.raises(ResourceError):
        create(wrong)(state)
    assert create(wrong, validate=False)(state)["data"]["nick"] == "x"


def test_entries_in_a_circle_keep_their_order():
    """All others come before them."""

    def entry(own_id, *needs):
        links = [{"other": {"reference": f"Patient/{need}"}} for need in needs]
        return {"resource": {"resourceType": "Patient", "id": own_id, "link": links}}

    entries = [entry("a", "b"), entry("b", "a"), entry("c", "d"), entry("d"), entry("e", "e")]
    found = [one["resource"]["id"] for one in sorted_entries(entries)]
    assert found == ["d", "e", "c", "a", "b"]


def test_many_entries_are_put_in_order():
    """Each entry refers to the next one, so all of them turn round."""
    entries = [
        {"resource": {"resourceType": "P", "id": str(n), "x": {"reference": f"P/{n + 1}"}}}
        for n in range(20_000)
    ]
    assert sorted_entries(entries) == entries[::-1]


def page(**more):
    """An answer to a search."""
    entry = [{"resource": {"resourceType": "Patient", "id": "1"}}, {"search": {"mode": "outcome"}}]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entry, **more}


@pytest.mark.parametrize("link", ["/fhir/Patient?p=2", "Patient?p=2", "?p=2"])
def test_a_link_to_the_next_page_may_be_relative(server, state, link):
    """It is relative to the page that has it."""
    answers = {"": page(link=[{"relation": "next", "url": link}]), "p=2": page()}
    server.handle = lambda _method, target, *_: (200, answers[target.partition("?")[2]])
    after = search("Patient", pages=None)(state)
    assert [one["id"] for one in after["data"]] == ["1", "1"]
    assert [seen[1] for seen in server.seen] == ["/fhir/Patient", "/fhir/Patient?p=2"]
    assert after["response"]["next"] is None


def test_a_page_that_leads_to_itself_is_an_error(server, state):
    """It would be read for ever."""
    server.handle = lambda *_: (200, page(link=[{"relation": "next", "url": "?p=2"}]))
    with pytest.raises(ArgumentError, match="was read already"):
        search("Patient", pages=None)(state)
    assert len(server.seen) == 2


def test_a_page_of_another_server_is_not_read(server, state):
    """The credentials are not for it; the first page can still be read."""
    link = {"relation": "next", "url": server.url.replace("127.0.0.1", "localhost") + "/fhir/P"}
    server.handle = lambda *_: (200, page(link=[link]))
    with pytest.raises(ArgumentError, match=r"is of another server .*; pages=1 fetches the first"):
        search("Patient", pages=2)(state)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "wrong", [{"entry": {"a": 1}}, {"entry": ["x"]}, {"link": {"relation": "next"}}, {"link": [1]}]
)
def test_a_malformed_answer_to_a_search_is_named(server, state, wrong):
    """And not an error of Python."""
    server.handle = lambda *_: (200, page(**wrong))
    with pytest.raises(
        ArgumentError, match=r"with a Bundle whose (entry|link) is not a list of dicts"
    ):
        search("Patient")(state)


def test_the_whole_resource_is_asked_for(server, state):
    """A server may answer with an empty body otherwise."""
    create(b.patient(active=True))(state)
    update("Patient/9", b.patient(active=True))(state)
    assert [seen[2]["prefer"] for seen in server.seen] == ["return=representation"] * 2


def test_a_refused_entry_of_a_batch_is_a_warning(server, state, caplog):
    """The other entries are done, so it is not an error."""
    issue = {"severity": "error", "code": "x", "details": {"coding": [{"display": "not here"}]}}
    outcome = {"resourceType": "OperationOutcome", "issue": [issue]}
    refused = {"response": {"status": "422 Unprocessable", "outcome": outcome}}
    answer = {
        "resourceType": "Bundle",
        "type": "batch-response",
        "entry": [{"response": {"status": "201"}}, refused],
    }
    server.handle = lambda *_: (200, answer)
    made = add_to_bundle([b.patient(id="1", active=True), b.patient(active=True)])(state)
    assert upload_bundle()(made)["data"] == answer
    [record] = caplog.records
    text = "the server has refused entries of the bundle: POST Patient (422, not here)"
    assert (record.levelname, record.getMessage()) == ("WARNING", text)


def test_something_else_under_the_name_of_a_bundle_is_named(server, state):
    """And wrong entries are problems of the resource."""
    with pytest.raises(
        ArgumentError, match="the state has 'bundle' already, which is not a bundle"
    ):
        add_to_bundle(b.patient(active=True))({**state, "bundle": "text"})
    with pytest.raises(ResourceError, match=r"Bundle.entry\[0\] must be a dict"):
        upload_bundle({"resourceType": "Bundle", "type": "batch", "entry": ["x"]})(state)
