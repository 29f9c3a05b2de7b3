"""The standard modules that a job may import, and their names.  This file has only data.

A job gets the objects under ``names`` as they are: a review has shown that they neither lead out
nor change shared objects.  The function ``make_<module>`` of the ``room``, a module of this
package, makes the objects that need a replacement.  ``left_out`` gives the reason why an expected
name is missing.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["TABLE", "Entry"]


class Entry(NamedTuple):
    """The part of a standard module that a job gets."""

    names: str = ""
    room: str = ""
    changed: str = ""
    """Differences from Python, for the table in the documentation."""
    left_out: str = ""
    """Missing names, and the reasons."""


_PACKAGE = Entry(changed="only the submodules listed here")

TABLE: dict[str, Entry] = {
    "__future__": Entry(
        "absolute_import annotations barry_as_FLUFL division generator_stop generators "
        "nested_scopes print_function unicode_literals with_statement"
    ),
    "abc": Entry(
        "abstractproperty abstractclassmethod abstractstaticmethod",
        room="classes",
        changed="ABC belongs to the step, so that register() does not affect other steps; abstractmethod marks "
        "functions of the job only",
        left_out="ABCMeta: it makes classes past the checks on class statements",
    ),
    "asyncio": Entry(
        "ALL_COMPLETED Barrier BoundedSemaphore CancelledError Condition Event FIRST_COMPLETED "
        "FIRST_EXCEPTION InvalidStateError LifoQueue Lock PriorityQueue Queue QueueEmpty QueueFull "
        "Semaphore TaskGroup TimeoutError as_completed create_task ensure_future gather iscoroutine "
        "iscoroutinefunction shield sleep timeout wait wait_for",
        room="concurrency",
        changed="run() takes a coroutine only, where no loop is running yet",
        left_out="loops, threads, processes, streams: they lead to the system",
    ),
    "base64": Entry(
        "a85decode a85encode b16decode b16encode b32decode b32encode b32hexdecode b32hexencode "
        "b64decode b64encode b85decode b85encode decodebytes encodebytes standard_b64decode "
        "standard_b64encode urlsafe_b64decode urlsafe_b64encode",
        left_out="encode, decode, main: they work on files",
    ),
    "binascii": Entry(
        "Error Incomplete a2b_base64 a2b_hex a2b_qp b2a_base64 b2a_hex b2a_qp crc32 crc_hqx "
        "hexlify unhexlify"
    ),
    "bisect": Entry("bisect bisect_left bisect_right insort insort_left insort_right"),
    "calendar": Entry(
        "Calendar FRIDAY IllegalMonthError IllegalWeekdayError MONDAY SATURDAY SUNDAY THURSDAY "
        "TUESDAY WEDNESDAY isleap leapdays monthrange timegm weekday",
        room="times",
        changed="names of days and months are tuples",
        left_out="setfirstweekday: it would change other steps",
    ),
    "cmath": Entry(
        "acos acosh asin asinh atan atanh cos cosh e exp inf infj isclose isfinite isinf isnan log "
        "log10 nan nanj phase pi polar rect sin sinh sqrt tan tanh tau"
    ),
    "collections": Entry(
        "ChainMap Counter OrderedDict UserDict UserList defaultdict deque",
        room="classes",
        changed="namedtuple takes no module=",
        left_out="UserString: its format() reads any attribute",
    ),
    "collections.abc": Entry(
        "AsyncGenerator AsyncIterable AsyncIterator Awaitable Buffer ByteString Callable "
        "Collection Container Coroutine Generator Hashable ItemsView Iterable Iterator KeysView "
        "Mapping MappingView MutableMapping MutableSequence MutableSet Reversible Sequence Set "
        "Sized ValuesView",
        room="classes",
    ),
    "colorsys": Entry("hls_to_rgb hsv_to_rgb rgb_to_hls rgb_to_hsv rgb_to_yiq yiq_to_rgb"),
    "contextlib": Entry(
        "AbstractAsyncContextManager AbstractContextManager AsyncContextDecorator AsyncExitStack "
        "ContextDecorator ExitStack aclosing asynccontextmanager closing contextmanager "
        "nullcontext suppress",
        left_out="redirect_stdout, redirect_stderr, chdir: they change the whole process",
    ),
    "copy": Entry(
        "Error copy replace",
        room="copies",
        changed="deepcopy asks the class for special methods, never the instance, and takes no memo",
    ),
    "csv": Entry(
        "Dialect DictReader DictWriter Error QUOTE_ALL QUOTE_MINIMAL QUOTE_NONE QUOTE_NONNUMERIC "
        "QUOTE_NOTNULL QUOTE_STRINGS Sniffer excel excel_tab reader unix_dialect writer",
        left_out="register_dialect, field_size_limit: they would change other steps",
    ),
    "dataclasses": Entry(
        "FrozenInstanceError InitVar KW_ONLY MISSING is_dataclass replace",
        room="records",
        changed="dataclass takes classes that the job defined; asdict and astuple read only "
        "values that a job may read; fields returns copies",
        left_out="make_dataclass: it makes classes past the checks on class statements",
    ),
    "datetime": Entry("MAXYEAR MINYEAR UTC date datetime time timedelta timezone tzinfo"),
    "decimal": Entry(
        "Clamped Context ConversionSyntax Decimal DecimalException DecimalTuple DivisionByZero "
        "DivisionImpossible DivisionUndefined FloatOperation HAVE_THREADS Inexact InvalidContext "
        "InvalidOperation MAX_EMAX MAX_PREC MIN_EMIN MIN_ETINY Overflow ROUND_05UP ROUND_CEILING "
        "ROUND_DOWN ROUND_FLOOR ROUND_HALF_DOWN ROUND_HALF_EVEN ROUND_HALF_UP ROUND_UP Rounded "
        "Subnormal Underflow getcontext localcontext setcontext",
        room="quantities",
        changed="BasicContext, DefaultContext, ExtendedContext are copies",
    ),
    "difflib": Entry(
        "Differ IS_CHARACTER_JUNK IS_LINE_JUNK Match SequenceMatcher context_diff "
        "get_close_matches ndiff restore unified_diff"
    ),
    "email": Entry("message_from_bytes message_from_string"),
    "email.header": Entry("Header decode_header make_header"),
    "email.message": Entry(
        "Message MIMEPart",
        room="mail",
        changed="EmailMessage uses policies of the step, which other steps do not share",
    ),
    "email.mime": _PACKAGE,
    "email.mime.application": Entry("MIMEApplication"),
    "email.mime.base": Entry("MIMEBase"),
    "email.mime.image": Entry("MIMEImage"),
    "email.mime.multipart": Entry("MIMEMultipart"),
    "email.mime.text": Entry("MIMEText"),
    "email.policy": Entry(room="mail", changed="default, SMTP, HTTP, ... are copies of the step"),
    "email.utils": Entry(
        "collapse_rfc2231_value format_datetime formataddr formatdate getaddresses parseaddr "
        "parsedate parsedate_to_datetime parsedate_tz quote unquote",
        left_out="make_msgid: it reveals the name of the host",
    ),
    "enum": Entry(
        "CONFORM CONTINUOUS EJECT Enum EnumCheck Flag FlagBoundary IntEnum IntFlag KEEP "
        "NAMED_FLAGS ReprEnum STRICT StrEnum UNIQUE auto member nonmember unique verify",
        room="classes",
        changed="Enum('Name', members) refuses members that begin with an underscore; property is "
        "the built-in one",
        left_out="EnumType: it makes classes past the checks on class statements",
    ),
    "fnmatch": Entry("filter fnmatch fnmatchcase translate"),
    "fractions": Entry("Fraction"),
    "functools": Entry(
        "cache cmp_to_key lru_cache partial partialmethod reduce",
        room="functions",
        changed="wraps copies name and documentation; singledispatch does not evaluate annotations as text; "
        "cached_property keeps values of its own class only",
    ),
    "graphlib": Entry("CycleError TopologicalSorter"),
    "gzip": Entry(
        "BadGzipFile", room="archives", changed="bytes in, bytes out, with a limit on the output"
    ),
    "hashlib": Entry(
        "algorithms_available algorithms_guaranteed blake2b blake2s md5 new pbkdf2_hmac sha1 "
        "sha224 sha256 sha384 sha3_224 sha3_256 sha3_384 sha3_512 sha512 shake_128 shake_256",
        left_out="scrypt: it takes any amount of memory; file_digest: there are no files",
    ),
    "heapq": Entry("heapify heappop heappush heappushpop heapreplace merge nlargest nsmallest"),
    "hmac": Entry("HMAC compare_digest digest new"),
    "html": Entry("escape unescape"),
    "html.parser": Entry("HTMLParser"),
    "http": Entry("HTTPMethod HTTPStatus"),
    "io": Entry(
        "BytesIO DEFAULT_BUFFER_SIZE SEEK_CUR SEEK_END SEEK_SET StringIO UnsupportedOperation",
        left_out="open, FileIO: a job has no files",
    ),
    "ipaddress": Entry(
        "AddressValueError IPv4Address IPv4Interface IPv4Network IPv6Address IPv6Interface "
        "IPv6Network NetmaskValueError collapse_addresses get_mixed_type_key ip_address "
        "ip_interface ip_network summarize_address_range v4_int_to_packed v6_int_to_packed"
    ),
    "itertools": Entry(
        "accumulate batched chain combinations combinations_with_replacement compress count cycle "
        "dropwhile filterfalse groupby islice pairwise permutations product repeat starmap "
        "takewhile tee zip_longest"
    ),
    "jobcell_context": Entry(
        room="context",
        changed="not of Python: the facts about the running step, which are read-only: run_id, step_id, attempt, "
        "idempotency_key, traceparent, tracestate",
    ),
    "json": Entry("JSONDecodeError JSONDecoder JSONEncoder dump dumps load loads"),
    "logging": Entry(
        room="logs",
        changed="every logger writes to the log of the run",
        left_out="handlers, formatters, config: the run has one log, without files",
    ),
    "math": Entry(
        "acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh degrees dist e erf "
        "erfc exp exp2 expm1 fabs floor fma fmod frexp fsum gamma gcd hypot inf isclose isfinite "
        "isinf isnan isqrt lcm ldexp lgamma log log10 log1p log2 modf nan nextafter pi pow prod "
        "radians remainder sin sinh sqrt sumprod tan tanh tau trunc ulp",
        room="quantities",
        changed="factorial, comb and perm refuse arguments whose result would fill the memory",
    ),
    "numbers": Entry("Complex Integral Number Rational Real"),
    "operator": Entry(
        "abs add and_ call concat contains countOf delitem eq floordiv ge getitem gt iadd iand "
        "iconcat ifloordiv ilshift imatmul imod imul index indexOf inv invert ior ipow irshift "
        "is_ is_not isub itemgetter itruediv ixor le length_hint lshift lt matmul mod mul ne neg "
        "not_ or_ pos pow rshift setitem sub truediv truth xor",
        room="functions",
        changed="attrgetter and methodcaller check names as `o.a` does",
    ),
    "pathlib": Entry(
        room="paths", changed="pure paths only: text, no files", left_out="Path: a job has no files"
    ),
    "pprint": Entry("PrettyPrinter isreadable isrecursive pformat saferepr", room="logs"),
    "random": Entry(
        "Random SystemRandom",
        room="quantities",
        changed="the functions belong to a generator of the step",
    ),
    "re": Entry(
        "A ASCII DOTALL I IGNORECASE L LOCALE M MULTILINE Match NOFLAG Pattern RegexFlag S U "
        "UNICODE VERBOSE X compile error escape findall finditer fullmatch match search split sub "
        "subn"
    ),
    "secrets": Entry(
        "SystemRandom choice compare_digest randbelow randbits token_bytes token_hex token_urlsafe"
    ),
    "shlex": Entry("join quote", room="texts", changed="split takes a string"),
    "statistics": Entry(
        "NormalDist StatisticsError correlation covariance fmean geometric_mean harmonic_mean "
        "kde linear_regression mean median median_grouped median_high median_low mode multimode "
        "pstdev pvariance quantiles stdev variance"
    ),
    "string": Entry(
        "Template ascii_letters ascii_lowercase ascii_uppercase capwords digits hexdigits "
        "octdigits printable punctuation whitespace",
        left_out="Formatter: its fields read any attribute",
    ),
    "struct": Entry("Struct calcsize error iter_unpack pack pack_into unpack unpack_from"),
    "textwrap": Entry(
        "dedent fill indent shorten wrap",
        room="texts",
        changed="TextWrapper has a table of its own",
    ),
    "time": Entry(
        "altzone asctime ctime daylight gmtime localtime mktime monotonic monotonic_ns "
        "perf_counter perf_counter_ns process_time process_time_ns sleep strftime strptime "
        "struct_time thread_time thread_time_ns time time_ns timezone tzname"
    ),
    "tomllib": Entry("TOMLDecodeError loads"),
    "traceback": Entry(room="logs", changed="frames of the job only"),
    "types": Entry(
        "EllipsisType GenericAlias NoneType NotImplementedType UnionType",
        room="copies",
        changed="SimpleNamespace takes no special names",
        left_out="all names that make functions, code, classes or modules",
    ),
    "typing": Entry(
        "AbstractSet Annotated Any AnyStr AsyncContextManager AsyncGenerator AsyncIterable "
        "AsyncIterator Awaitable ByteString Callable ChainMap ClassVar Collection Concatenate "
        "Container ContextManager Coroutine Counter DefaultDict Deque Dict Final FrozenSet "
        "Generator Generic Hashable ItemsView Iterable Iterator KeysView List Literal "
        "LiteralString Mapping MappingView MutableMapping MutableSequence MutableSet "
        "Never NewType NoReturn NotRequired Optional OrderedDict ParamSpec Protocol Required "
        "Reversible Self Sequence Set Sized SupportsAbs SupportsBytes SupportsComplex "
        "SupportsFloat SupportsIndex SupportsInt SupportsRound TYPE_CHECKING Text Tuple "
        "TypeAlias TypeGuard TypeVar TypeVarTuple Union Unpack ValuesView assert_never "
        "assert_type cast is_typeddict",
        room="classes",
        changed="final, overload, override, runtime_checkable accept only classes of the job; fields of "
        "NamedTuple and TypedDict are public identifiers",
        left_out="get_type_hints, ForwardRef: they evaluate text",
    ),
    "unicodedata": Entry(
        "bidirectional category combining decimal decomposition digit east_asian_width "
        "is_normalized lookup mirrored name normalize numeric unidata_version"
    ),
    "urllib": _PACKAGE,
    "urllib.parse": Entry(
        "DefragResult DefragResultBytes ParseResult ParseResultBytes SplitResult "
        "SplitResultBytes parse_qs parse_qsl quote quote_from_bytes quote_plus unquote "
        "unquote_plus unquote_to_bytes urldefrag urlencode urljoin urlparse urlsplit urlunparse "
        "urlunsplit"
    ),
    "uuid": Entry(
        "NAMESPACE_DNS NAMESPACE_OID NAMESPACE_URL NAMESPACE_X500 RESERVED_FUTURE "
        "RESERVED_MICROSOFT RESERVED_NCS RFC_4122 SafeUUID UUID uuid3 uuid4 uuid5 uuid6 uuid7 "
        "uuid8",
        left_out="uuid1, getnode: they reveal the address of the network card",
    ),
    "warnings": Entry(room="logs", changed="warnings go to the log; filters belong to the step"),
    "xml": _PACKAGE,
    "xml.etree": _PACKAGE,
    "xml.etree.ElementTree": Entry(
        "Comment Element PI ParseError ProcessingInstruction QName SubElement indent iselement "
        "tostring tostringlist",
        room="markup",
        changed="documents that declare entities are refused; ElementTree does not open files",
        left_out="register_namespace: it would change other steps; iterparse, XMLParser",
    ),
    "xml.sax": _PACKAGE,
    "xml.sax.saxutils": Entry("escape quoteattr unescape"),
    "zlib": Entry(
        "Z_BEST_COMPRESSION Z_BEST_SPEED Z_DEFAULT_COMPRESSION Z_NO_COMPRESSION adler32 compress "
        "crc32 error",
        room="archives",
        changed="decompress has a limit on its output",
        left_out="compressobj, decompressobj: their output has no limit",
    ),
    "zoneinfo": Entry(
        "InvalidTZPathWarning ZoneInfoNotFoundError available_timezones",
        room="times",
        changed="ZoneInfo keeps its zones for the step",
    ),
}
