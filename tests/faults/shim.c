/* Loaded before libc: lets one chosen call of a process fail, or kills the process there.

   Counted are calls on files below a folder, and large allocations. Nothing is counted before arm(). */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, RENAME = 4, CREATE = 8, REMOVE = 16, ALLOCATE = 32 };

static char folder[PATH_MAX];
static int kinds;
static long chosen;
static int number_of_error;
static int once;
static int deadly;
static size_t large;
static long counted;

/* Which calls are counted (kinds), and what becomes of the chosen one, from 1 on: an error, a kill. */
void arm(const char *below, int which, long call, int error, int only_once, int kills, size_t least) {
    strncpy(folder, below, sizeof folder - 1);
    kinds = which;
    chosen = call;
    number_of_error = error;
    once = only_once;
    deadly = kills;
    large = least;
    __atomic_store_n(&counted, 0, __ATOMIC_SEQ_CST);
}

long count(void) { return __atomic_load_n(&counted, __ATOMIC_SEQ_CST); }

static int fails(int kind) {
    if (!(kinds & kind)) return 0;
    long now = __atomic_add_fetch(&counted, 1, __ATOMIC_SEQ_CST);
    if (chosen == 0 || now < chosen || (once && now > chosen)) return 0;
    if (deadly) kill(getpid(), SIGKILL);
    errno = number_of_error;
    return 1;
}

static int below(const char *path) {
    return folder[0] && strncmp(path, folder, strlen(folder)) == 0;
}

static int of_file(int file) {
    if (!folder[0]) return 0;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return below(path);
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int file, const void *data, size_t size) {
    REAL(write);
    if (kinds & WRITE && of_file(file)) {
        if (deadly && chosen && count() + 1 >= chosen) real(file, data, size / 2); /* torn */
        if (fails(WRITE)) return -1;
    }
    return real(file, data, size);
}

int fsync(int file) {
    REAL(fsync);
    return of_file(file) && fails(SYNC) ? -1 : real(file);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    return below(to) && fails(RENAME) ? -1 : real(from, to);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    return below(path) && fails(CREATE) ? -1 : real(path, mode);
}

int unlink(const char *path) {
    REAL(unlink);
    return below(path) && fails(REMOVE) ? -1 : real(path);
}

static int creates(const char *path, int flags) {
    return (flags & (O_WRONLY | O_RDWR)) && below(path) && fails(CREATE);
}

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        REAL(name);                                                                                                    \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = va_arg(rest, mode_t);                                                                            \
        va_end(rest);                                                                                                  \
        return creates(path, flags) ? -1 : real(path, flags, mode);                                                    \
    }

OPEN(open)
OPEN(open64)

static int denied(size_t size) { return kinds & ALLOCATE && size >= large && fails(ALLOCATE); }

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *malloc(size_t size) { return denied(size) ? NULL : __libc_malloc(size); }

void *calloc(size_t count, size_t size) { return denied(count * size) ? NULL : __libc_calloc(count, size); }

void *realloc(void *old, size_t size) { return denied(size) ? NULL : __libc_realloc(old, size); }

int posix_memalign(void **place, size_t alignment, size_t size) {
    if (denied(size)) return ENOMEM;
    *place = __libc_memalign(alignment, size);
    return *place ? 0 : ENOMEM;
}
