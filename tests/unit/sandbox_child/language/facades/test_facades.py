"""The standard modules of a job work as Python's do, without the parts that lead outside."""

import gzip
import importlib
import sys
import zlib

import pytest

from sandbox_child.facts.module import FACTS, make_facts_module
from sandbox_child.language.facades import TABLE
from sandbox_child.language.facades.archives import MAX_OUTPUT_BYTES


def main(body):
    return "def main(state):\n" + "".join(f"    {line}\n" for line in body.strip().splitlines())


SAME_AS_PYTHON = {
    "abc": "from abc import ABC, abstractmethod\nclass A(ABC):\n  @abstractmethod\n  def m(self): ...\n"
    "class B(A):\n  def m(self): return 1\ntry: A()\nexcept TypeError as e: t = str(e)\nreturn B().m(), isinstance(B(), A), t",
    "asyncio": "import asyncio\nasync def f(x):\n  await asyncio.sleep(0)\n  return x\n"
    "async def g():\n  async with asyncio.TaskGroup() as tg: t = tg.create_task(f(3))\n"
    "  return [*await asyncio.gather(f(1), f(2)), t.result(), await asyncio.wait_for(f(4), 5)]\nreturn asyncio.run(g())",
    "base64": "import base64\nreturn base64.b64decode(base64.b64encode(b'x')), base64.urlsafe_b64encode(b'??')",
    "binascii": "import binascii\nreturn binascii.hexlify(b'ab'), binascii.crc32(b'x')",
    "bisect": "import bisect\nl = [1, 3]\nbisect.insort(l, 2)\nreturn l",
    "cached": "from functools import cached_property, lru_cache, cache\nn = []\nclass A:\n"
    "  @cached_property\n  def x(self):\n    n.append(1)\n    return 5\n"
    "@lru_cache(maxsize=None)\ndef f(k):\n  n.append(k)\n  return k\na = A()\n"
    "return [a.x, a.x, f(1), f(1), len(n), f.cache_info().hits]",
    "calendar": "import calendar\nreturn calendar.monthrange(2024, 2), list(calendar.day_name)[0], calendar.month(2024, 2), calendar.isleap(2000)",
    "collections": "from collections import Counter, OrderedDict, ChainMap, defaultdict, deque, namedtuple\n"
    "P = namedtuple('P', 'x y', defaults=[0])\np = P(1)\nd = defaultdict(list)\nd[1].append(2)\n"
    "return p, p._replace(x=2), p._asdict(), P._fields, str(p), dict(d), Counter('aab').most_common(1), deque([1], 2).pop(), ChainMap({1: 2})[1]",
    "contextlib": "from contextlib import contextmanager, suppress, ExitStack, closing, nullcontext\nl = []\n"
    "@contextmanager\ndef cm(x):\n  l.append(x)\n  try: yield x\n  finally: l.append('out')\n"
    "with cm(1) as v, suppress(KeyError): {}['a']\nwith ExitStack() as s: s.enter_context(cm(2))\nreturn l, v",
    "copy": "import copy\nclass A:\n  def __init__(self): self.x = [1]\na = A()\nb = copy.deepcopy(a)\nb.x.append(2)\nreturn a.x, copy.copy(a).x",
    "csv": "import csv, io\nf = io.StringIO()\nw = csv.DictWriter(f, ['a', 'b'])\nw.writeheader()\nw.writerow({'a': 1, 'b': 'x,y'})\n"
    "f.seek(0)\nreturn list(csv.DictReader(f)), list(csv.reader(['a;b'], delimiter=';'))",
    "dataclass": "from dataclasses import dataclass, field, asdict, astuple, replace, fields, FrozenInstanceError\n"
    "@dataclass(order=True)\nclass A:\n  x: int\n  y: list = field(default_factory=list)\n  z: int = field(default=3, repr=False)\n"
    "  def __post_init__(self): self.y.append(self.x)\n"
    "@dataclass(frozen=True, slots=True)\nclass B:\n  x: int = 1\n"
    "try: B().x = 2\nexcept FrozenInstanceError as e: t = str(e)\nexcept TypeError as e: t = str(e)\n"
    "return repr(A(1)), A(1) < A(2), asdict(A(1)), astuple(A(2)), replace(A(1), z=5).z, [f.name for f in fields(A)], B() == B(1), hash(B(1)) == hash(B(1)), t",
    "datetime": "from datetime import datetime, timedelta, timezone, date\nd = datetime.strptime('2026-01-31', '%Y-%m-%d').replace(tzinfo=timezone.utc)\n"
    "return d.isoformat(), (d + timedelta(days=1)).strftime('%d/%m'), d.date() < date(2027, 1, 1), d.timestamp()",
    "decimal": "from decimal import Decimal, localcontext, getcontext, ROUND_HALF_UP\nwith localcontext() as c:\n  c.prec = 4\n  x = Decimal(1) / 3\n"
    "return str(x), str(Decimal('2.5').quantize(Decimal(1), rounding=ROUND_HALF_UP)), getcontext().prec",
    "difflib": "import difflib\nreturn difflib.get_close_matches('appel', ['apple', 'pear']), list(difflib.unified_diff(['a'], ['b']))",
    "email": "from email.message import EmailMessage\nimport email, email.policy\nm = EmailMessage()\nm['Subject'] = 'Grüße'\nm['To'] = 'a@example.org'\n"
    "m.set_content('hello')\nm.add_attachment(b'x', maintype='application', subtype='pdf', filename='a.pdf')\n"
    "n = email.message_from_bytes(m.as_bytes(), policy=email.policy.default)\nreturn n['Subject'], [p.get_content_type() for p in n.walk()], n.get_body().get_content()",
    "email.mime": "from email.mime.multipart import MIMEMultipart\nfrom email.mime.text import MIMEText\nfrom email.utils import parseaddr, formataddr\n"
    "m = MIMEMultipart()\nm.attach(MIMEText('x', 'html'))\nreturn m.get_payload()[0].get_content_type(), parseaddr('A <a@b.c>'), formataddr(('A', 'a@b.c'))",
    "enum": "from enum import Enum, IntEnum, StrEnum, Flag, IntFlag, auto, unique\n@unique\nclass C(Enum):\n  A = auto()\n  B = auto()\n"
    "  @property\n  def low(self): return self.name.lower()\nclass S(StrEnum):\n  X = auto()\nclass F(Flag):\n  R = 1\n  W = 2\n"
    "G = Enum('G', 'A B')\nH = IntEnum('H', {'A': 5})\nreturn C.A.low, C(2).name, C['A'].value, [m.name for m in C], S.X == 'x', F(3) == F.R | F.W, G.B.value, H.A + 1, str(C.A), isinstance(C.A, Enum)",
    "fnmatch": "import fnmatch\nreturn fnmatch.filter(['a.csv', 'b.txt'], '*.csv')",
    "fractions": "from fractions import Fraction\nreturn str(Fraction(1, 3) + Fraction('1/6'))",
    "functools": "from functools import partial, reduce, wraps, total_ordering, cmp_to_key, update_wrapper\ndef deco(f):\n  @wraps(f)\n  def g(*a, **k):\n    'other'\n    return f(*a, **k)\n  return g\n"
    "@deco\ndef add(a, b):\n  'Add.'\n  return a + b\n@total_ordering\nclass A:\n  def __init__(self, x): self.x = x\n"
    "  def __eq__(self, o): return self.x == o.x\n  def __lt__(self, o): return self.x < o.x\n"
    "return add(1, 2), add.__name__, add.__doc__, partial(add, 1)(5), reduce(add, [1, 2, 3]), A(1) >= A(1), sorted([2, 1], key=cmp_to_key(lambda a, b: a - b))",
    "graphlib": "from graphlib import TopologicalSorter\nreturn list(TopologicalSorter({'b': {'a'}}).static_order())",
    "gzip": "import gzip\nreturn gzip.decompress(gzip.compress(b'x' * 100) + gzip.compress(b'y')), gzip.decompress(b'')",
    "hashlib": "import hashlib, hmac\nreturn hashlib.sha256(b'x').hexdigest(), hashlib.new('md5', b'x').hexdigest(), hmac.new(b'k', b'm', 'sha256').hexdigest(), hmac.compare_digest('a', 'a')",
    "heapq": "import heapq\nh = [3, 1]\nheapq.heapify(h)\nheapq.heappush(h, 0)\nreturn heapq.heappop(h), heapq.nlargest(1, h)",
    "html": "import html\nfrom html.parser import HTMLParser\nclass P(HTMLParser):\n  def __init__(self):\n    super().__init__()\n    self._text = []\n"
    "  def handle_data(self, data): self._text.append(data)\np = P()\np.feed('<b>a</b> c')\nreturn p._text, html.escape('<'), html.unescape('&lt;')",
    "http": "from http import HTTPStatus\nreturn HTTPStatus.NOT_FOUND.value, HTTPStatus(200).phrase",
    "io": "import io\nb = io.BytesIO(b'ab')\nreturn b.read(1), io.StringIO('a\\nb').readlines()",
    "ipaddress": "import ipaddress\nreturn ipaddress.ip_address('10.0.0.1') in ipaddress.ip_network('10.0.0.0/8'), str(ipaddress.ip_interface('1.2.3.4/24').network)",
    "itertools": "from itertools import chain, groupby, islice, count, product\nreturn list(chain([1], [2])), [(k, list(g)) for k, g in groupby('aab')], list(islice(count(), 2)), list(product('ab', repeat=1))",
    "json": "import json\nclass E(json.JSONEncoder):\n  def default(self, o): return sorted(o)\n"
    "try: json.loads('{')\nexcept json.JSONDecodeError as e: p = e.pos\nreturn json.loads(json.dumps({'a': {2, 1}}, cls=E)), json.dumps([1], indent=1), json.loads('[1.5]', parse_float=str), p",
    "match": "from dataclasses import dataclass\n@dataclass\nclass P:\n  x: int\n  y: int\nmatch P(1, 2):\n  case P(x, 2) if x: return x\n",
    "math": "import math, cmath\nreturn math.factorial(10), math.comb(5, 2), math.perm(4, 2), math.perm(3), math.isclose(math.sqrt(2) ** 2, 2), cmath.phase(-1) == math.pi",
    "numbers": "from numbers import Number, Integral\nreturn isinstance(1.5, Number), isinstance(1, Integral)",
    "operator": "from operator import attrgetter, itemgetter, methodcaller, add\nfrom datetime import date\nd = date(2026, 1, 2)\n"
    "return attrgetter('year', 'month')(d), attrgetter('year')(d), itemgetter(1)([1, 2]), methodcaller('isoformat')(d), methodcaller('split', ',', maxsplit=1)('a,b,c'), add(1, 2)",
    "pathlib": "from pathlib import PurePath, PurePosixPath\np = PurePosixPath('/a') / 'b.tar.gz'\nreturn p.name, p.suffixes, str(p.parent), p.stem, PurePath('a').parts",
    "pprint": "from pprint import pformat\nreturn pformat({'b': 1, 'a': [1] * 40})",
    "protocol": "from typing import Protocol, runtime_checkable, TypedDict, NamedTuple, Generic, TypeVar, overload, cast, get_args, Literal, NewType\n"
    "@runtime_checkable\nclass S(Protocol):\n  def go(self) -> int: ...\nclass D:\n  def go(self): return 1\nT = TypeVar('T')\n"
    "class Box(Generic[T]):\n  def __init__(self, v: T): self._v = v\n  def get(self) -> T: return self._v\n"
    "class N(NamedTuple):\n  a: int\n  b: str = 'x'\nclass TD(TypedDict, total=False):\n  k: int\nU = NewType('U', int)\n"
    "return isinstance(D(), S), isinstance(1, S), Box[int](5).get(), N(1), N(1)._asdict(), TD(k=1), U(3), get_args(Literal['a', 'b'])",
    "random": "import random\nr = random.Random(7)\nrandom.seed(7)\nreturn r.random() == random.random(), random.choice([3]), len(random.sample(range(9), 3)), 1 <= random.randint(1, 2) <= 2",
    "re": "import re\np = re.compile(r'(?P<a>\\d+)', re.I | re.M)\nreturn p.sub(lambda m: m['a'] * 2, 'x1'), re.findall('.', 'ab'), re.match('(a)', 'a').groupdict(), p.search('1').group('a'), re.escape('.')",
    "secrets": "import secrets\nreturn len(secrets.token_hex(4)), secrets.randbelow(1), secrets.choice('a')",
    "shlex": "import shlex\nreturn shlex.split('a \"b c\"'), shlex.quote('a b'), shlex.join(['a', 'b c'])",
    "statistics": "import statistics\nreturn statistics.mean([1, 2, 3]), statistics.median([1, 2]), statistics.pstdev([1, 1])",
    "string": "import string\nreturn string.Template('$a ${b}').substitute(a=1, b=2), string.ascii_lowercase[:3], string.capwords('a b')",
    "struct": "import struct\nreturn struct.unpack('<I', struct.pack('<I', 5)), struct.calcsize('I')",
    "textwrap": "import textwrap\nw = textwrap.TextWrapper(width=9)\nw.width = 5\nreturn textwrap.dedent('  a'), w.fill('aaa bbb'), textwrap.shorten('hello world', 8)",
    "time": "import time\nt = time.perf_counter()\ntime.sleep(0)\nreturn time.strftime('%Y', time.gmtime(0)), time.perf_counter() >= t, time.strptime('2026', '%Y').tm_year",
    "tomllib": "import tomllib\nreturn tomllib.loads('a = [1]')",
    "types": "from types import SimpleNamespace\nn = SimpleNamespace(a=1)\nn.b = 2\nreturn n.a + n.b, repr(n)",
    "unicodedata": "import unicodedata\nreturn unicodedata.normalize('NFKD', 'é').encode('ascii', 'ignore')",
    "urllib": "from urllib.parse import urlparse, urlencode, quote, parse_qs, urljoin\nu = urlparse('http://a/b?c=1')\n"
    "return u.netloc, u._replace(query='').geturl(), urlencode({'a': [1, 2]}, doseq=True), quote('ä/'), parse_qs(u.query), urljoin('http://a/b', 'c')",
    "uuid": "import uuid\nreturn str(uuid.uuid5(uuid.NAMESPACE_URL, 'x')), uuid.UUID(int=1).hex, uuid.uuid4() != uuid.uuid4()",
    "xml": "import xml.etree.ElementTree as ET\nfrom io import BytesIO\nr = ET.fromstring('<a x=\"1\"><b>t</b><!-- c --></a>')\nr.find('b').text = 'u'\nET.SubElement(r, 'c').set('k', 'v')\n"
    "f = BytesIO()\nET.ElementTree(r).write(f)\nET.indent(r)\nreturn f.getvalue(), ET.tostring(r, encoding='unicode'), [e.tag for e in r.iter()], ET.parse(BytesIO(b'<a/>')).getroot().tag, r.attrib",
    "xml.sax.saxutils": "from xml.sax.saxutils import escape\nreturn escape('<a>')",
    "zlib": "import zlib\nreturn zlib.decompress(zlib.compress(b'x' * 1000)) == b'x' * 1000, zlib.crc32(b'x')",
    "zoneinfo": "from zoneinfo import ZoneInfo\nfrom datetime import datetime\nreturn datetime(2026, 7, 1, tzinfo=ZoneInfo('Europe/Berlin')).utcoffset().total_seconds()",
    "cooperation": "class Base:\n  def __init_subclass__(cls, /, tag=None, **k):\n    super().__init_subclass__(**k)\n    cls.tag = tag\n"
    "class A(Base, tag=1): pass\nclass M:\n  def go(self): return ['M']\nclass B(A, M):\n  def go(self): return ['B', *super().go()]\nreturn A.tag, B().go(), B.tag",
    "classes-in-the-making": "from enum import Enum\nclass P(Enum):\n  A = (1, 'a')\n  def __init__(self, n, label):\n    self._n = n\n    self.label = label\n"
    "  @property\n  def n(self): return self._n\nclass D:\n  def __set_name__(self, owner, name):\n    self._name = name\n    owner.marked = name\n"
    "  def __get__(self, o, owner=None): return self._name\nclass R:\n  _all = []\n  def __init_subclass__(cls):\n    cls._all.append(cls.__name__)\n    cls._own = 1\n"
    "class S(R):\n  d = D()\nreturn P.A.n, P.A.label, S().d, S.marked, R._all, S._own",
    "property": "class A:\n  def __init__(self): self._x = 1\n  @property\n  def x(self): return self._x\n  @x.setter\n  def x(self, v): self._x = v\n"
    "  @classmethod\n  def make(cls): return cls()\n  @staticmethod\n  def two(): return 2\na = A.make()\na.x += 4\nreturn a.x, A.two()",
    "generators": "def g():\n  try:\n    got = yield 1\n    yield got\n  finally: pass\nx = g()\nreturn next(x), x.send(5), [*(i * i for i in range(3))], list(iter([1].pop, None))[:0]"
    .replace(", list(iter([1].pop, None))[:0]", ""),
}  # fmt: skip


@pytest.mark.parametrize("body", SAME_AS_PYTHON.values(), ids=SAME_AS_PYTHON)
def test_a_job_gets_what_plain_python_gives(result_of, body):
    """The source runs with and without the language wall."""
    source = main(body)
    assert result_of(source) == result_of(source, language=False)


def test_every_module_can_be_imported_and_offers_what_the_table_says(result_of):
    """A name that is missing from all supported Pythons would be a mistake in the table."""
    newer = {
        (3, 12): {"batched", "sumprod", "Buffer", "QUOTE_NOTNULL", "QUOTE_STRINGS"},
        (3, 13): {"fma", "kde", "kde_random", "replace"},
        (3, 14): {"uuid6", "uuid7", "uuid8"},
    }
    to_come = {name for since, names in newer.items() if sys.version_info < since for name in names}
    missing = []
    for name, entry in TABLE.items():
        if name != "__future__":  # `__future__` is a statement to the compiler, not a module
            result_of(f"import {name}\ndef main(state):\n    return 1")
        real = make_facts_module() if name == FACTS else importlib.import_module(name)
        missing += [
            f"{name}.{public}"
            for public in entry.names.split()
            if not hasattr(real, public) and public not in to_come
        ]
    assert missing == []


def test_string_annotations_work_with_dataclasses(result_of):
    """Many authors begin every file with ``from __future__ import annotations``."""
    source = (
        "from __future__ import annotations\nfrom dataclasses import dataclass, field, InitVar\n"
        "from typing import ClassVar\n"
        "@dataclass\nclass A:\n    x: int\n    n: ClassVar[int] = 7\n    i: InitVar[int] = 1\n"
        "    def __post_init__(self, i): self.x += i\n"
        "def main(state):\n    return [A(1).x, A.n, str(A(2))]"
    )
    assert result_of(source) == [2, 7, "A(x=3)"]


@pytest.mark.slow
@pytest.mark.parametrize("module", ["gzip", "zlib"])
def test_decompressing_stops_at_a_limit(run_job, module):
    """A kilobyte can expand to a gigabyte."""
    compress = {"gzip": gzip.compress, "zlib": zlib.compress}[module]
    bomb = compress(bytes(MAX_OUTPUT_BYTES + 1), 1)  # the quickest level
    with pytest.raises(ValueError, match="more than"):
        run_job(main(f"import {module}\nreturn {module}.decompress(state)"), bomb)


@pytest.mark.parametrize(
    ("module", "data", "error"),
    [
        ("gzip", b"not gzip", "BadGzipFile"),
        ("gzip", gzip.compress(b"x" * 99, mtime=0)[:-9], "EOFError"),
        ("zlib", b"not zlib", "error"),
        ("zlib", zlib.compress(b"x" * 99)[:-5], "error"),
    ],
)
def test_broken_archives_raise_what_python_raises(run_job, module, data, error):
    """Authors catch the errors that they know."""
    with pytest.raises(Exception) as caught:
        run_job(main(f"import {module}\nreturn {module}.decompress(state)"), data)
    assert caught.type.__name__ == error


LAUGHS = '<!DOCTYPE a [<!ENTITY l "ha"><!ENTITY m "&l;&l;">]><a>&m;</a>'


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        LAUGHS.encode(),
        LAUGHS.encode("utf-16"),
        '<!DOCTYPE a [<!ENTITY % p "x">%p;]><a/>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    ],
    ids=["text", "bytes", "utf-16", "parameter", "external"],
)
@pytest.mark.parametrize(
    "call", ["ET.fromstring(state)", "ET.XML(state)", "ET.fromstringlist([state])"]
)
def test_xml_with_entities_is_refused(run_job, text, call):
    """The XML has any encoding, and comes in any way."""
    with pytest.raises(ValueError, match="entity"):
        run_job(main(f"import xml.etree.ElementTree as ET\nreturn {call}"), text)


def test_malformed_xml_raises_a_parse_error(result_of):
    """The check for entities leaves the error to the parser."""
    body = "import xml.etree.ElementTree as ET\ntry: ET.fromstring('<a>')\nexcept ET.ParseError as e: return e.position"
    assert result_of(main(body)) == (1, 3)


@pytest.mark.parametrize(
    "body",
    [
        "import xml.etree.ElementTree as ET\nET.parse('/etc/passwd')",
        "import xml.etree.ElementTree as ET\nET.ElementTree(file='/etc/passwd')",
        "import xml.etree.ElementTree as ET\nET.ElementTree(ET.Element('a')).write('/tmp/x')",
        "import xml.etree.ElementTree as ET\nET.ElementTree().parse('/etc/passwd')",
        "import shlex\nshlex.split(None)",
        "import json\njson.dump(1, '/tmp/x')",
    ],
)
def test_no_module_takes_the_name_of_a_file(run_job, body):
    """Functions that open a file in Python need an object here."""
    with pytest.raises((TypeError, AttributeError)):
        run_job(main(body))


@pytest.mark.parametrize("call", ["factorial(10**9)", "comb(10**9, 5 * 10**8)", "perm(10**9)"])
def test_functions_that_would_fill_the_memory_refuse(run_job, call):
    """These functions run in C, and cannot be interrupted."""
    with pytest.raises(ValueError, match="at most"):
        run_job(main(f"import math\nreturn math.{call}"))


def test_logging_goes_to_the_log_of_the_run(run_job):
    """All levels, arguments, children, and an exception with the frames of the job only."""
    ran = run_job(
        main(
            "import logging\nlogging.basicConfig(level=logging.DEBUG, format='x')\n"
            "log = logging.getLogger(__name__)\n"
            "log.debug('a %s', 1)\nlog.info('b %(k)s', {'k': 2})\nlogging.warning('c')\n"
            "log.propagate = False\nlog.getChild('x').error('d %d', 'no')\nlog.critical('e')\n"
            "try: 1 / 0\nexcept ZeroDivisionError: log.exception('f')"
        )
    )
    levels = [level for level, _ in ran.logged]
    messages = [message for _, message in ran.logged]
    assert levels == ["debug", "info", "warning", "error", "error", "error"]
    assert messages[:3] == ["a 1", "b 2", "c"]
    assert messages[3].startswith("d %d ('no',) (TypeError")
    assert messages[5].splitlines() == [
        "f",
        "Traceback (most recent call last):",
        "  <job a>, line 11, in main",
        "ZeroDivisionError: division by zero",
    ]


def test_loggers_drop_what_is_below_their_level(run_job):
    """The level of a logger also holds for the loggers below it."""
    body = (
        "import logging\nlogging.getLogger('a').setLevel('WARNING')\nlog = logging.getLogger('a.b')\n"
        "log.info('no')\nlog.warning('yes')\nreturn log.isEnabledFor(logging.INFO)"
    )
    ran = run_job(main(body))
    assert (ran.logged, ran.state) == ([("warning", "yes")], False)


def test_tracebacks_show_the_job_and_no_host_path(result_of):
    """Authors put the result of format_exc into their state."""
    body = (
        "import traceback, json\ntry: json.loads('{')\nexcept ValueError as e:\n"
        "  return traceback.format_exc(), traceback.format_exception_only(e), traceback.format_exception(e)"
    )
    text, only, whole = result_of(main(body))
    assert "<job a>, line 3, in main" in text
    assert "/" not in text.replace("line 1 column 2 (char 1)", "")
    assert only[0].startswith("JSONDecodeError: ")
    assert "".join(whole) == text


def test_warnings_are_logged_filtered_and_recorded(run_job):
    """Each scope has filters of its own."""
    ran = run_job(
        main(
            "import warnings\nwarnings.warn('a', DeprecationWarning)\n"
            "with warnings.catch_warnings(record=True) as caught:\n  warnings.warn('b')\n"
            "with warnings.catch_warnings():\n  warnings.simplefilter('ignore')\n  warnings.warn('c')\n"
            "return [str(w.message) for w in caught]"
        )
    )
    assert ran.logged == [("warning", "DeprecationWarning: a")]
    assert ran.state == ["b"]


def test_pprint_logs(run_job):
    """The functions are pprint and pp, and the printer object."""
    body = "import pprint\npprint.pprint({'b': 1, 'a': 2})\npprint.pp([1])\npprint.PrettyPrinter(width=5).pprint([1, 2])"
    assert [message for _, message in run_job(main(body)).logged] == [
        "{'a': 2, 'b': 1}",
        "[1]",
        "[1,\n 2]",
    ]


def test_asyncio_run_inside_a_coroutine_says_what_to_write(run_job):
    """The loop belongs to the engine, so the error says to await instead."""
    source = "import asyncio\nasync def f(): return 1\nasync def main(state):\n    return asyncio.run(f())"
    with pytest.raises(RuntimeError, match="await"):
        run_job(source)


def test_coroutines_of_a_job_run_in_the_loop_of_the_engine(result_of):
    """An async operation can use asyncio as usual."""
    source = (
        "import asyncio\nasync def f(x):\n    await asyncio.sleep(0)\n    return x\n"
        "async def main(state):\n    return sorted(await asyncio.gather(f(2), f(1)))"
    )
    assert result_of(source) == [1, 2]
