"""The cost of redaction: 10 MB of state and 200 secrets, against encoding and decoding alone.

Run as ``python -m benchmarks.bench_redaction``.  Prints the best and the median of some rounds in
milliseconds.  Other ways of searching are measured as well: an alternation of `re`, one
`bytes.find` per needle, and pyahocorasick where it is installed.
"""

from __future__ import annotations

import gc
import platform
import random
import re
import statistics
import string
import time
from collections.abc import Callable
from typing import Any

import msgspec

from engine.reporting.redaction import Redactor
from engine.reporting.redaction.matcher import Matcher
from engine.reporting.redaction.spellings import spellings
from protocol.state import decode_state, encode_state

STATE_BYTES = 10_000_000
SECRETS = 200
ROUNDS = 5


def make_state(size: int) -> dict[str, Any]:
    """Return nested records whose JSON has about *size* bytes, the same records every time."""
    random_numbers = random.Random(42)
    people: list[dict[str, Any]] = []
    made = 0
    while made < size:
        number = len(people)
        person = {
            "id": number,
            "uuid": f"{random_numbers.getrandbits(128):032x}",
            "name": f"Person {number}",
            "active": number % 3 == 0,
            "score": random_numbers.random() * 1000,
            "tags": ["alpha", "beta", f"t{number % 97}"],
            "address": {"street": f"{number % 999} Main Street", "city": f"City-{number % 53}"},
            "visits": [
                {"at": 1_700_000_000 + 7 * number + day, "value": random_numbers.randrange(10_000)}
                for day in range(4)
            ],
            "text": "the quick brown fox jumps over the lazy dog, é " * 2,
        }
        people.append(person)
        made += len(msgspec.json.encode(person)) + 1
    return {"data": {"people": people}}


def make_secrets() -> dict[str, list[str]]:
    """Return secrets of several kinds; the last ones are made to be slow."""
    choices = random.Random(1).choices
    letters = string.ascii_letters + string.digits
    alphabets = {
        "40 letters and digits": (letters, 40),
        "32 hex digits": ("0123456789abcdef", 32),
        "10 characters of a password": (letters + "!$_-/", 10),
        "8 small letters": (string.ascii_lowercase, 8),
        "14 of the most frequent characters": ("eta 01:{\"'\\\n", 14),
    }
    made = {
        kind: ["".join(choices(alphabet, k=size)) for _ in range(SECRETS)]
        for kind, (alphabet, size) in alphabets.items()
    }
    return {"one password": ["s3cret-Pa55"], **made}


def show(label: str, action: Callable[[], object], rounds: int = ROUNDS) -> None:
    taken = []
    for _ in range(rounds):
        begin = time.perf_counter()
        action()
        taken.append((time.perf_counter() - begin) * 1000)
    print(f"{label:52}{min(taken):10.2f}{statistics.median(taken):10.2f}")


def others(encoded: bytes, needles: list[bytes]) -> None:
    """Measure the ways of searching that the engine does not use."""
    alternation = re.compile(b"|".join(map(re.escape, needles)))
    show(
        "  re, alternation of all needles, 0.1 MB", lambda: alternation.search(encoded[:100_000]), 1
    )
    show("  bytes.find for each needle", lambda: [encoded.find(n) for n in needles], 1)
    try:
        import ahocorasick
    except ImportError:
        print("  pyahocorasick is not installed")
        return
    automaton = ahocorasick.Automaton()
    for needle in needles:
        automaton.add_word(needle.decode("latin-1"), needle)
    show("  pyahocorasick, build", automaton.make_automaton, 1)
    show(
        "  pyahocorasick, search",
        lambda: next(automaton.iter(encoded.decode("latin-1")), None),
    )


def main() -> None:
    print(f"CPython {platform.python_version()}, {platform.machine()}; ms")
    print(f"{'':52}{'best':>10}{'median':>10}")
    state = make_state(STATE_BYTES)
    encoded = encode_state(state)
    gc.disable()
    show(f"encode {len(encoded) / 1e6:.1f} MB", lambda: encode_state(state))
    show("decode it", lambda: decode_state(encoded))
    gc.enable()
    show("redact it, no credentials", lambda: Redactor().raw(encoded))
    for kind, secrets in make_secrets().items():
        redactor = Redactor()
        begin = time.perf_counter()
        redactor.learn(secrets)
        learned = time.perf_counter()
        redactor.text("x")  # builds the matcher
        built = time.perf_counter()
        needles = sorted(set().union(*map(spellings, secrets)))
        print(f"{len(secrets)} x {kind}: {len(needles)} spellings, ", end="")
        print(f"learnt in {(learned - begin) * 1e3:.1f}, built in {(built - learned) * 1e3:.1f}")
        assert redactor.raw(encoded) is None
        show("  state without a secret", lambda redactor=redactor: redactor.raw(encoded))
        hit = encode_state({**state, "leak": [secrets[0]]})
        show("  state with one", lambda redactor=redactor, hit=hit: redactor.raw(hit))
        if kind.startswith("40"):
            others(encoded, needles)
    redactor = Redactor()
    redactor.learn(["Main Street"])
    show("state with a secret in every record", lambda: redactor.raw(encoded))
    line = "an ordinary line of a log with about eighty characters and with nothing in it ok"
    show("1000 lines of a log", lambda: [redactor.text(line) for _ in range(1000)])
    records = redactor.records()
    show("1000 lines of a log, as records", lambda: [records.feed(0, line) for _ in range(1000)])
    matcher = Matcher([b"a" * 5000 + b"b"])
    show("10 MB that keeps almost matching", lambda: matcher.spans(b"a" * 10_000_000), 1)


if __name__ == "__main__":
    main()
