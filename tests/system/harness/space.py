"""Private namespaces, so that tests change nothing of the machine.

Called by root, the whole test run enters a mount and a network namespace of
its own: loopback only, its own /etc with the accounts of Hauberk and two
mailbox users. Without root nothing is entered, and only the unprivileged mode
is tested.
"""

import ctypes
import fcntl
import os
import shutil
import socket
import stat
import struct
import subprocess
import tempfile

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
SIOCSIFFLAGS = 0x8914
IFF_UP_RUNNING = 0x41

ROLES = ("", "r", "q", "d", "k", "c")
FIRST_ID = 7050
SUBMIT_GROUP = "_hauberkm"
SUBMIT_GID = 7049
# accounts with mailboxes, for delivery to system users
PEOPLE = (("hbalice", 7101), ("hbbob", 7102))
# what the real peers want to find
SERVICE = (("Debian-exim", 7111), ("dovecot", 7112), ("dovenull", 7113),
           ("postfix", 7114), ("postdrop", 7115))

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        err = ctypes.get_errno()
        raise OSError(err, what + ": " + os.strerror(err))


class Space:
    """The private world of one test run."""

    def __init__(self):
        self.private = False
        self.folder = tempfile.mkdtemp(prefix="hauberk-system-")
        os.chmod(self.folder, 0o755)
        self.net = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def enter(self):
        _check(_libc.unshare(CLONE_NEWNS | CLONE_NEWNET), "unshare")
        _mount("none", "/", MS_REC | MS_PRIVATE)
        _loopback_up()
        self._accounts()
        _mount_tmpfs("/var/mail")
        self.private = True

    def homes(self):
        return os.path.join(self.folder, "home")

    def _accounts(self):
        """Bind our own /etc over the machine's.  A file alone would be there
        until somebody replaces the machine's, then the kernel unmounts it."""
        etc = os.path.join(self.folder, "etc")
        subprocess.run(["cp", "-a", "/etc", etc], check=True)
        os.makedirs(self.homes())
        users, groups = [], ["%s:x:%d:" % (SUBMIT_GROUP, SUBMIT_GID)]
        rows = [("_hauberk" + r, FIRST_ID + i, "/nonexistent")
                for i, r in enumerate(ROLES)]
        rows += [(n, i, "/nonexistent") for n, i in SERVICE]
        rows += [(n, i, os.path.join(self.homes(), n)) for n, i in PEOPLE]
        for name, number, home in rows:
            users.append("%s:x:%d:%d::%s:/bin/sh" % (name, number, number,
                                                     home))
            groups.append("%s:x:%d:" % (name, number))
        for name, number in PEOPLE:
            home = os.path.join(self.homes(), name)
            os.mkdir(home, 0o700)
            os.chown(home, number, number)
        for file, lines in (("passwd", users), ("group", groups)):
            copy = os.path.join(etc, file)
            with open(copy) as f:
                old = f.read().rstrip("\n")
            with open(copy, "w") as f:
                f.write("\n".join([old] + lines) + "\n")
        _mount(etc, "/etc", MS_BIND)

    def leave(self):
        """Give back the bind mounts and remove the folder."""
        if self.private:
            for path in ("/etc", "/var/mail"):
                _libc.umount2(path.encode(), MNT_DETACH)
        shutil.rmtree(self.folder, ignore_errors=True)

    def outside(self):
        """What to put before a command that needs the machine's network."""
        if not self.private:
            return []
        return ["nsenter", "--net=/proc/%d/fd/%d" % (os.getpid(), self.net)]

    def own_copy(self, prefix):
        """Bind a copy of an installed tree over itself.

        The copy can be given the rights an installation by root has, and the
        original stays what it was."""
        submit = os.path.join(prefix, "libexec/hauberk/hauberk-submit")
        if os.path.exists(submit) and os.stat(submit).st_mode & stat.S_ISGID:
            return
        copy = os.path.join(self.folder, "installed")
        subprocess.run(["cp", "-a", prefix, copy], check=True)
        subprocess.run(["chown", "-R", "0:0", copy], check=True)
        submit = os.path.join(copy, "libexec/hauberk/hauberk-submit")
        if os.path.exists(submit):
            os.chown(submit, 0, SUBMIT_GID)
            os.chmod(submit, 0o2755)
        _mount(copy, prefix, MS_BIND)


def _mount(source, target, flags, kind=None):
    _check(_libc.mount(source.encode(), target.encode(),
                       kind and kind.encode(), flags, None),
           "mount " + target)


def _mount_tmpfs(target):
    if os.path.isdir(target):
        _mount("tmpfs", target, 0, "tmpfs")
        os.chmod(target, 0o1777)


def _loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack("16sH14x", b"lo", IFF_UP_RUNNING)
        fcntl.ioctl(s, SIOCSIFFLAGS, request)
