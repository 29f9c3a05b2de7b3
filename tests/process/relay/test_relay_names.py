"""Questions for names: what the relay answers to a job, and what it makes of answers from outside."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time

import pytest
from relay_world import CNAME, NAME_SERVER, TXT, WAIT_S, A, question, read_answer, receive, reply

from engine.network.relay.share import MOST_UNITS, UNITS_IN_A_SECOND

OUTSIDE = "203.0.113.5"


@pytest.fixture(scope="module", autouse=True)
def outside(world):
    """A server at every address of the world, which says at which address it was reached."""
    from relay_world import served

    def say(end):
        end.sendall(end.getsockname()[0].removeprefix("::ffff:").encode())
        end.recv(1)

    with served(world.space.listener("::", 443), say):
        yield


def over_tcp(run, *messages):
    """Send questions over one connection, all at once; return the answers."""
    with run.space.socket() as end:
        end.settimeout(WAIT_S)
        end.connect((NAME_SERVER, 53))
        end.sendall(b"".join(len(one).to_bytes(2, "big") + one for one in messages))
        answers = []
        for _ in messages:
            head = receive(end, 2)
            if not head:
                break
            answers.append(receive(end, int.from_bytes(head, "big")))
        return answers


def test_names_are_answered_over_tcp(job):
    """Several questions in one connection get their answers in order."""
    run = job("api.example.org", "b.example.org")
    answers = over_tcp(
        run, question("api.example.org"), question("b.example.org"), question("no.org")
    )
    assert [read_answer(one) for one in answers] == [
        (0, ["198.18.0.1"]),
        (0, ["198.18.0.2"]),
        (3, []),
    ]


def test_a_rule_for_port_53_and_the_name_server_do_not_meet(job, world):
    """A listener on port 53 serves the names at their address, and hosts at all others."""
    from relay_world import echo, served

    run = job("203.0.113.5:53", ports=(443,))
    run.close()
    with served(world.space.listener(OUTSIDE, 53), echo):
        run = job("203.0.113.5:53", "api.example.org", ports=(53,), with_stream_names=False)
        with run.connect(OUTSIDE, 53) as end:
            end.sendall(b"hello")
            assert end.recv(10) == b"hello"
        assert [read_answer(one) for one in over_tcp(run, question("api.example.org"))] == [
            (0, ["198.18.0.1"])
        ]


def test_a_question_keeps_its_case_and_number_in_the_answer(job):
    """Some resolvers use both as a protection against forged answers."""
    message = question("aPi.ExAmPlE.oRg", number=0xBEEF)
    answer = job("api.example.org").ask(message)
    assert answer[:2] == b"\xbe\xef"
    assert answer[12 : len(message)] == message[12:]


def test_other_types_of_an_allowed_name_are_empty(job):
    """No record, and no error: a resolver then does not take the name for missing."""
    run = job("api.example.org")
    assert [
        read_answer(run.ask(question("api.example.org", kind))) for kind in (TXT, CNAME, 65, 255)
    ] == [(0, [])] * 4


def test_an_option_of_edns_is_ignored(job):
    """The C library sends one with `options edns0`."""
    message = question("api.example.org")
    message = message[:10] + b"\0\1" + message[12:] + b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0)
    assert read_answer(job("api.example.org").ask(message)) == (0, ["198.18.0.1"])


HOSTILE = [
    ("no question", b"\0\7\1\0" + bytes(8), 1),
    ("two questions", b"\0\7\1\0\0\2" + bytes(6) + question("api.example.org")[12:] * 2, 1),
    ("an answer in it", b"\0\7\1\0\0\1\0\1" + bytes(4) + question("api.example.org")[12:], 1),
    ("a pointer to itself", b"\0\7\1\0\0\1" + bytes(6) + b"\xc0\x0c\0\1\0\1", 1),
    ("a name without end", b"\0\7\1\0\0\1" + bytes(6) + b"\x3f" + b"a" * 20, 1),
    (
        "a name of 300 bytes",
        b"\0\7\1\0\0\1" + bytes(6) + (b"\x3b" + b"a" * 59) * 5 + b"\0\0\1\0\1",
        1,
    ),
    ("bytes behind it", question("api.example.org") + b"x", 1),
    ("another class", question("api.example.org")[:-1] + b"\3", 5),
    ("an update", b"\0\7\x29\0" + question("api.example.org")[4:], 4),
    ("the root", question(""), 3),
    ("a dot in a label", b"\0\7\1\0\0\1" + bytes(6) + b"\x0fapi.example.org\0\0\1\0\1", 3),
    ("a zero byte", b"\0\7\1\0\0\1" + bytes(6) + b"\x03api\x08example\0\x03org\0\0\1\0\1", 3),
    ("UTF-8", question("b\u00fccher.example.org"), 3),
]


@pytest.mark.parametrize(
    ("message", "code"), [one[1:] for one in HOSTILE], ids=[one[0] for one in HOSTILE]
)
def test_a_hostile_question_gets_an_error(job, message, code):
    """And the next question is answered as always."""
    run = job("api.example.org")
    assert read_answer(run.ask(message)) == (code, [])
    assert run.addresses("api.example.org") == ["198.18.0.1"]


def test_answers_and_scraps_are_not_answered(job):
    """Two servers could otherwise answer each other for ever."""
    run = job("api.example.org")
    with run.space.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.settimeout(WAIT_S)
        end.connect((NAME_SERVER, 53))
        for scrap in (b"", b"x", bytes(11), b"\0\7\x81\0" + question("api.example.org")[4:]):
            end.send(scrap)
        end.send(question("api.example.org", number=99))
        assert end.recv(4096)[:2] == b"\0\x63"


@pytest.mark.parametrize(
    "data", [b"\xff\xff" + bytes(100), b"\0\0", b"\0\1x", b"\0\x0c" + b"\0\7\x81\0" + bytes(8)]
)
def test_a_stream_of_garbage_is_closed(job, data):
    """The relay keeps nothing of it."""
    run = job("api.example.org")
    with run.space.socket() as end:
        end.settimeout(WAIT_S)
        end.connect((NAME_SERVER, 53))
        end.sendall(data)
        assert end.recv(10) == b""
    assert run.addresses("api.example.org") == ["198.18.0.1"]


def test_streams_of_questions_are_limited(job):
    """A ninth connection for names is closed while eight are open, and there is room after that."""
    run = job("api.example.org")
    ends = [run.space.socket() for _ in range(9)]
    for end in ends:
        end.settimeout(WAIT_S)
        end.connect((NAME_SERVER, 53))
    assert ends[8].recv(1) == b""
    for end in ends:
        end.close()
    assert run.ask(question("api.example.org"))
    assert over_tcp(run, question("api.example.org"))


def test_the_names_of_one_run_mean_nothing_in_another(job):
    """A job cannot use an address that was given out to somebody else."""
    first, second = job("api.example.org"), job("fixed.example.org")
    address = first.addresses("api.example.org")[0]
    assert second.refused(address, 443).reason == "no rule allows it"


# Answers from outside


def reached(run, name):
    """Connect to a name, and return at which address the server was reached."""
    with run.connect(name, 443) as end:
        return end.recv(100).decode()


def test_a_name_that_changes_its_address_is_looked_up_for_each_connection(job, world):
    """The answer for one connection is checked and used; a later one is checked again."""
    world.names.records["moves.example.org"] = ["203.0.113.5"]
    run = job("moves.example.org:443")
    run.addresses("moves.example.org")
    world.names.records["moves.example.org"] = ["203.0.113.6"]
    assert reached(run, "moves.example.org") == "203.0.113.6"
    assert run.ended().outcome == "open"
    world.names.records["moves.example.org"] = ["127.0.0.1"]
    assert run.refused("moves.example.org", 443).outcome == "refused"


def test_a_name_server_that_changes_its_answer_is_asked_once_for_a_connection(job, world):
    """The address that was checked is the one that is used."""
    answers = iter(["203.0.113.5"])

    def changing(message, over_tcp):
        kind = int.from_bytes(message[-4:-2], "big")
        if kind != A:
            return reply(message, [])
        return reply(message, [(A, socket.inet_aton(next(answers, "127.0.0.1")))])

    world.names.records["rebinds.example.org"] = changing
    assert reached(job("rebinds.example.org:443"), "rebinds.example.org") == "203.0.113.5"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("127.0.0.1", "127.0.0.1 outside, a loopback address"),
        ("0.0.0.0", "0.0.0.0 outside, an unspecified address"),
        ("169.254.169.254", "169.254.169.254 outside, a link-local address"),
        ("224.0.0.1", "224.0.0.1 outside, a multicast address"),
        ("255.255.255.255", "255.255.255.255 outside, a broadcast address"),
        ("::1", "::1 outside, a loopback address"),
        ("::", ":: outside, an unspecified address"),
        ("fe80::1", "fe80::1 outside, a link-local address"),
        ("::ffff:127.0.0.1", "127.0.0.1 outside, a loopback address"),
        ("::ffff:169.254.169.254", "169.254.169.254 outside, a link-local address"),
        ("::127.0.0.1", "::7f00:1 outside, a loopback address in IPv6 form"),
        (
            "64:ff9b::169.254.169.254",
            "64:ff9b::a9fe:a9fe outside, a link-local address in IPv6 form",
        ),
        ("fd00:ec2::254", "fd00:ec2::254 outside, a metadata address of a cloud"),
        ("168.63.129.16", "168.63.129.16 outside, a metadata address of a cloud"),
        ("2002:7f00:1::1", "2002:7f00:1::1 outside, a loopback address in IPv6 form"),
    ],
)
@pytest.mark.parametrize("rule", ["near.wild.example.org:443", "*:443"])
def test_an_answer_with_a_near_address_is_refused(job, world, rule, address, shown):
    """For all rules that allow the name, an address of the machine needs a rule that names it."""
    world.names.records["near.wild.example.org"] = [address]
    found = shown.partition(" ")[0]
    place = f"[{found}]" if ":" in found else found
    ended = job(rule).refused("near.wild.example.org", 443)
    assert (ended.outcome, ended.reason) == (
        "refused",
        f"near.wild.example.org is {shown}; to allow that, add '{place}:443' to the rules",
    )


def test_near_addresses_among_others_are_left_out(job, world):
    """The other addresses still serve."""
    world.names.records["mixed.example.org"] = ["127.0.0.1", "169.254.169.254", "203.0.113.8"]
    assert reached(job("mixed.example.org:443"), "mixed.example.org") == "203.0.113.8"


def names_in(message):
    return message[12 : message.index(b"\0", 12) + 1]


def truncated_or(records):
    """Answer with everything over TCP; over UDP only say that it is too long."""

    def answer(message, over_tcp):
        return reply(message, records(message) if over_tcp else [], flags=0 if over_tcp else 0x0200)

    return answer


def test_an_answer_with_thousands_of_addresses_is_looked_at_in_part(job, world):
    """The first addresses serve, and the relay stays as it was."""
    many = [
        (A, socket.inet_aton(f"203.0.{number // 250}.{number % 250 + 1}"))
        for number in range(4_000)
    ]
    world.names.records["many.example.org"] = truncated_or(
        lambda message: many if message[-4:-2] == b"\0\1" else []
    )
    run = job("many.example.org:443", "203.0.113.5:443")
    assert reached(run, "many.example.org").startswith("203.0.")
    assert reached(run, OUTSIDE) == OUTSIDE


@pytest.mark.parametrize(
    "answer",
    [
        lambda message, _: reply(message, [(CNAME, names_in(message))] * 9),
        lambda message, _: reply(message, [(CNAME, b"\xc0\x0c")]),
        lambda message, _: reply(message, [(A, b"\x7f\0\0\1\0\0")]),
        lambda message, _: message[:2] + os.urandom(40),
        lambda message, _: message[:2] + b"\x81\x80\0\1\xff\xff\0\0\0\0" + message[12:],
        lambda message, _: reply(message, [], code=2),
        truncated_or(lambda message: [(TXT, os.urandom(60_000))]),
    ],
    ids=["loop", "itself", "long address", "noise", "a count too high", "failure", "long"],
)
def test_a_hostile_answer_ends_one_connection_only(job, world, answer):
    """The job sees a reset, the report has a reason, and the next connection works."""
    world.names.records["bad.example.org"] = answer
    run = job("bad.example.org:443", "203.0.113.5:443")
    ended = run.refused("bad.example.org", 443)
    assert ended.outcome == "failed"
    assert "name" in ended.reason
    assert reached(run, OUTSIDE) == OUTSIDE


def test_a_name_that_does_not_exist_outside_fails(job):
    """The rule allows it, so its address inside exists."""
    ended = job("nowhere.example.org:443").refused("nowhere.example.org", 443)
    assert (ended.outcome, ended.reason) == ("failed", "the name does not exist")


def test_slow_names_of_a_run_do_not_hold_up_another(job, world):
    """A name server that never answers keeps four threads at most."""
    world.names.records["slow.example.org"] = lambda *_: b""
    for number in range(40):
        world.names.records[f"s{number}.slow.example.org"] = lambda *_: b""
    slow = job("*.slow.example.org:443")
    began_s = time.monotonic()
    with contextlib.ExitStack() as stack:
        for number in range(40):
            stack.enter_context(slow.connect(f"s{number}.slow.example.org", 443))
        world.names.records["quick.example.org"] = ["203.0.113.5"]
        assert reached(job("quick.example.org:443"), "quick.example.org") == "203.0.113.5"
        asked = set(world.names.asked) & {f"s{number}.slow.example.org" for number in range(40)}
        # A thread that has waited a second for an answer asks for the next name.
        assert len(asked) <= 4 * (1 + int(time.monotonic() - began_s))


def test_a_new_resolv_conf_is_used_by_the_next_connection(job, world):
    """The relay may live for weeks, and the network of a machine changes."""
    server = type(world.names)(world.space, "127.0.0.54")
    server.records["only.example.org"] = ["203.0.113.5"]
    run = job("only.example.org:443")
    assert run.refused("only.example.org", 443).outcome == "failed"
    before = world.resolv_conf.read_text()
    world.resolv_conf.write_text("nameserver 127.0.0.54\n")
    try:
        assert reached(run, "only.example.org") == "203.0.113.5"
    finally:
        world.resolv_conf.write_text(before)
        server.close()


def test_a_run_that_floods_the_relay_waits_for_its_share(job, world):
    """All of its questions are answered, but not at the speed at which a job can ask."""
    world.names.records["api.example.org"] = [OUTSIDE]
    run = job("api.example.org:443")
    window, count = 50, 3_000
    least_s = (count - MOST_UNITS) / UNITS_IN_A_SECOND
    with run.space.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.settimeout(30)
        end.connect((NAME_SERVER, 53))
        began = time.monotonic()
        for _ in range(count // window):
            for number in range(window):
                end.send(question("api.example.org", number=number))
            for _ in range(window):
                assert read_answer(end.recv(512))[0] == 0
        taken_s = time.monotonic() - began
    assert taken_s >= 0.95 * least_s
    assert reached(run, "api.example.org") == OUTSIDE  # and the run goes on
