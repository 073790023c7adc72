"""How many files and connections this process may have open, and how many of them are left for model calls."""

from __future__ import annotations

import resource
from typing import Final

from megaagent.errors import ConfigurationError

OWN: Final = 128  # for journal, workspace, programs and who watches: what a busy run has open beside its calls
MOST: Final = 65_536  # more is not asked for, where the system sets no end


def open_for_calls(wanted: int) -> int:
    """How many connections may be open at once, at most `wanted`; the system's limit is raised as far as it allows.

    Raises:
        ConfigurationError: so few files may be open that a run would break off in the middle.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    needed = OWN + wanted
    if soft != resource.RLIM_INFINITY and soft < min(needed, most):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, most), hard))
        soft = min(needed, most)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    if soft <= OWN:
        raise ConfigurationError(
            f"only {soft} files may be open at once here, and a run needs more than {OWN}: raise the limit with "
            "ulimit -n 4096 (or in the limits of your service or container), and begin again"
        )
    return soft - OWN
