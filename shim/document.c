/* The XML file: locked, read, replaced. SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The new document is written under one fixed name beside the file, PATH.hookd, and renamed over it. That name belongs
 * to whoever holds the lock on the file that PATH names now:
 *  - The lock is the inode's. So with the lock in hand we look whether PATH still names that inode, else start again.
 *    Only a rename makes it name another, and a shim renames only while the name is its own. So what we saw holds until
 *    we rename or die, and the name has one owner at a time.
 *  - A PATH.hookd that its owner finds is nobody's: a killed run left it. Once we have renamed, ours is another's.
 * However we die, the kernel drops the lock after our last system call. Programs that replace the file without the lock
 * are not kept out: vdsm runs its hooks one after the other. */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>

#include "shim.h"

static char temporary[PATH_MAX]; /* PATH.hookd */

/* -1: see errno, with ELOOP for what is no regular file. NONBLOCK is for a FIFO, NOCTTY for a terminal: neither is for
 * us, but only the open file tells for sure. */
int open_regular(const char *path, struct stat *status) {
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, status) < 0)
        return -1;
    errno = ELOOP;
    return S_ISREG(status->st_mode) ? fd : -1;
}

struct document document_lock(const struct call *call, const char *path) {
    struct stat opened, named;
    if (!path || *path != '/' || strlen(path) + sizeof ".hookd" > sizeof temporary)
        refuse(call, BAD_DOCUMENT, path ? path : "", "in _hook_domxml is not the absolute path of a file", NULL);
    strcpy(stpcpy(temporary, path), ".hookd");
    for (;;) {
        int fd = open_regular(path, &opened);
        if (fd < 0 && errno == ELOOP)
            refuse(call, FOREIGN_DOCUMENT, path, "is a link, or not a regular file", NULL);
        if (fd < 0)
            refuse(call, BAD_DOCUMENT, path, "can't be opened: ", strerror(errno), NULL);
        if (opened.st_uid != geteuid())
            refuse(call, FOREIGN_DOCUMENT, path, "belongs to another user", NULL);
        bool is_locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
        if (!is_locked && errno != EWOULDBLOCK && errno != EINTR)
            refuse(call, BAD_DOCUMENT, path, "can't be locked: ", strerror(errno), NULL);
        if (is_locked && lstat(path, &named) == 0 && named.st_dev == opened.st_dev && named.st_ino == opened.st_ino)
            return (struct document){path, fd, named.st_mode & 07777, (size_t)named.st_size};
        (void)close(fd); /* another holds the lock, or PATH names another file by now */
        if (!pause_for_another(call))
            refuse(call, BAD_DOCUMENT, path, "stayed locked by another process", NULL);
    }
}

/* NULL, or what went wrong. There is room for one byte more than the size: in it, a file that grew shows itself. */
const char *read_file(int fd, size_t size, void *into) {
    size_t have = 0;
    for (ssize_t got = 1; got != 0 && have < size;) {
        got = read(fd, (char *)into + have, size + 1 - have);
        if (got < 0 && errno != EINTR)
            return strerror(errno);
        have += got > 0 ? (size_t)got : 0;
    }
    return have == size ? NULL : "it changed while it was read";
}

static int create_temporary(void) {
    return open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* No fsync: the file lives for one start of a VM, and need not outlive the host. fchmod always: one call is less than
 * the question whether the umask made it needless. close is checked: on NFS it is the one to report a full disk.
 * The deadline is not looked at any more: a document that is late but whole is still an answer. */
void document_replace(const struct call *call, const struct document *document, const struct reply *reply) {
    (void)signal(SIGXFSZ, SIG_IGN); /* beyond RLIMIT_FSIZE write() shall fail, not kill us */
    int fd = create_temporary();
    if (fd < 0 && errno == EEXIST && unlink(temporary) == 0) /* a killed run's, see above */
        fd = create_temporary();
    if (fd < 0)
        refuse(call, WRITE_FAILED, temporary, "can't be created: ", strerror(errno), NULL);
    const uint8_t *at = reply->body, *end = at + reply->length;
    for (ssize_t count = 0; at < end && (count >= 0 || errno == EINTR); at += count > 0 ? count : 0)
        count = write(fd, at, (size_t)(end - at));
    if (at == end && fchmod(fd, document->mode) == 0 &&
        (close(fd) == 0 || errno == EINTR) && /* interrupted, it has closed all the same */
        rename(temporary, document->path) == 0)
        return; /* there is no way back from here: nothing that follows may fail */
    int error = errno;
    (void)unlink(temporary);
    refuse(call, WRITE_FAILED, temporary, "can't be put in place: ", strerror(error), NULL);
}
