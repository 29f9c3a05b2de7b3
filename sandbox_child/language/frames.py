"""Finds the frames of jobs and adaptors in a traceback, and their places in the text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.report import Position, StackFrame

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import CodeType, FrameType, TracebackType

    from sandbox_child.language.text import SourceText

GLOBALS_FILENAME = "<globals>"
_JOB_PREFIX = "<job "
_MAX_FRAMES = 100_000
_MAX_KEPT = 25
_MAX_TEXT_CHARS = 200

globals_texts: dict[str, SourceText] = {}
"""The text of the globals that this child compiled last, by file name; a run has one such text."""


class OwnFrame:
    """A frame of a job or an adaptor."""

    __slots__ = ("adaptor", "frame", "instruction", "line", "text")

    def __init__(
        self, traceback: TracebackType, adaptor: str | None, text: SourceText | None
    ) -> None:
        self.frame: FrameType = traceback.tb_frame
        self.line: int | None = traceback.tb_lineno
        self.instruction = traceback.tb_lasti
        self.text = text
        self.adaptor = adaptor
        """``name@version``, or None for the job itself."""

    @property
    def code(self) -> CodeType:
        """The code that was running."""
        return self.frame.f_code

    def position(self) -> Position | None:
        """Return the position of the frame in the author's text; None for a frame of an adaptor."""
        text = self.text
        if self.line is None or text is None:
            return None
        line, end_line, offset, end_offset = _positions(self.code, self.instruction)
        if line is None:
            return text.position(self.line, None)
        return text.span(line, offset, end_line, end_offset)

    def told(self) -> StackFrame:
        """Return the frame in the form for a report."""
        filename = self.code.co_filename
        if self.adaptor is not None:
            module, source = self.adaptor, _adaptor_line(filename, self.line)
        else:
            module = filename.removeprefix(_JOB_PREFIX).strip("<>")
            source = self.text.line(self.line) if self.text else None
        function = self.code.co_qualname
        return StackFrame(
            module=module,
            function=function[:_MAX_TEXT_CHARS],
            line=self.line,
            source=source.strip()[:_MAX_TEXT_CHARS] if source else None,
        )


def own_frames(
    traceback: TracebackType | None, adaptors: Mapping[str, str], texts: Mapping[str, SourceText]
) -> list[OwnFrame]:
    """Return the frames of jobs and adaptors, outermost first.

    Args:
        traceback: The traceback of the exception.
        adaptors: For each directory of adaptor files, its ``name@version``.
        texts: The texts of the job and the globals, by file name.

    """
    found: list[OwnFrame] = []
    owners: dict[str, tuple[bool, str | None]] = {}
    for _ in range(_MAX_FRAMES):
        if traceback is None:
            break
        filename = traceback.tb_frame.f_code.co_filename
        owner = owners.get(filename)
        if owner is None:
            owner = owners[filename] = _owner(filename, adaptors)
        if owner[0]:
            found.append(OwnFrame(traceback, owner[1], texts.get(filename)))
        traceback = traceback.tb_next
    return found


def stack_of(frames: list[OwnFrame]) -> tuple[StackFrame, ...]:
    """Return *frames* in the form for a report; a deep recursion is cut to both ends."""
    if len(frames) <= 2 * _MAX_KEPT:
        return tuple(frame.told() for frame in frames)
    left_out = len(frames) - 2 * _MAX_KEPT
    return (
        *(frame.told() for frame in frames[:_MAX_KEPT]),
        StackFrame(module="...", function=f"{left_out} more frames"),
        *(frame.told() for frame in frames[-_MAX_KEPT:]),
    )


def _owner(filename: str, adaptors: Mapping[str, str]) -> tuple[bool, str | None]:
    if filename.startswith(_JOB_PREFIX) or filename == GLOBALS_FILENAME:
        return True, None
    for prefix, adaptor in adaptors.items():
        if filename.startswith(prefix.rstrip("/") + "/"):
            return True, adaptor
    return False, None


def _positions(
    code: CodeType, instruction: int
) -> tuple[int | None, int | None, int | None, int | None]:
    for index, found in enumerate(code.co_positions()):
        if index == instruction // 2:  # an instruction has two bytes
            return found
    return None, None, None, None


def _adaptor_line(filename: str, line: int | None) -> str | None:
    import linecache  # only after an error, because importing it takes time

    # Without module globals, because linecache would call a __loader__ in them.
    return linecache.getline(filename, line) or None if line else None
