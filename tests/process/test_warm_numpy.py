"""Each fork of a warm zygote has numbers of its own from numpy's global generator, unless it was seeded."""

from __future__ import annotations

from pathlib import Path

import pytest
from warm_pairs import WarmRepo, pair, plan_of, run, wait_until_decided

NUMPY = """
import os

class Sequence:
    def __init__(self, entropy=None, *, spawn_key=()):
        self.entropy = os.urandom(8) if entropy is None else entropy
        self.spawn_key = spawn_key

class MT19937:
    def __init__(self, sequence):
        self._seed_seq = sequence
        number = int.from_bytes(sequence.entropy, "little")
        self.state = {"state": {"key": [number % (2 ** 32)] + [7] * 623}}

class Generator:
    def __init__(self):
        self._bit_generator = MT19937(Sequence())

    def seed(self, number=None):
        self._bit_generator = MT19937(Sequence(None if number is None else bytes([number])))
        self._bit_generator._seed_seq = None
        self.born_in = os.getpid()

    def draw(self):
        return self._bit_generator.state["state"]["key"][0]

_rand = Generator()
"""
"""The parts of numpy.random.mtrand that the engine looks at: the state, and where it comes from."""


@pytest.mark.parametrize("seeded", [False, True])
def test_forks_share_numbers_only_if_the_adaptor_has_seeded(tmp_path: Path, *, seeded: bool):
    """The generator gets its seed before the fork, so that no run waits for it."""
    repo = WarmRepo(tmp_path / "repo")
    repo.add(
        "draws",
        "from numpy.random.mtrand import _rand\n"
        + ("_rand.seed(5)\n" if seeded else "")
        + "import os\ndef use():\n    return lambda state: {'drawn': _rand.draw(),"
        " 'here': getattr(_rand, 'born_in', 0) == os.getpid()}\n",
    )
    place = repo.path / "draws_1.0.0" / "numpy" / "random"
    place.mkdir(parents=True)
    (place / "mtrand.py").write_text(NUMPY)
    for package in (place, place.parent):
        (package / "__init__.py").write_text("")
    plan = plan_of({"id": "s", "adaptor": "draws", "expression": "use()"})
    with pair(repo, max_runs=1) as (_, warm):
        for _ in range(2):
            run(warm, plan)
        assert wait_until_decided(warm, "draws").warm
        states = [run(warm, plan)[0].state for _ in range(4)]
        assert len({state["drawn"] for state in states}) == (1 if seeded else 4)
        assert not any(state["here"] for state in states)
