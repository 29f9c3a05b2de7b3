"""Adaptors and the standard library have all that they need under the full wall.

The large packages are looked for in the directory that JOBCELL_TEST_WHEELS names (made by ``pip
install --target``); without it those tests are skipped.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from harness import MEGABYTE, make_request, run_hostile
from modes import let_everybody_in

STANDARD = {
    "json": "import json; print(json.loads(json.dumps({'a': [1, 2.5, None]}))['a'])",
    "re": "import re; print(re.findall(r'\\d+', 'a1b22'))",
    "zoneinfo": "from datetime import datetime; from zoneinfo import ZoneInfo\n"
    "print(datetime(2026, 7, 1, tzinfo=ZoneInfo('Europe/Paris')).utcoffset())",
    "localtime": "import time, datetime; print(bool(time.localtime()), datetime.datetime.now().astimezone().tzinfo is not None)",
    "decimal": "from decimal import Decimal; print(Decimal('0.1') + Decimal('0.2'))",
    "csv": "import csv, io; print(list(csv.reader(io.StringIO('a,b\\n1,2'))))",
    "sqlite": "import sqlite3; c = sqlite3.connect(':memory:'); c.execute('create table t(a)')\n"
    "c.executemany('insert into t values (?)', [(n,) for n in range(9)]); print(c.execute('select sum(a) from t').fetchone())",
    "ssl": "import ssl; c = ssl.create_default_context(); c.load_default_certs(); print(c.verify_mode, ssl.OPENSSL_VERSION_INFO > (1, 1))",
    "hashlib": "import hashlib, hmac, secrets; print(hashlib.sha256(b'').hexdigest()[:8], len(secrets.token_bytes(8)))",
    "threads": "import threading; t = threading.Thread(target=print, args=('in a thread',)); t.start(); t.join()",
    "pool": "from concurrent.futures import ThreadPoolExecutor as P; print(list(P(4).map(abs, range(-3, 3))))",
    "asyncio": "import asyncio\nasync def f(): await asyncio.sleep(0.01); return await asyncio.to_thread(lambda: 42)\nprint(asyncio.run(f()))",
    "asyncio_gather": "import asyncio\nasync def f(): return await asyncio.gather(*(asyncio.sleep(0.01, n) for n in range(9)))\nprint(asyncio.run(f()))",
    "signal": "import signal, os\nsignal.signal(signal.SIGUSR1, lambda *a: print('caught')); os.kill(os.getpid(), signal.SIGUSR1)",
    "timer": "import signal, time\nsignal.signal(signal.SIGALRM, lambda *a: print('rang')); signal.setitimer(signal.ITIMER_REAL, 0.01); signal.pause()",
    "mimetypes": "import mimetypes; print(mimetypes.guess_type('a.xlsx')[0] is not None)",
    "compression": "import zlib, bz2, lzma, gzip; print(all(m.decompress(m.compress(b'x')) == b'x' for m in (zlib, bz2, lzma, gzip)))",
    "ctypes": "import ctypes; print(ctypes.CDLL(None).abs(-3))",
    "ctypes_callback": "import ctypes; F = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int); print(F(lambda n: n + 1)(3))",
    "xml": "import xml.etree.ElementTree as e; print(e.fromstring('<a><b/></a>')[0].tag)",
    "email": "import email.message; m = email.message.EmailMessage(); m.set_content('x'); print(len(m.as_bytes()) > 10)",
    "uuid": "import uuid; print(uuid.uuid4().version)",
    "random": "import random; print(random.Random(1).random() < 1, random.SystemRandom().random() < 1)",
    "logging": "import logging; logging.basicConfig(); logging.warning('seen'); print('logged')",
    "selectors": "import select, os; r, w = os.pipe(); p = select.epoll(); p.register(r); os.write(w, b'x'); print(len(p.poll(1)))",
    "socketpair": "import socket; a, b = socket.socketpair(); a.sendall(b'hi'); print(b.recv(2), a.getsockopt(1, 3))",
    "locale": "import locale, gettext; print(gettext.gettext('x'), locale.getlocale() is not None)",
    "importlib": "import importlib.metadata, importlib.resources, pkgutil; print(len(list(pkgutil.iter_modules())) > 100)",
    "traceback": "import traceback\ntry: import json; json.loads('{')\nexcept ValueError: print('raise JSONDecodeError' in traceback.format_exc())",
    "multibyte": "print(b'\\x82\\xa0'.decode('shift_jis'), 'é'.encode('utf-16-le'))",
    "devnull": "import os, contextlib\nwith open(os.devnull, 'w') as f, contextlib.redirect_stdout(f): print('lost')\nprint('kept')",
    "platform": "import platform, getpass; print(bool(platform.platform()))",
    "tempfile": "import tempfile\nf = tempfile.SpooledTemporaryFile(max_size=99); f.write(b'x'); print(f.tell())",
    "resource": "import resource; print(resource.getrusage(0).ru_maxrss > 0)",
}


@pytest.mark.parametrize("name", STANDARD)
def test_the_standard_library_works(name):
    """The modules are imported for the first time after the wall is up, and are used."""
    outcome = run_hostile(STANDARD[name])

    assert outcome.code == 0, outcome.err or outcome.signal
    assert outcome.out


def test_every_module_of_the_standard_library_can_be_imported():
    """Except for modules for a screen, no module needs a file or a call that the wall withholds."""
    source = """
import sys, importlib, warnings
warnings.simplefilter("ignore")
skipped = {"antigravity", "this", "idlelib", "ensurepip", "turtledemo", "turtle", "tkinter", "test",
           "curses", "readline", "nis", "msilib", "winreg", "winsound", "msvcrt", "lib2to3"}
for name in sorted(sys.stdlib_module_names):
    if name in skipped or name.startswith("_"):
        continue
    try:
        importlib.import_module(name)
    except Exception as error:
        print(name, type(error).__name__, error)
print("end")
"""
    inside = run_hostile(source, timeout_s=60)
    outside = run_hostile(source, level="none", required=(), timeout_s=60)

    assert inside.out == outside.out, inside.err


WHEELS = {
    "numpy": "import numpy as n; print(n.linalg.inv(n.eye(3) * 2)[0, 0], (n.ones((200, 200)) @ n.ones((200, 200))).sum())",
    "numpy_random": "import numpy as n; print(n.random.default_rng(1).normal(size=9).shape, n.fft.fft(n.arange(8)).shape)",
    "pandas": "import pandas as p, io\nf = p.read_csv(io.StringIO('a,b\\n1,2\\n3,4')); print(f.groupby('a').sum().b.tolist(), p.to_datetime('2026-07-01', utc=True).tz_convert('Europe/Paris').hour)",
    "lxml": "from lxml import etree, html; print(etree.fromstring('<a><b/></a>').xpath('count(//b)'), html.fromstring('<p>x</p>').text)",
    "cryptography": "from cryptography.fernet import Fernet\nk = Fernet(Fernet.generate_key()); print(k.decrypt(k.encrypt(b'x')))\n"
    "from cryptography.hazmat.primitives.asymmetric import rsa, ed25519\nprint(rsa.generate_private_key(65537, 2048).key_size)",
    "pydantic": "from pydantic import BaseModel\nclass M(BaseModel):\n    a: int\nprint(M(a='3').a)",
    "openpyxl": "import openpyxl, io, sys\nb = io.BytesIO(open({workbook!r}, 'rb').read())\n"
    "print(openpyxl.load_workbook(b).active['A1'].value)",
}


@pytest.fixture(scope="module")
def wheels():
    named = os.environ.get("JOBCELL_TEST_WHEELS", "/nonexistent")
    directory = Path(named)
    if not directory.is_dir():
        pytest.skip("set JOBCELL_TEST_WHEELS to a directory made by pip install --target")
    return directory


@pytest.fixture(scope="module")
def workbook(wheels, tmp_path_factory):
    """A file with one cell, which every user may read."""
    directory = tmp_path_factory.mktemp("books")
    let_everybody_in(directory)
    path = directory / "book.xlsx"
    source = (
        f"import sys; sys.path.append({str(wheels)!r})\nimport openpyxl\n"
        f"b = openpyxl.Workbook(); b.active['A1'] = 'cell'; b.save({str(path)!r})"
    )
    made = run_hostile(source, level="none", required=(), timeout_s=60)
    assert made.code == 0, made.err
    path.chmod(0o644)
    return path


@pytest.mark.parametrize("start", ["exec", "zygote"])
@pytest.mark.parametrize("name", WHEELS)
def test_packages_that_adaptors_use_work(wheels, name, start, request):
    """The packages have native code, bundled libraries and threads of their own."""
    package = name.partition("_")[0]
    if not (wheels / package).is_dir():
        pytest.skip(f"{package} is not in JOBCELL_TEST_WHEELS")
    readable = [str(wheels)]
    workbook = ""
    if package == "openpyxl":
        workbook = str(request.getfixturevalue("workbook"))
        readable.append(workbook)
    source = f"import sys; sys.path.append({str(wheels)!r})\n" + WHEELS[name].replace(
        "{workbook!r}", repr(workbook)
    )
    walls = make_request(read_paths=readable, memory_bytes=500 * MEGABYTE)

    outcome = run_hostile(
        source, request=walls, zygote=walls if start == "zygote" else None, timeout_s=60
    )

    assert outcome.code == 0, (outcome.err, outcome.signal)
    assert outcome.out
