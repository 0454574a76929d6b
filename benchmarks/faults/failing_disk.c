/* Preloaded into a process: the Nth call that changes anything below a folder fails, with any errno.

   armed(folder, n, error) starts the count; counted() gives the number of such calls since. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[PATH_MAX];
static long calls, fails_at;
static int code;

void armed(const char *path, long n, int error) {
    strncpy(folder, path, sizeof folder - 1);
    calls = 0, fails_at = n, code = error;
}

long counted(void) { return calls; }

static int below(const char *path) { return folder[0] && path && !strncmp(path, folder, strlen(folder)); }

static int of(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return below(path);
}

static int fails(int concerned) {
    if (!concerned || calls++ != fails_at) return 0;
    errno = code;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define WRAP(type, name, parameters, concerned, arguments) \
    type name parameters { return fails(concerned) ? -1 : REAL(name) arguments; }

WRAP(ssize_t, write, (int fd, const void *data, size_t size), of(fd), (fd, data, size))
WRAP(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), of(fd), (fd, data, size, at))
WRAP(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), of(fd), (fd, data, size, at))
WRAP(int, fsync, (int fd), of(fd), (fd))
WRAP(int, fdatasync, (int fd), of(fd), (fd))
WRAP(int, ftruncate, (int fd, off_t size), of(fd), (fd, size))
WRAP(int, ftruncate64, (int fd, off64_t size), of(fd), (fd, size))
WRAP(int, rename, (const char *from, const char *to), below(to), (from, to))
WRAP(int, unlink, (const char *path), below(path), (path))
WRAP(int, rmdir, (const char *path), below(path), (path))
WRAP(int, mkdir, (const char *path, mode_t mode), below(path), (path, mode))

#define OPEN(name)                                                            \
    int name(const char *path, int flags, ...) {                              \
        va_list rest;                                                         \
        va_start(rest, flags);                                                \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;             \
        va_end(rest);                                                         \
        if (fails((flags & (O_WRONLY | O_RDWR)) && below(path))) return -1;   \
        return REAL(name)(path, flags, mode);                                 \
    }
OPEN(open)
OPEN(open64)
