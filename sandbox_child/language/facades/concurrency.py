"""The facade of asyncio: coroutines of jobs run in the loop of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox_child.language.facades import Facades


def make_asyncio(facades: Facades) -> dict[str, Any]:  # noqa: ARG001 - every room has one signature
    """Return ``run`` without its parameters for making loops."""
    import asyncio  # 50 ms: only when a job asks for it

    def run(main: Any, *, debug: bool | None = None) -> Any:  # noqa: ARG001 - accepted, of no use
        if not asyncio.iscoroutine(main):
            raise TypeError(f"asyncio.run() takes a coroutine, not {type(main).__name__!r}")
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(main)
        main.close()
        raise RuntimeError("asyncio.run() inside a coroutine: write `await` instead")

    return {"run": run}
