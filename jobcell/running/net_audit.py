"""`--net-audit`: a run may reach every host, and the rules that it would have needed are printed.

The network is mediated as in other runs, so that each connection is an event.  Such a network has a listener
for each port, so that an audit listens on the ports that services use.  A port without a listener is refused
by the kernel; the child reports it, and the audit names it.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import sys
from collections import defaultdict
from typing import IO, TYPE_CHECKING, Final

from jobcell.input.errors import BadInputError
from jobcell.output.json_text import encode_json
from jobcell.output.wording import printable
from protocol.events import Event, JobError, Log, NetConnect, WorkflowStart
from protocol.net_rules import MAX_PORTS, parse_net_rule, ports_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from engine import RunResult
    from jobcell.output.views import View

_PORTS: Final = """\
1-52 54-200 220 256 259 264 280 311 366 389 406-407 416-417 425 427 443-445 458 464-465 481 497 500 502 512-515 523
540 543-544 548 554 563 587 591 593 601 623 625 631 636 639 646 648 666 674 691 694 700-715 749-751 777 782 808 829
843 847 853 860 873 880-888 901-903 981-999 1010 1022-1023 1025-1030 1080 1099 1109 1167 1194 1214 1241 1270 1311 1344
1352 1400 1414 1417 1433-1434 1494 1521-1530 1604 1645 1701 1720 1723 1755 1830 1863 1883-1884 1900 1935 1984
2000-2010 2049 2082-2083 2086-2087 2095-2096 2100 2121 2181-2183 2222 2375-2380 2404 2424 2483-2484 2575 2628 2638
2761-2762 2809 2947 2967 3000-3020 3050 3074 3100 3128 3181 3200 3205 3225 3260 3268-3269 3300 3306-3310 3333 3389
3478-3479 3493 3500 3551 3632 3690 3838 4000-4005 4040 4100 4190 4200 4222 4242-4244 4317-4318 4321 4369 4433
4443-4445 4500 4506 4567-4568 4646-4648 4711 4730 4786 4840 4848 4899 4949 5000-5010 5044 5050-5051 5060-5061 5080
5100 5190 5201 5222-5223 5269 5280-5281 5355 5400 5431-5440 5480 5500 5555-5556 5560 5601 5631 5666 5671-5672 5678
5683-5684 5701-5703 5723 5800 5900-5901 5938 5984-5986 6000-6001 6066 6080-6081 6123 6160 6222 6333-6334 6346
6379-6382 6432-6433 6443 6500 6514 6543 6566 6600 6650-6651 6660-6669 6679 6697 6789 6881 6984 7000-7005 7050-7051
7070 7077-7078 7180 7199 7233 7245 7301 7401 7443 7473-7474 7496-7497 7545 7547 7600 7648 7657 7676-7677 7680
7687-7688 7700 7777 7800 7848 7861 7878 7900 7946 7990 8000-8020 8025 8030-8032 8040 8042 8060 8065 8069-8070
8080-8103 8108 8111-8112 8118 8123 8125-8126 8139-8140 8153-8154 8161 8172 8180-8181 8200-8202 8222 8243 8280-8281
8291 8300-8302 8333 8384 8400 8403 8420 8428 8443-8445 8480 8500-8503 8529-8531 8545 8554 8580 8600 8649 8761 8765
8800 8808 8834 8843 8848 8880 8883-8889 8983 8991 8998 9000-9011 9021 9030 9042-9044 9050-9051 9060 9080-9100 9113
9142 9160 9191 9200 9300 9306 9312 9333 9389-9392 9411 9418 9443 9515 9530 9600 9613 9630 9669 9696 9761 9763 9800
9876 9898 9944 9981 9990-10003 10009 10050-10051 10080 10161-10162 10200 10243 10250 10255 10443 10500 11111-11112
11211 11214-11215 11300 11371 11434 12000 12201 12345 12443 13720-13721 14000 14265 15000 15432 15671-15672 16000
16010 16379 16686 17500 18080-18081 18091 19000 19530 19999-20000 20514 21025 22222 23000 24007 24224 25565 25672
26257 26379 27015 27017-27019 28015 28017 29015 30000 31337 32400 32764 33060 33434 34443 35357 37215 40000 41414
42000 44818 45000 47808 49152 50000 50010 50051-50052 50070 50075 51820 52311 54321 55443 60000 61613-61614 61616
62078 64738"""
"""Ports that services use: mail, files, databases, queues, caches, search, web servers, health care."""

_LOCAL: Final = (
    *("localhost", "127.0.0.0/8", "[::1]", "169.254.0.0/16", "[fe80::/10]"),
    "0.0.0.0",  # noqa: S104 - nothing is bound to it
    # The metadata services of clouds: see `protocol.near_addresses`.
    *("[fd00:ec2::/32]", "[fd20:ce::254]", "168.63.129.16", "100.100.100.200", "192.0.0.192"),
)
"""Hosts that a rule has to name."""
_REFUSED: Final = re.compile(r'connection to (\S+) was refused; allow it with Permissions\(net=\["')
_PORT_IS_UNKNOWN: Final = "PORT"


def audit_rules(given: Iterable[str] = ()) -> tuple[str, ...]:
    """Return rules for every host, with the ports that services use and those of the *given* rules.

    Raises:
        BadInputError: A given rule has no mediated network, or there are too many ports.
        ValueError: A given text is not a rule.

    """
    more = ports_of(map(parse_net_rule, given))
    if more is None:
        raise BadInputError(["--net-audit: with --allow-net no connection is seen; leave it out"])
    ports = set(more)
    for part in _PORTS.split():
        low, _, high = part.partition("-")
        ports.update(range(int(low), int(high or low) + 1))
    if len(ports) > MAX_PORTS:
        message = f"--net-audit: the rules of --net name too many ports; {MAX_PORTS:,} are possible"
        raise BadInputError([f"{message} together with those of the audit"])
    text = shown_ports(ports)
    return tuple(f"{host}:{text}" for host in ("*", *_LOCAL))


def shown_ports(ports: Iterable[int]) -> str:
    """Return ports as in a rule: ``80,443,8000-8010``."""
    spans: list[list[int]] = []
    for port in sorted(ports):
        if spans and spans[-1][1] == port - 1:
            spans[-1][1] = port
        else:
            spans.append([port, port])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)


class AuditView:
    """Shows events in another view, and at the end the rules that the run would have needed.

    Args:
        view: The other view.
        as_json: Whether the rules are an object of JSON on standard output.
        stream: Where lines are written; None is standard error.
        look_up: Returns the addresses of a name.  None: an HTTP proxy resolves the names.

    """

    def __init__(
        self,
        view: View,
        *,
        as_json: bool,
        stream: IO[str] | None = None,
        look_up: Callable[[str], list[str]] | None = None,
    ) -> None:
        self._view = view
        self._as_json = as_json
        self._stream = stream or sys.stderr
        self._look_up = look_up
        self._replayed = 0
        self._ports: defaultdict[str, set[int]] = defaultdict(set)
        self._refused: dict[str, None] = {}

    def show(self, event: Event) -> None:
        """Show the event, and remember the place of a connection."""
        self._view.show(event)
        if isinstance(event, WorkflowStart):
            self._replayed = event.replayed
        elif isinstance(event, NetConnect) and event.port:
            # A job that names localhost tries ::1 first, and the relay goes to the address that answers.
            host = "localhost" if event.host == "::1" else event.host
            self._ports[host].add(event.port)
        elif isinstance(event, Log) and event.source == "runtime":
            refused = _REFUSED.match(event.message)
            if refused is not None:
                self._refuse(refused[1])
        elif isinstance(event, JobError) and event.error.option == "net":
            self._refuse(str(event.error.option_value))

    def close(self, result: RunResult | None) -> None:
        """Close the other view, and print the rules."""
        self._view.close(result)
        if result is None:
            return
        near = self._add_near_addresses()
        rules, wrong = self.rules()
        refused = [rule for rule in self._refused if rule not in rules]
        if self._as_json:
            found: dict[str, object] = {"type": "net-audit", "rules": rules}
            found["refused"] = [*refused, *wrong]
            if self._replayed:
                found["replayed"] = self._replayed
            sys.stdout.buffer.write(encode_json(found, exact=True) + b"\n")
            sys.stdout.buffer.flush()
            return
        for line in (*_told(rules, refused, wrong), *near, *_left_out(self._replayed)):
            print(printable(line), file=self._stream, flush=True)

    def rules(self) -> tuple[list[str], list[str]]:
        """Return the rules, and the places for which no rule can be written."""
        rules: list[str] = []
        wrong: list[str] = []
        for host in sorted(self._ports):
            shown = f"[{host}]" if ":" in host else host
            text = f"{shown}:{shown_ports(self._ports[host])}"
            try:
                rules.append(str(parse_net_rule(text)))
            except ValueError:
                wrong.append(text)
        return rules, wrong

    def _add_near_addresses(self) -> list[str]:
        """Add the addresses of names that a rule must name, too; return lines that say so.

        A name with another address beside them is reached without.
        """
        if self._look_up is None:
            return []
        from protocol.near_addresses import special

        lines = []
        for host, ports in [*self._ports.items()]:
            if host == "localhost" or _is_address(host):
                continue
            found = [ipaddress.ip_address(text) for text in self._look_up(host)]
            kinds = [special(address) for address in found]
            for address, kind in zip(found, kinds if all(kinds) else (), strict=False):
                self._ports[str(address)] |= ports
                lines.append(f"net audit: {host} is {address}, {kind}, which needs a rule, too")
        return lines

    def _refuse(self, rule: str) -> None:
        if not rule.endswith(f":{_PORT_IS_UNKNOWN}"):
            self._refused[rule] = None


def addresses_of(name: str) -> list[str]:
    """Return the addresses of a name, as the relay would find them."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [*dict.fromkeys(str(place[0]).partition("%")[0] for _, _, _, _, place in found)]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _left_out(replayed: int) -> Iterable[str]:
    if replayed:
        steps = "1 step was" if replayed == 1 else f"{replayed} steps were"
        yield f"net audit: {steps} replayed from the journal; their connections are not in the list"


def _told(rules: list[str], refused: list[str], wrong: list[str]) -> Iterable[str]:
    if rules:
        yield "net audit: a run with these rules reaches the same hosts:"
        yield f"  {encode_json(rules).decode()}"
        yield f"  {' '.join(f'--net {rule!r}' for rule in rules)}"
    else:
        yield "net audit: the run has connected to nothing"
    if refused:
        yield "net audit: the audit does not listen on these ports, and the job was refused; run it again with:"
        yield f"  --net-audit {' '.join(f'--net {rule!r}' for rule in refused)}"
    if wrong:
        yield f"net audit: no rule can be written for {', '.join(map(repr, wrong))}"
