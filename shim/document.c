/* The XML file: locked, read, replaced. SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The new document is written under one fixed name beside the file, PATH.hookd, and renamed over it. That name belongs
 * to whoever holds the lock on the file that PATH names now:
 *  - The lock is the inode's. So with the lock in hand we look whether PATH still names that inode; if another shim's
 *    rename came between our open and our lock, we start again, with the new file.
 *  - Only a rename makes PATH name another inode, and a shim renames only while the name is its own. So what we saw
 *    holds until we rename or die, and the name has one owner at a time.
 *  - A PATH.hookd that its owner finds is therefore nobody's: a killed run left it. It may go.
 *  - Once we have renamed, the old inode's lock entitles nobody to anything: we must not touch PATH.hookd any more.
 * However we die, the kernel drops the lock after our last system call. Programs that replace the file without the lock
 * are not kept out: vdsm runs its hooks one after the other. */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "shim.h"

static char temporary[PATH_MAX]; /* PATH.hookd */

static int open_document(const struct call *call, const char *path, struct stat *status) {
    /* NONBLOCK is for a FIFO, NOCTTY for a terminal: neither is for us, but only the open file tells for sure. */
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ELOOP)
        refuse(call, FOREIGN_DOCUMENT, path, "is a symbolic link", NULL);
    if (fd < 0 || fstat(fd, status) < 0)
        refuse(call, BAD_DOCUMENT, path, "can't be opened: ", strerror(errno), NULL);
    if (!S_ISREG(status->st_mode))
        refuse(call, FOREIGN_DOCUMENT, path, "is not a regular file", NULL);
    if (status->st_uid != getauxval(AT_EUID)) /* geteuid(), without a system call */
        refuse(call, FOREIGN_DOCUMENT, path, "belongs to another user", NULL);
    return fd;
}

/* False: another holds the lock, or PATH names another file by now. */
static bool lock_if_named(const struct call *call, const char *path, int fd, struct stat *status) {
    struct stat opened = *status;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return lstat(path, status) == 0 && status->st_dev == opened.st_dev && status->st_ino == opened.st_ino;
    if (errno != EWOULDBLOCK && errno != EINTR)
        refuse(call, BAD_DOCUMENT, path, "can't be locked: ", strerror(errno), NULL);
    return false;
}

struct document document_lock(const struct call *call, const char *path) {
    struct stat status;
    if (!path || *path != '/' || strlen(path) + sizeof ".hookd" > sizeof temporary)
        refuse(call, BAD_DOCUMENT, path ? path : "", "in _hook_domxml is not the absolute path of a file", NULL);
    strcpy(stpcpy(temporary, path), ".hookd");
    for (unsigned attempt = 1;; attempt++) {
        int fd = open_document(call, path, &status);
        if (lock_if_named(call, path, fd, &status)) {
            if (status.st_size > DOCUMENT_MAX)
                refuse(call, TOO_LARGE, path, "is larger than 4 MiB", NULL);
            return (struct document){path, fd, status.st_mode & 07777, (size_t)status.st_size};
        }
        (void)close(fd);
        if (!pause_before(call, attempt))
            refuse(call, BAD_DOCUMENT, path, "stayed locked by another process", NULL);
    }
}

/* There is room for one byte more than the file's size: in it, a file that grew shows itself. */
void document_read(const struct call *call, const struct document *document, uint8_t *into) {
    size_t have = 0;
    for (ssize_t got = 1; got != 0 && have < document->size;) {
        got = read(document->fd, into + have, document->size + 1 - have);
        if (got < 0 && errno != EINTR)
            refuse(call, BAD_DOCUMENT, document->path, "can't be read: ", strerror(errno), NULL);
        have += got > 0 ? (size_t)got : 0;
    }
    if (have != document->size)
        refuse(call, BAD_DOCUMENT, document->path, "changed while it was read", NULL);
}

static int create_temporary(void) {
    static const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = open(temporary, flags, 0600);
    bool is_left_over = fd < 0 && errno == EEXIST; /* a killed run's, see above */
    return is_left_over && unlink(temporary) == 0 ? open(temporary, flags, 0600) : fd;
}

static bool write_all(int fd, const uint8_t *bytes, size_t length) {
    for (size_t done = 0; done < length;) {
        ssize_t count = write(fd, bytes + done, length - done);
        if (count < 0 && errno != EINTR)
            return false;
        done += count > 0 ? (size_t)count : 0;
    }
    return true;
}

/* No fsync: the file lives for one start of a VM, and need not outlive the host. fchmod always: one call is less than
 * the question whether the umask made it needless. close is checked: on NFS it is the one to report a full disk.
 * The deadline is not looked at any more: a document that is late but whole is still an answer. */
void document_replace(const struct call *call, const struct document *document, const struct reply *reply) {
    (void)signal(SIGXFSZ, SIG_IGN); /* beyond RLIMIT_FSIZE write() shall fail, not kill us */
    int fd = create_temporary();
    if (fd < 0)
        refuse(call, WRITE_FAILED, temporary, "can't be created: ", strerror(errno), NULL);
    if (write_all(fd, reply->body, reply->length) && fchmod(fd, document->mode) == 0 &&
        (close(fd) == 0 || errno == EINTR) && /* interrupted, it has closed all the same */
        rename(temporary, document->path) == 0)
        return; /* there is no way back from here: nothing that follows may fail */
    int error = errno;
    (void)unlink(temporary);
    refuse(call, WRITE_FAILED, temporary, "can't be put in place: ", strerror(error), NULL);
}
