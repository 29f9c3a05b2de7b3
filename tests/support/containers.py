"""Runs a program as in a container: behind a seccomp profile, as a user, and with a set of capabilities.

No container engine is needed. The profile goes through libseccomp, as `runc` does it; users and capabilities go
through `setpriv`. Namespaces, the read-only root and AppArmor of a real container are missing here.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

import pyseccomp

DOCKER_CAPABILITIES = (
    "chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "net_bind_service", "net_raw",
    "sys_chroot", "mknod", "audit_write", "setfcap",
)  # fmt: skip
"""Docker leaves these to root in a container."""

OPERATORS = {
    "SCMP_CMP_EQ": pyseccomp.EQ,
    "SCMP_CMP_GT": pyseccomp.GT,
    "SCMP_CMP_LT": pyseccomp.LT,
    "SCMP_CMP_MASKED_EQ": pyseccomp.MASKED_EQ,
}
ARCHITECTURE = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}


def load(profile: Mapping[str, Any]) -> None:
    """Put a profile on this process, for good."""
    assert ARCHITECTURE[platform.machine()] in profile["architectures"]
    default = pyseccomp.ERRNO(profile["defaultErrnoRet"])
    made = pyseccomp.SyscallFilter(default)
    # Without this, libseccomp sets no_new_privs, which a container has only if it is asked for.
    made.set_attr(pyseccomp.Attr.CTL_NNP, 0)
    for rule in profile["syscalls"]:
        is_allowed = rule["action"] == "SCMP_ACT_ALLOW"
        action = pyseccomp.ALLOW if is_allowed else pyseccomp.ERRNO(rule["errnoRet"])
        if action == default:
            continue  # libseccomp refuses a rule that changes nothing
        arguments = [
            pyseccomp.Arg(a["index"], OPERATORS[a["op"]], a["value"], a.get("valueTwo", 0))
            for a in rule.get("args", ())
        ]
        for name in rule["names"]:
            try:
                made.add_rule(action, name, *arguments)
            except (OSError, ValueError, RuntimeError):
                # `runc` also passes over a name that this libseccomp, or this architecture, does not have.
                if name in MUST_BE_KNOWN:
                    raise
    made.load()


MUST_BE_KNOWN = frozenset(
    ("clone", "clone3", "fsopen", "landlock_create_ruleset", "mount", "openat", "ptrace", "unshare")
)


def run_contained(
    command: Sequence[str],
    profile: Mapping[str, Any] | None,
    *,
    user: int,
    capabilities: Sequence[str] = (),
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.  The caller must be root.

    Args:
        command: The program, and its arguments.
        profile: A seccomp profile in the form of the OCI runtime specification; None: without.
        user: The user id; the group id is the same.
        capabilities: Those in the bounding set, which root has and others can not get.
        options: For `subprocess.run`.

    """
    bounding = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    became = ["setpriv", f"--bounding-set={bounding}", "--inh-caps=-all", "--clear-groups"]
    became += [f"--reuid={user}", f"--regid={user}", "--", *command]

    def behind_the_profile() -> None:
        if profile is not None:
            load(profile)

    return subprocess.run(
        became,
        preexec_fn=behind_the_profile,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
