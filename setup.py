"""Add to the wheel what setuptools does not find by itself; all else is in `pyproject.toml`.

The adaptors in `adaptors/` are distributions of their own, so they are not packages of jobcell. The
wheel carries their source as data, from which ``jobcell repo add common`` installs them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
PACKED = ("pyproject.toml", "README.md", "*/**/*.py", "*/*.txt", "*/py.typed")


class BuildWithAdaptors(build_py):
    """Copies each adaptor to `jobcell/bundled` of the build."""

    def run(self) -> None:
        """Build the packages, then copy the adaptors."""
        super().run()
        if not self.editable_mode:  # a checkout has them in `adaptors/`
            for source, target in self._files().items():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)

    def get_source_files(self) -> list[str]:
        """Return what a source distribution needs."""
        return [
            *super().get_source_files(),
            *(str(path.relative_to(ROOT)) for path in self._files()),
        ]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return the files that are made."""
        outputs: list[str] = super().get_outputs(include_bytecode)
        return [*outputs, *map(str, self._files().values())]

    def _files(self) -> dict[Path, Path]:
        target = Path(self.build_lib, "jobcell", "bundled")
        adaptors = ROOT / "adaptors"
        return {
            path: target / path.relative_to(adaptors)
            for project in sorted(adaptors.glob("*/pyproject.toml"))
            for pattern in PACKED
            for path in sorted(project.parent.glob(pattern))
        }


setup(cmdclass={"build_py": BuildWithAdaptors})
