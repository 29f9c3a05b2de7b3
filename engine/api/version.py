"""The version of jobcell: the only place that states it.

The build reads it from here, so a wheel, ``jobcell --version`` and the events of a run agree.
"""

from typing import Final

__version__: Final = "0.1.0"
