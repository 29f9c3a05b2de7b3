"""The policy of system calls for a confined child; all of it is in this file.

Calls are denied by default.  A call that is not named fails with ENOSYS, as if the kernel lacked
it, so that libraries fall back to older calls.  A call that libraries plausibly try is refused
(EPERM), and they go on or report it.  A call that honest libraries never make in a job ends the
process (SIGSYS).
"""

from __future__ import annotations

import errno
from typing import Final

from sandbox_child.confine.bpf import ALLOW, KILL, Code, Question, either, flags, refuse, verdict

OWN_PID: Final = 0x7FFFFFFF
"""Marks the child's own pid in a program; processes never have this number (pid_max is 2^22)."""

ALLOWED: Final = """
    access alarm brk clock_getres clock_gettime close dup dup2 epoll_ctl epoll_pwait epoll_pwait2
    epoll_wait exit exit_group faccessat fstat getcpu getcwd getdents64 getegid geteuid getgid
    getgroups getitimer getpeername getpgrp getpid getppid getresgid getresuid getrlimit getrusage
    getsockname gettid gettimeofday getuid lseek lstat munmap nanosleep pause pipe poll ppoll
    pread64 preadv pselect6 read readlink readlinkat readv restart_syscall rseq rt_sigaction
    rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait sched_getaffinity
    sched_yield select set_robust_list set_tid_address setitimer shutdown sigaltstack stat sysinfo
    time times uname wait4 waitid write writev
"""
"""Calls that are allowed with all arguments, because they have no flags that change their effect.

Calls that make a file, a socket, a process or shared memory are missing on purpose. access, stat
and readlink show that a file exists; Landlock does not restrict them, but `mounts` does. wait4 and
waitid never find a child.
"""

THREAD_FLAGS: Final = 0x3D0F00
"""The flags that pthread_create passes to clone: VM FS FILES SIGHAND THREAD SYSVSEM SETTLS
PARENT_SETTID CHILD_CLEARTID. musl adds DETACHED, which has no meaning any more."""
DETACHED: Final = 0x400000
FORK_FLAGS: Final = 0x01208011
"""The flags with which a warm zygote forks: SIGCHLD, CLONE_PARENT, CHILD_SETTID and CHILD_CLEARTID."""
FORK_FLAGS_WITH_SCRATCH: Final = FORK_FLAGS | 0x10020000
"""The same with NEWUSER and NEWNS: a fork with a scratch directory has mounts of its own."""
MAP_SHARED: Final = 0x01
MAP_ANONYMOUS: Final = 0x20
AF_UNIX: Final = 1
AF_INET: Final = 2
AF_INET6: Final = 10
SOCK_STREAM: Final = 1
SOCK_DGRAM: Final = 2
SOCK_TYPE: Final = 0xF
"""The mask of the type, without NONBLOCK and CLOEXEC, which are in the same argument."""
IPPROTO_IP: Final = 0
IPPROTO_TCP: Final = 6
IPPROTO_UDP: Final = 17
IPPROTO_IPV6: Final = 41
PIPE_FLAGS: Final = 0x80800
"""CLOEXEC and NONBLOCK.  EXCL would make a notification queue."""
FUTEX_OPERATION: Final = 0x7F
HARMLESS_FUTEXES: Final = (0, 1, 3, 4, 5, 9, 10)
"""WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, WAIT_BITSET, WAKE_BITSET. Operations on mutexes that
inherit priority are left out, because many faults of the kernel were found there."""
HARMLESS_ADVICE: Final = (0, 1, 2, 3, 4, 8, 14, 15, 16, 17)
"""NORMAL, RANDOM, SEQUENTIAL, WILLNEED, DONTNEED, FREE, HUGEPAGE, NOHUGEPAGE, DONTDUMP, DODUMP.
MERGEABLE is left out: the timing of merged pages reveals the memory of other processes."""

CLOEXEC: Final = 0x80000
NONBLOCK: Final = 0x800
OPEN_FLAGS: Final = 0x2BCFC3
"""The access mode, CREAT EXCL NOCTTY TRUNC APPEND NONBLOCK DIRECT DIRECTORY NOFOLLOW LARGEFILE
CLOEXEC PATH.  The two architectures give some of these each other's numbers.  FASYNC, which sends
signals, NOATIME and TMPFILE are left out.  Landlock decides about the files."""
STATUS_FLAGS: Final = 0x28C03
"""The flags for F_SETFL: the access mode, APPEND, NONBLOCK and LARGEFILE. DIRECT is left out: each
small write to such a pipe takes a page of the kernel's memory."""
STAT_FLAGS: Final = 0x7900
"""SYMLINK_NOFOLLOW, NO_AUTOMOUNT, EMPTY_PATH, and the flags for the freshness of the answer."""
MAP_FLAGS: Final = 0x12D833
"""SHARED PRIVATE FIXED ANONYMOUS DENYWRITE EXECUTABLE NORESERVE POPULATE STACK FIXED_NOREPLACE.
LOCKED, HUGETLB and GROWSDOWN are left out, because RLIMIT_DATA does not count their memory."""
PROTECTIONS: Final = 7
"""READ, WRITE, EXEC.  GROWSDOWN and GROWSUP would stretch a change over a whole stack."""
RECEIVE_FLAGS: Final = 0x40004162
"""PEEK TRUNC DONTWAIT WAITALL NOSIGNAL CMSG_CLOEXEC. OOB is left out: out-of-band data on Unix
sockets has let sandboxed programs into the kernel (CVE-2025-38236)."""
SEND_FLAGS: Final = 0xC040
"""DONTWAIT, NOSIGNAL, MORE. Left out are OOB, FASTOPEN, which connects past Landlock, and ZEROCOPY,
which pins memory outside all limits."""
SOL_SOCKET: Final = 1
READABLE_SOCKET_OPTIONS: Final = (
    *(
        2,
        3,
        4,
        6,
        7,
        8,
        9,
        10,
        13,
    ),  # REUSEADDR TYPE ERROR BROADCAST SNDBUF RCVBUF KEEPALIVE OOBINLINE LINGER
    *(15, 18, 20, 21, 30, 38, 39, 66, 67),  # REUSEPORT RCVLOWAT timeouts ACCEPTCONN PROTOCOL DOMAIN
)
"""Options at the level of sockets.  PEERCRED, PEERGROUPS and PEERPIDFD are left out, because they
reveal processes."""
SETTABLE_SOCKET_OPTIONS: Final = (2, 6, 9, 13, 15, 18, 20, 21, 66, 67)
"""REUSEADDR BROADCAST KEEPALIVE LINGER REUSEPORT RCVLOWAT and timeouts.  SNDBUF and RCVBUF are left
out: limits of an ordinary user do not count the kernel's memory behind them.  Filters (26, 50, 51,
52) are left out, too."""
TCP_OPTIONS: Final = (1, 2, 3, 4, 5, 6, 7, 12, 18, 36)
"""NODELAY MAXSEG CORK KEEPIDLE KEEPINTVL KEEPCNT SYNCNT QUICKACK USER_TIMEOUT INQ. FASTOPEN_CONNECT
(30), which connects past Landlock, and ULP (31), which loads modules of the kernel, are left
out."""
TCP_READABLE: Final = (*TCP_OPTIONS, 11, 13)
"""The same with INFO and CONGESTION."""
IP_OPTIONS: Final = (1, 2, 10, 11)
"""TOS TTL MTU_DISCOVER RECVERR; the C library's resolver asks for the last one."""
IPV6_OPTIONS: Final = (16, 23, 25, 26, 67)
"""UNICAST_HOPS MTU_DISCOVER RECVERR V6ONLY TCLASS."""

HARMLESS_IOCTLS: Final = (
    0x5401,  # TCGETS: isatty
    0x5413,  # TIOCGWINSZ: the width of a terminal
    0x541B,  # FIONREAD
    0x5421,  # FIONBIO
    0x5450,  # FIONCLEX
    0x5451,  # FIOCLEX
)
HARMLESS_FCNTLS: Final = (
    0,  # F_DUPFD
    1,  # F_GETFD
    2,  # F_SETFD
    3,  # F_GETFL
    5,  # F_GETLK
    1030,  # F_DUPFD_CLOEXEC
    1032,  # F_GETPIPE_SZ
)
"""Commands that are allowed with all arguments.  F_SETOWN and F_SETSIG are left out, because they
send signals.  F_SETPIPE_SZ and F_SETLK are left out, because they take kernel memory outside all
limits: a file can have any number of record locks."""
F_SETFL: Final = 4
HARMLESS_PRCTLS: Final = (
    15,  # PR_SET_NAME: the name of a thread
    16,  # PR_GET_NAME
    0x53564D41,  # PR_SET_VMA: the C library names its memory
)

_AT_FLAGS = flags(3, STAT_FLAGS)

CHECKED: Final[dict[str, tuple[Question, ...]]] = {
    "clock_nanosleep": (flags(1, 1),),  # TIMER_ABSTIME
    "clone": (Question(0, THREAD_FLAGS, mask=0xFFFFFFFF & ~DETACHED),),
    # UNSHARE would give each thread its own table of descriptors, with its own limit.
    "close_range": (flags(2, 4),),  # CLOEXEC
    "dup3": (flags(2, CLOEXEC),),
    "epoll_create1": (flags(0, CLOEXEC),),
    "eventfd2": (flags(1, CLOEXEC, NONBLOCK, 1),),  # SEMAPHORE
    "faccessat2": (flags(3, 0x200, STAT_FLAGS),),  # EACCESS
    "futex": (Question(1, *HARMLESS_FUTEXES, mask=FUTEX_OPERATION),),
    "futex_waitv": (flags(2),),
    "getpgid": (Question(0, 0, OWN_PID),),
    "getrandom": (flags(2, 7),),  # NONBLOCK, RANDOM, INSECURE
    "getsid": (Question(0, 0, OWN_PID),),
    "ioctl": (Question(1, *HARMLESS_IOCTLS),),
    "kill": (Question(0, OWN_PID),),
    "madvise": (Question(2, *HARMLESS_ADVICE),),
    # QUERY, PRIVATE_EXPEDITED and its registration; the others interrupt processors of other
    # programs.
    "membarrier": (Question(0, 0, 8, 16), flags(1)),
    # RLIMIT_DATA does not count shared anonymous memory.
    "mmap": (
        Question(3, MAP_SHARED | MAP_ANONYMOUS, mask=MAP_SHARED | MAP_ANONYMOUS, unless=True),
        flags(3, MAP_FLAGS),
    ),
    "mprotect": (flags(2, PROTECTIONS),),
    "mremap": (flags(3, 3),),  # MAYMOVE, FIXED
    "newfstatat": (_AT_FLAGS,),
    "open": (flags(1, OPEN_FLAGS),),
    "openat": (flags(2, OPEN_FLAGS),),
    "pipe2": (flags(1, PIPE_FLAGS),),
    "prctl": (Question(0, *HARMLESS_PRCTLS),),
    # Only reading the process's own limits: pid 0 and no new limit.
    "prlimit64": (Question(0, 0), Question(2, 0, wide=True)),
    "recvfrom": (flags(3, RECEIVE_FLAGS),),
    # Only on a connected socket, because an address could name any socket of the machine.
    "sendto": (flags(3, SEND_FLAGS), Question(4, 0, wide=True)),
    # Only streams: a datagram socket of a pair can still send to any path.
    "socketpair": (Question(0, AF_UNIX), Question(1, SOCK_STREAM, mask=SOCK_TYPE), flags(2)),
    "statx": (flags(2, STAT_FLAGS),),
    "tgkill": (Question(0, OWN_PID),),
}
"""Calls that are allowed if the arguments pass every test; otherwise they are refused."""

EITHER: Final[dict[str, tuple[tuple[Question, ...], ...]]] = {
    "fcntl": (
        (Question(1, *HARMLESS_FCNTLS),),
        (Question(1, F_SETFL), flags(2, STATUS_FLAGS)),
    ),
    "getsockopt": ((Question(1, SOL_SOCKET), Question(2, *READABLE_SOCKET_OPTIONS)),),
}
"""Calls that are allowed if the arguments pass every test of one row; otherwise they are
refused."""

CHECKED_WITH_NET: Final[dict[str, tuple[Question, ...]]] = {
    "recvmsg": (flags(2, RECEIVE_FLAGS),),
    "recvmmsg": (flags(3, RECEIVE_FLAGS, 0x10000),),  # WAITFORONE
    "socket": (
        Question(0, AF_INET, AF_INET6),
        Question(1, SOCK_STREAM, SOCK_DGRAM, mask=SOCK_TYPE),
        # 262 would be MPTCP, which Landlock's rights over TCP do not see.
        Question(2, 0, IPPROTO_TCP, IPPROTO_UDP),
    ),
    "sendto": (flags(3, SEND_FLAGS),),
    "sendmsg": (flags(2, SEND_FLAGS),),
    "sendmmsg": (flags(3, SEND_FLAGS),),
}
"""Replacements for a run with a network permission."""

EITHER_WITH_NET: Final[dict[str, tuple[tuple[Question, ...], ...]]] = {
    "getsockopt": (
        *EITHER["getsockopt"],
        (Question(1, IPPROTO_TCP), Question(2, *TCP_READABLE)),
        (Question(1, IPPROTO_IP), Question(2, *IP_OPTIONS)),
        (Question(1, IPPROTO_IPV6), Question(2, *IPV6_OPTIONS)),
    ),
    "setsockopt": (
        (Question(1, SOL_SOCKET), Question(2, *SETTABLE_SOCKET_OPTIONS)),
        (Question(1, IPPROTO_TCP), Question(2, *TCP_OPTIONS)),
        (Question(1, IPPROTO_IP), Question(2, *IP_OPTIONS)),
        (Question(1, IPPROTO_IPV6), Question(2, *IPV6_OPTIONS)),
    ),
}
"""The same, for calls with an argument that gives another argument its meaning."""

ALLOWED_WITH_NET: Final = "connect"

ALLOWED_WITH_SCRATCH: Final = (
    "creat fdatasync fsync ftruncate mkdir mkdirat pwrite64 pwritev rename renameat rmdir truncate"
    " unlink"
)
"""Calls for a run with a scratch directory.  All other directories are read-only (`mounts`, and
`landlock` for all but modes and times)."""

PERMISSION_BITS: Final = 0o777
"""The bits of a mode without setuid, setgid and sticky."""

CHECKED_WITH_SCRATCH: Final[dict[str, tuple[Question, ...]]] = {
    "chmod": (flags(1, PERMISSION_BITS),),
    "fchmodat": (flags(2, PERMISSION_BITS),),
    "renameat2": (flags(4, 1),),  # NOREPLACE.  WHITEOUT would make a device.
    "unlinkat": (flags(2, 0x200),),  # REMOVEDIR
    "utimensat": (flags(3, 0x100),),  # SYMLINK_NOFOLLOW
}

UNSUPPORTED_WITH_SCRATCH: Final = "flistxattr listxattr llistxattr"
"""EOPNOTSUPP: functions that copy files then leave out extended attributes, which stay refused."""

REFUSED: Final = """
    accept accept4 arch_prctl bind capget capset chdir chmod chown connect copy_file_range creat
    epoll_create eventfd execve execveat fadvise64 fallocate fanotify_init fanotify_mark fchdir
    fchmod fchmodat fchown fchownat fdatasync fgetxattr flistxattr flock fork fremovexattr
    fsetxattr fstatfs fsync ftruncate futimesat get_mempolicy get_robust_list getpriority
    getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
    io_getevents io_pgetevents io_setup io_submit ioprio_get ioprio_set landlock_add_rule
    landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen listxattr
    llistxattr lremovexattr lsetxattr mbind memfd_create memfd_secret migrate_pages mincore
    mkdir mkdirat mknod mknodat mlock mlock2 mlockall move_pages mq_getsetattr mq_notify mq_open
    mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd msync munlock munlockall
    pidfd_open pidfd_send_signal pkey_alloc pkey_free pkey_mprotect preadv2 pwrite64 pwritev
    pwritev2 readahead recvmmsg recvmsg remap_file_pages removexattr rename renameat renameat2
    rmdir rt_sigqueueinfo rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min
    sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity
    sched_setattr sched_setparam sched_setscheduler seccomp semctl semget semop semtimedop
    sendfile sendmmsg sendmsg set_mempolicy set_mempolicy_home_node setdomainname setfsgid
    setfsuid setgid setgroups sethostname setpgid setpriority setregid setresgid setresuid
    setreuid setrlimit setsid setsockopt setuid setxattr shmat shmctl shmdt shmget signalfd
    signalfd4 socket splice statfs symlink symlinkat sync sync_file_range syncfs tee
    timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create
    timerfd_gettime timerfd_settime tkill truncate umask unlink unlinkat utime utimensat utimes
    vfork vmsplice
"""
"""EPERM: libraries try these calls and can work without them, or their user should see the
refusal."""

FATAL: Final = """
    acct add_key adjtimex bpf chroot clock_adjtime clock_settime delete_module finit_module
    fsconfig fsmount fsopen fspick init_module io_uring_enter io_uring_register io_uring_setup
    ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie modify_ldt mount
    mount_setattr move_mount name_to_handle_at nfsservctl open_by_handle_at open_tree
    perf_event_open personality pidfd_getfd pivot_root process_madvise process_mrelease
    process_vm_readv process_vm_writev ptrace quotactl quotactl_fd reboot request_key setns
    settimeofday swapoff swapon syslog umount2 unshare uselib userfaultfd vhangup
"""
"""SIGSYS: ways into other processes and into the large, privileged parts of the kernel."""

UNKNOWN: Final = "clone3 openat2"
"""ENOSYS although we know the calls: their arguments are in memory, where a filter cannot look.
Callers then use clone and openat."""


ANSWERS: Final = {"futex": errno.ENOSYS, "ioctl": errno.ENOTTY}
"""Errors that a library expects where EPERM would surprise it: unknown futex operation, not a
terminal."""


def verdicts(numbers: dict[str, int], *, net: bool, scratch: bool = False) -> dict[int, Code]:
    """Return the verdict on each system call that the policy names and the machine has."""
    by_name: dict[str, Code] = dict.fromkeys(ALLOWED.split(), verdict(ALLOW))
    by_name |= dict.fromkeys(REFUSED.split(), verdict(refuse(errno.EPERM)))
    by_name |= dict.fromkeys(FATAL.split(), verdict(KILL))
    by_name |= dict.fromkeys(UNKNOWN.split(), verdict(refuse(errno.ENOSYS)))
    rows = {name: (tests,) for name, tests in CHECKED.items()} | EITHER
    if net:
        rows |= {name: (tests,) for name, tests in CHECKED_WITH_NET.items()} | EITHER_WITH_NET
    if scratch:
        rows |= {name: (tests,) for name, tests in CHECKED_WITH_SCRATCH.items()}
    for name, alternatives in rows.items():
        by_name[name] = either(alternatives, refuse(ANSWERS.get(name, errno.EPERM)))
    if net:
        by_name |= dict.fromkeys(ALLOWED_WITH_NET.split(), verdict(ALLOW))
    if scratch:
        by_name |= dict.fromkeys(ALLOWED_WITH_SCRATCH.split(), verdict(ALLOW))
        unsupported = verdict(refuse(errno.EOPNOTSUPP))
        by_name |= dict.fromkeys(UNSUPPORTED_WITH_SCRATCH.split(), unsupported)
    return {numbers[name]: code for name, code in by_name.items() if name in numbers}


FOR_FORKS: Final[dict[str, tuple[tuple[Question, ...], ...]]] = {
    "clone": (CHECKED["clone"], (Question(0, FORK_FLAGS),)),
    "prctl": (
        CHECKED["prctl"],
        (Question(0, 1), Question(1, 9)),  # PR_SET_PDEATHSIG, SIGKILL
        (Question(0, 4), Question(1, 0)),  # PR_SET_DUMPABLE, off
    ),
    # Another filter can only take away more.
    "seccomp": ((Question(0, 1), Question(1, 0)),),  # SET_MODE_FILTER without flags
    "prlimit64": ((Question(0, 0),),),  # its own limits, which it can only lower
    "setsid": ((),),
    # The gate asks about these: see `sandbox_child.confine.gate`.
    "getpgid": ((),),
    "getsid": ((),),
    "kill": ((),),
    "tgkill": ((),),
}
"""Calls that a warm zygote and its forks may make, and a run may not.  Each fork puts the filter of a
run on top of this one."""


FOR_FORKS_WITH_SCRATCH: Final[dict[str, tuple[tuple[Question, ...], ...]]] = {
    **FOR_FORKS,
    "clone": (CHECKED["clone"], (Question(0, FORK_FLAGS_WITH_SCRATCH),)),
    # A fork begins with all capabilities over its own namespaces, and can only give them up.
    "capset": ((),),
}
"""The same if each fork has a scratch directory."""


def verdicts_with_forks(
    numbers: dict[str, int], *, net: bool, scratch: bool = False
) -> dict[int, Code]:
    """Return the verdicts for a warm zygote: those for a run, and what it needs for its forks."""
    rows = FOR_FORKS_WITH_SCRATCH if scratch else FOR_FORKS
    own = {
        numbers[name]: either(alternatives, refuse(errno.EPERM))
        for name, alternatives in rows.items()
    }
    return verdicts(numbers, net=net, scratch=scratch) | own
