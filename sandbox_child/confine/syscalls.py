"""Which system calls a confined child may make: the policy, and only here.

Default deny.  A call that is not named does not exist (ENOSYS), so that libraries fall back to what
they did before it was invented.  One that libraries plausibly try is refused (EPERM) and they carry
on or report it.  One that no honest library makes from inside a job ends the process (SIGSYS).
"""

from __future__ import annotations

import errno
from typing import Final

from sandbox_child.confine.bpf import ALLOW, KILL, Code, Question, checked, refuse, verdict

OWN_PID: Final = 0x7FFFFFFF
"""Stands in a program for the child's own pid; no process has this number (pid_max is 2^22)."""

ALLOWED: Final = """
    access alarm brk clock_getres clock_gettime clock_nanosleep close close_range dup dup2 dup3
    epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd2 exit exit_group
    faccessat faccessat2 fstat futex_waitv getcpu getcwd getdents64 getegid geteuid getgid
    getgroups getitimer getpeername getpgrp getpid getppid getrandom getresgid getresuid
    getrlimit getrusage getsockname getsockopt gettid gettimeofday getuid lseek lstat membarrier
    mprotect mremap munmap nanosleep newfstatat open openat pause pipe poll ppoll pread64 preadv
    pselect6 read readlink readlinkat readv recvfrom restart_syscall rseq rt_sigaction
    rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait sched_getaffinity
    sched_yield select set_robust_list set_tid_address setitimer shutdown sigaltstack stat statx
    sysinfo time times uname wait4 waitid write writev
"""
"""Whatever the arguments.

What is missing on purpose: everything that makes a file, a socket, a process or shared memory.
access, stat and readlink tell that a file exists; Landlock does not restrict them, `mounts` does.
wait4 and waitid only ever find that there is no child.
"""

THREAD_FLAGS: Final = 0x3D0F00
"""What pthread_create passes to clone: VM FS FILES SIGHAND THREAD SYSVSEM SETTLS PARENT_SETTID
CHILD_CLEARTID.  musl adds DETACHED, which has no meaning any more."""
DETACHED: Final = 0x400000
MAP_SHARED: Final = 0x01
MAP_ANONYMOUS: Final = 0x20
MAP_GROWSDOWN: Final = 0x100
AF_UNIX: Final = 1
AF_INET: Final = 2
AF_INET6: Final = 10
SOCK_STREAM: Final = 1
SOCK_DGRAM: Final = 2
SOCK_TYPE: Final = 0xF
"""Without NONBLOCK and CLOEXEC, which are in the same argument."""
MSG_FASTOPEN: Final = 0x20000000
IPPROTO_TCP: Final = 6
IPPROTO_UDP: Final = 17
PIPE_FLAGS: Final = 0x80800
"""CLOEXEC and NONBLOCK.  EXCL would make a notification queue."""
MADV_MERGEABLE: Final = 12
FUTEX_OPERATION: Final = 0x7F
PRIORITY_FUTEXES: Final = (6, 7, 8, 11, 12, 13)
"""LOCK_PI, UNLOCK_PI, TRYLOCK_PI, WAIT_REQUEUE_PI, CMP_REQUEUE_PI, LOCK_PI2: many faults of the
kernel were found there, and only mutexes that inherit priority use it."""
HARMFUL_SOCKET_OPTIONS: Final = (
    26,  # SO_ATTACH_FILTER
    30,  # TCP_FASTOPEN_CONNECT: connects past Landlock
    31,  # TCP_ULP: other protocols on top, by modules of the kernel
    50,  # SO_ATTACH_BPF
    51,  # SO_ATTACH_REUSEPORT_CBPF
    52,  # SO_ATTACH_REUSEPORT_EBPF
    60,  # SO_ZEROCOPY: pins memory that no limit counts
)
"""Whatever the level: the same numbers mean little elsewhere (IPV6_V6ONLY is for servers)."""

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
    4,  # F_SETFL
    5,  # F_GETLK: sqlite locks a database that it only reads
    6,  # F_SETLK
    1030,  # F_DUPFD_CLOEXEC
    1032,  # F_GETPIPE_SZ
)
"""Not F_SETOWN and F_SETSIG, which send signals; not F_SETPIPE_SZ, which takes kernel memory."""
HARMLESS_PRCTLS: Final = (
    15,  # PR_SET_NAME: the name of a thread
    16,  # PR_GET_NAME
    0x53564D41,  # PR_SET_VMA: the C library names its memory
)

CHECKED: Final[dict[str, tuple[Question, ...]]] = {
    "clone": (Question(0, THREAD_FLAGS, mask=0xFFFFFFFF & ~DETACHED),),
    "fcntl": (Question(1, *HARMLESS_FCNTLS),),
    "futex": (Question(1, *PRIORITY_FUTEXES, mask=FUTEX_OPERATION, unless=True),),
    "getpgid": (Question(0, 0, OWN_PID),),
    "getsid": (Question(0, 0, OWN_PID),),
    "ioctl": (Question(1, *HARMLESS_IOCTLS),),
    "kill": (Question(0, OWN_PID),),
    # Merged pages tell by their timing what other processes have in memory.
    "madvise": (Question(2, MADV_MERGEABLE, unless=True),),
    # Shared anonymous memory is not counted by RLIMIT_DATA, nor is what grows like a stack.
    "mmap": (
        Question(3, MAP_SHARED | MAP_ANONYMOUS, mask=MAP_SHARED | MAP_ANONYMOUS, unless=True),
        Question(3, 0, mask=MAP_GROWSDOWN),
    ),
    "pipe2": (Question(1, 0, mask=0xFFFFFFFF & ~PIPE_FLAGS),),
    "prctl": (Question(0, *HARMLESS_PRCTLS),),
    # Reading one's own limits, nothing else: pid 0 and no new limit.
    "prlimit64": (Question(0, 0), Question(2, 0, wide=True)),
    # On a connected socket only: an address could name any socket of the machine.
    "sendto": (Question(4, 0, wide=True),),
    # Stream only: a datagram socket can send to any path although it is one of a pair.
    "socketpair": (Question(0, AF_UNIX), Question(1, SOCK_STREAM, mask=SOCK_TYPE)),
    "tgkill": (Question(0, OWN_PID),),
}
"""Allowed if the arguments pass every test, else refused."""

CHECKED_WITH_NET: Final[dict[str, tuple[Question, ...]]] = {
    "socket": (
        Question(0, AF_INET, AF_INET6),
        Question(1, SOCK_STREAM, SOCK_DGRAM, mask=SOCK_TYPE),
        # 262 would be MPTCP, which Landlock's rights over TCP do not see.
        Question(2, 0, IPPROTO_TCP, IPPROTO_UDP),
    ),
    # Fast open connects without connect, past Landlock.
    "sendto": (Question(3, 0, mask=MSG_FASTOPEN),),
    "sendmsg": (Question(2, 0, mask=MSG_FASTOPEN),),
    "sendmmsg": (Question(3, 0, mask=MSG_FASTOPEN),),
    "setsockopt": (Question(2, *HARMFUL_SOCKET_OPTIONS, unless=True),),
}
"""What is different for a run with a network permission."""

ALLOWED_WITH_NET: Final = "connect recvmsg recvmmsg"

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
"""EPERM: libraries try these and can do without, or their user should learn that it is refused."""

FATAL: Final = """
    acct add_key adjtimex bpf chroot clock_adjtime clock_settime delete_module finit_module
    fsconfig fsmount fsopen fspick init_module io_uring_enter io_uring_register io_uring_setup
    ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie modify_ldt mount
    mount_setattr move_mount name_to_handle_at nfsservctl open_by_handle_at open_tree
    perf_event_open personality pidfd_getfd pivot_root process_madvise process_mrelease
    process_vm_readv process_vm_writev ptrace quotactl quotactl_fd reboot request_key setns
    settimeofday swapoff swapon syslog umount2 unshare uselib userfaultfd vhangup
"""
"""SIGSYS: ways into other processes and the large, privileged parts of the kernel."""

UNKNOWN: Final = "clone3 openat2"
"""ENOSYS although we know them: their arguments lie in memory, where no filter can look.  Callers
then use clone and openat."""


ANSWERS: Final = {"futex": errno.ENOSYS, "ioctl": errno.ENOTTY}
"""What a library takes for an answer where EPERM would surprise it: no such futex, no terminal."""


def verdicts(numbers: dict[str, int], *, net: bool) -> dict[int, Code]:
    """Return what happens to each system call that the policy names and the machine has."""
    by_name: dict[str, Code] = dict.fromkeys(ALLOWED.split(), verdict(ALLOW))
    by_name |= dict.fromkeys(REFUSED.split(), verdict(refuse(errno.EPERM)))
    by_name |= dict.fromkeys(FATAL.split(), verdict(KILL))
    by_name |= dict.fromkeys(UNKNOWN.split(), verdict(refuse(errno.ENOSYS)))
    tests = CHECKED | CHECKED_WITH_NET if net else CHECKED
    for name, questions in tests.items():
        by_name[name] = checked(questions, refuse(ANSWERS.get(name, errno.EPERM)))
    if net:
        by_name |= dict.fromkeys(ALLOWED_WITH_NET.split(), verdict(ALLOW))
    return {numbers[name]: code for name, code in by_name.items() if name in numbers}
