"""Takes the first message of the engine, confines the process, and serves."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
from typing import Final

from engine.network.relay.relay import Relay
from engine.network.relay.walls import put_on
from protocol.net_proxy import parse_net_proxy
from protocol.net_rules import parse_net_rule
from protocol.relay import CONTROL_FD, MAX_DATAGRAM_BYTES, Configure, Ready, decode_to_relay

_NO_ENGINE: Final = 1
_RESOLVER_OPTIONS: Final = "timeout:3 attempts:2"
"""The C library asks each name server twice, and waits three seconds: resolv.conf(5)."""


def serve() -> int:
    """Serve the engine on `CONTROL_FD`; return the exit code."""
    control = socket.socket(fileno=CONTROL_FD)
    message = control.recv(MAX_DATAGRAM_BYTES)
    if not message:
        return _NO_ENGINE
    configure = decode_to_relay(message)
    if not isinstance(configure, Configure):
        raise TypeError(f"the first message is {type(configure).__name__}, not Configure")
    proxy = None if configure.proxy is None else parse_net_proxy(configure.proxy)
    os.environ.setdefault("RES_OPTIONS", _RESOLVER_OPTIONS)
    _load_late_modules()
    try:
        layers = put_on(
            parent_pid=configure.pid, keep_fds=(0, 1, 2, CONTROL_FD), without=configure.without
        )
    except ProcessLookupError:
        return _NO_ENGINE
    gc.freeze()
    relay = Relay(control, proxy, configure.idle_s)
    relay.send(Ready(layers))
    relay.serve()
    return 0


def _load_late_modules() -> None:
    """Import what Python imports at the first use, because its files cannot be read later."""
    import traceback

    parse_net_rule("b\u00fccher.example.org:443")
    with contextlib.suppress(ValueError):
        parse_net_rule("https://[::ffff:10.0.0.1]")
    traceback.format_exception(ValueError())
