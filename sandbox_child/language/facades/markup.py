"""The facade of ElementTree: it reads text only, and refuses entities, which can fill memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

    from sandbox_child.language.facades import Facades


class _PrologRead(Exception):  # noqa: N818 - it ends the scan, and is not an error
    """The first element has begun, so declarations cannot follow."""


def check_entities(text: Any) -> None:
    """Raise ValueError if the document *text* (str or bytes) declares an entity.

    The parser itself reads the prolog, because searching the text would miss other encodings.
    """
    from xml.parsers import expat

    def refuse(*_: Any) -> None:
        raise ValueError("XML with entity declarations is refused: they can expand without limit")

    def stop(*_: Any) -> None:
        raise _PrologRead

    parser = expat.ParserCreate()
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = stop
    try:
        parser.Parse(text, True)
    except (_PrologRead, expat.ExpatError):
        # The real parser reports malformed text.
        pass


def make_xml_etree_ElementTree(facades: Facades) -> dict[str, Any]:  # noqa: N802 - the module's name
    """Return a parser that refuses entities, and a tree that does not open files."""
    import xml.etree.ElementTree as etree  # noqa: ICN001, N813 - ET says nothing

    facades.guards.writable.add(etree.Element)

    def fromstring(text: Any) -> Any:
        if not isinstance(text, str | bytes | bytearray):
            raise TypeError(f"a string or bytes are needed, not {type(text).__name__!r}")
        # An exact copy, because a class of the job could give two different answers.
        exact = str.__str__(text) if isinstance(text, str) else bytes(text)
        check_entities(exact)
        return etree.fromstring(exact)  # noqa: S314 - entities are refused above

    def fromstringlist(sequence: Iterable[Any]) -> Any:
        parts = list(sequence)
        return fromstring((b"" if parts and isinstance(parts[0], bytes) else "").join(parts))

    tree_class = _make_tree_class(etree, fromstring)

    def parse(source: Any) -> Any:
        return tree_class(file=source)

    return {
        "ElementTree": tree_class,
        "XML": fromstring,
        "fromstring": fromstring,
        "fromstringlist": fromstringlist,
        "parse": parse,
    }


def _make_tree_class(etree: ModuleType, fromstring: Callable[[Any], Any]) -> Any:
    """Return a class of trees that reads with *fromstring* and does not open files."""

    class ElementTree:
        # Not a subclass: `super()` in a job would find the base's methods that open files.
        def __init__(self, element: Any = None, file: Any = None) -> None:
            self._tree = etree.ElementTree(element)
            if file is not None:
                self.parse(file)

        def getroot(self) -> Any:
            return self._tree.getroot()

        def _setroot(self, element: Any) -> None:
            self._tree._setroot(element)  # noqa: SLF001 - as Python's

        def iter(self, tag: str | None = None) -> Any:
            return self._tree.iter(tag)

        def find(self, path: str, namespaces: dict[str, str] | None = None) -> Any:
            return self._tree.find(path, namespaces)

        def findtext(
            self, path: str, default: Any = None, namespaces: dict[str, str] | None = None
        ) -> Any:
            return self._tree.findtext(path, default, namespaces)

        def findall(self, path: str, namespaces: dict[str, str] | None = None) -> Any:
            return self._tree.findall(path, namespaces)

        def iterfind(self, path: str, namespaces: dict[str, str] | None = None) -> Any:
            return self._tree.iterfind(path, namespaces)

        def parse(self, source: Any, parser: Any = None) -> Any:
            if parser is not None:
                raise TypeError("parse() takes no parser in a job")
            root = fromstring(_looked_up(source, "read")())
            self._setroot(root)
            return root

        def write(self, file_or_filename: Any, *args: Any, **options: Any) -> None:
            self._tree.write(_Writer(file_or_filename), *args, **options)

        def write_c14n(self, file: Any) -> None:
            self._tree.write_c14n(_Writer(file))

    ElementTree.__module__ = "xml.etree.ElementTree"
    ElementTree.__qualname__ = "ElementTree"
    return ElementTree


class _Writer:
    """Passes written text on to the method that was found when the file was looked at."""

    def __init__(self, file: Any) -> None:
        self.write = _looked_up(file, "write")


def _looked_up(file: Any, method: str) -> Any:
    """Return a method of *file*, asked for only once, so that a second answer cannot differ."""
    found = getattr(file, method, None)
    if not callable(found):
        raise TypeError(f"a job has no files: give an object with {method}(), such as io.BytesIO")
    return found
