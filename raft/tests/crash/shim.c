/* Records what a process does to the files under CRASH_DIR, and what it says on stdout, in order,
 * into CRASH_TRACE. Loaded with LD_PRELOAD. A write is recorded before it is done, a sync when it
 * begins and again when it has ended: what was recorded before its beginning is durable at its
 * end, and nothing else ever is (sync_file_range promises nothing, and is not looked at). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { WRITE = 1, TRUNCATE, SYNC_BEGIN, SYNC_END, CREATE, MKDIR, RENAME, UNLINK, SAY };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;

struct __attribute__((packed)) head {
    uint8_t kind;
    uint32_t path_length, data_length;
    uint64_t offset;
};

static void record(enum kind kind, const char *path, uint64_t offset, const void *data, size_t n)
{
    if (trace < 0)
        trace = syscall(SYS_openat, AT_FDCWD, getenv("CRASH_TRACE"),
                        O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct head head = { kind, strlen(path), n, offset };
    struct iovec parts[3] = { { &head, sizeof head }, { (void *)path, head.path_length },
                              { (void *)data, n } };
    if (syscall(SYS_writev, trace, parts, 3) != (long)(sizeof head + head.path_length + n))
        abort();
}

static int ours(const char *path)
{
    const char *dir = getenv("CRASH_DIR");
    return dir && path && strncmp(path, dir, strlen(dir)) == 0;
}

static int path_of(int fd, char *path)
{
    char link[64] = "/proc/self/fd/", digits[16];
    int saved = errno, n = 0, at = 14;
    if (fd < 0)
        return 0;
    do digits[n++] = '0' + fd % 10; while ((fd /= 10) > 0);
    while (n > 0) link[at++] = digits[--n];
    link[at] = 0;
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    errno = saved;
    path[length > 0 ? length : 0] = 0;
    return ours(path);
}

static int do_open(int at, const char *path, int flags, mode_t mode)
{
    if (!ours(path) || !(flags & (O_CREAT | O_TRUNC)))
        return syscall(SYS_openat, at, path, flags, mode);
    pthread_mutex_lock(&lock);
    int there = access(path, F_OK) == 0;
    int fd = syscall(SYS_openat, at, path, flags, mode), saved = errno;
    if (fd >= 0 && !there)
        record(CREATE, path, 0, 0, 0);
    if (fd >= 0 && there && flags & O_TRUNC)
        record(TRUNCATE, path, 0, 0, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return fd;
}

#define MODE(flags, last) \
    mode_t mode = 0; \
    if (flags & O_CREAT) { va_list args; va_start(args, last); mode = va_arg(args, mode_t); va_end(args); }

int open(const char *path, int flags, ...) { MODE(flags, flags) return do_open(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, flags) return do_open(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags, flags) return do_open(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags, flags) return do_open(at, path, flags, mode); }

ssize_t pwrite64(int fd, const void *data, size_t n, off_t offset)
{
    char path[PATH_MAX];
    if (!path_of(fd, path))
        return syscall(SYS_pwrite64, fd, data, n, offset);
    pthread_mutex_lock(&lock);
    record(WRITE, path, offset, data, n);
    ssize_t done = syscall(SYS_pwrite64, fd, data, n, offset);
    pthread_mutex_unlock(&lock);
    return done;
}
ssize_t pwrite(int fd, const void *data, size_t n, off_t offset) { return pwrite64(fd, data, n, offset); }

ssize_t write(int fd, const void *data, size_t n)
{
    char path[PATH_MAX];
    if (fd == 1 && getenv("CRASH_DIR")) {
        pthread_mutex_lock(&lock);
        record(SAY, "", 0, data, n);
        pthread_mutex_unlock(&lock);
    }
    if (!path_of(fd, path))
        return syscall(SYS_write, fd, data, n);
    pthread_mutex_lock(&lock);
    struct stat now;
    off_t offset = lseek(fd, 0, SEEK_CUR);
    if (fcntl(fd, F_GETFL) & O_APPEND && fstat(fd, &now) == 0)
        offset = now.st_size;
    record(WRITE, path, offset, data, n);
    ssize_t done = syscall(SYS_write, fd, data, n);
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate64(int fd, off_t length)
{
    char path[PATH_MAX];
    if (!path_of(fd, path))
        return syscall(SYS_ftruncate, fd, length);
    pthread_mutex_lock(&lock);
    record(TRUNCATE, path, length, 0, 0);
    int done = syscall(SYS_ftruncate, fd, length);
    pthread_mutex_unlock(&lock);
    return done;
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

/* The engine uses neither of these; were it to begin, its writes would go unseen. */
int fallocate(int fd, int mode, off_t offset, off_t n) { (void)fd, (void)mode, (void)offset, (void)n; abort(); }
int fallocate64(int fd, int mode, off_t offset, off_t n) { return fallocate(fd, mode, offset, n); }

static int do_sync(int fd, long call)
{
    char path[PATH_MAX];
    if (!path_of(fd, path))
        return syscall(call, fd);
    pthread_mutex_lock(&lock);
    record(SYNC_BEGIN, path, 0, 0, 0);
    pthread_mutex_unlock(&lock);
    int done = syscall(call, fd), saved = errno;
    pthread_mutex_lock(&lock);
    if (done == 0)
        record(SYNC_END, path, 0, 0, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return done;
}
int fsync(int fd) { return do_sync(fd, SYS_fsync); }
int fdatasync(int fd) { return do_sync(fd, SYS_fdatasync); }

static int done_to(int done, enum kind kind, const char *path, const char *other)
{
    int saved = errno;
    if (done == 0 && ours(path))
        record(kind, path, 0, other, strlen(other));
    errno = saved;
    return done;
}

int mkdir(const char *path, mode_t mode)
{
    pthread_mutex_lock(&lock);
    int done = done_to(syscall(SYS_mkdirat, AT_FDCWD, path, mode), MKDIR, path, "");
    pthread_mutex_unlock(&lock);
    return done;
}
int rename(const char *from, const char *to)
{
    pthread_mutex_lock(&lock);
    int done = done_to(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0), RENAME, from, to);
    pthread_mutex_unlock(&lock);
    return done;
}
int unlink(const char *path)
{
    pthread_mutex_lock(&lock);
    int done = done_to(syscall(SYS_unlinkat, AT_FDCWD, path, 0), UNLINK, path, "");
    pthread_mutex_unlock(&lock);
    return done;
}
