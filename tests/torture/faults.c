/* Faults at every call that changes the file system or sends a request: preloaded, steered through shared memory.
 *
 *   cc -shared -fPIC -O1 -o faults.so faults.c -ldl
 *   LD_PRELOAD=faults.so FAULTS=/dev/shm/control program
 *
 * One counter runs over all threads of the process, so call number N is a point in the life of the program, not of a
 * thread. The file named by FAULTS is mapped shared: whoever holds it arms a fault, reads the calls that were made, and
 * lifts the fault while the program runs. Only calls below one of the roots count, and what is sent over a socket.
 * faults.py is the other side of `struct control`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define LOG_BYTES (1 << 20)

enum action { NOTHING, KILL_BEFORE, KILL_AFTER, TORN, SHORT, INTERRUPT, FAIL_ONCE, FAIL_FROM, FAIL_THEN_KILL, FAIL_LATE };
enum trait { COUNT_SENDS = 1, NO_LINKS = 2, NO_EXCHANGE = 4, TWO_STEPS = 8 };

struct control {
  long armed;           /* 0: nothing is counted */
  long traits;          /* what the file system lacks, and whether requests count */
  long action, at, number;
  long gap;             /* calls from a failure to the death that follows it */
  _Atomic long lifted;  /* a lasting failure is over */
  _Atomic long count;   /* calls so far */
  _Atomic long struck;  /* faults that were dealt out */
  _Atomic long logged;  /* bytes of `log` */
  char roots[4096];     /* one after the other, each ended by a zero; an empty one ends them */
  char only[1024];      /* a lasting failure strikes only below this path; empty: everywhere */
  char log[LOG_BYTES];  /* one line per call: its name, a blank, its path */
};

static struct control *control;

__attribute__((constructor)) static void map_control(void) {
  const char *path = getenv("FAULTS");
  if (!path) return;
  int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *found = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (found != MAP_FAILED) control = found;
  syscall(SYS_close, fd);
}

static int is_below(const char *path, const char *root) {
  size_t length = strlen(root);
  return !strncmp(path, root, length) && (path[length] == '/' || path[length] == 0);
}

static int is_ours(const char *path) {
  if (!path) return 0;
  for (const char *root = control->roots; *root; root += strlen(root) + 1)
    if (is_below(path, root)) return 1;
  return 0;
}

static const char *path_of(int fd, char *room) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = syscall(SYS_readlink, link, room, PATH_MAX - 1);
  if (length < 0) return NULL;
  room[length] = 0;
  return room;
}

static const char *path_at(int folder, const char *name, char *room) {
  char above[PATH_MAX];
  if (!name || name[0] == '/') return name;
  if (folder == AT_FDCWD) { if (!getcwd(above, sizeof above)) return name; }
  else if (!path_of(folder, above)) return name;
  snprintf(room, PATH_MAX, "%.2000s/%.2000s", above, name);
  return room;
}

static __attribute__((noreturn)) void die(void) {
  syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
  for (;;) pause();
}

/* Other threads may come between, and one of them may be killed: hence the number. */
static void note(long number, const char *name, const char *path) {
  char line[PATH_MAX + 64];
  long length = snprintf(line, sizeof line, "%ld %s %s\n", number, name, path);
  long start = atomic_fetch_add(&control->logged, length);
  if (start + length <= LOG_BYTES) memcpy(control->log + start, line, length);
}

enum verdict { GO, FAIL, DIE_AFTER, TEAR, CUT_SHORT, LIE };

/* That a thing is there, or is not, is no answer to every call. */
static int may_answer(const char *name, int number) {
  if (number == EEXIST) return !strncmp(name, "link", 4) || !strncmp(name, "mkdir", 5);
  if (number == ENOENT) return !strncmp(name, "unlink", 6) || !strncmp(name, "rename", 6);
  return 1;
}

/* Count the call and say what becomes of it; `errno` is set when it is to fail. */
static enum verdict judge(const char *name, const char *path, int is_send) {
  if (!control || !control->armed) return GO;
  if (is_send ? !(control->traits & COUNT_SENDS) : !is_ours(path)) return GO;
  long number = atomic_fetch_add(&control->count, 1) + 1;
  note(number, name, path);
  if (control->action == NOTHING || number < control->at) return GO;
  if (control->action == FAIL_FROM) {
    if (control->lifted || is_send || (*control->only && !is_below(path, control->only))) return GO;
    atomic_fetch_add(&control->struck, 1);
    errno = control->number;
    return FAIL;
  }
  if (control->action == FAIL_THEN_KILL && number == control->at) {
    errno = control->number;
    return FAIL;
  }
  if (number != control->at + control->gap) return GO;
  if (control->action == FAIL_LATE && !may_answer(name, control->number)) return GO;
  atomic_fetch_add(&control->struck, 1);
  switch (control->action) {
    case KILL_BEFORE:
    case FAIL_THEN_KILL: die();
    case KILL_AFTER: return DIE_AFTER;
    case TORN: return TEAR;
    case SHORT: return CUT_SHORT;
    case INTERRUPT: errno = EINTR; return FAIL;
    case FAIL_ONCE: errno = control->number; return FAIL;
    case FAIL_LATE: return LIE;
  }
  return GO;
}

#define REAL(type, name, ...) \
  static type (*real)(__VA_ARGS__); \
  if (!real) real = dlsym(RTLD_NEXT, #name)
#define FINISH(call) do { \
    if (verdict == FAIL) return -1; \
    if (verdict == TEAR) die(); \
    __typeof__(call) result = (call); \
    int number = errno; \
    if (verdict == DIE_AFTER) die(); \
    if (verdict == LIE && result >= 0) { errno = control->number; return -1; } \
    errno = number; \
    return result; \
  } while (0)

/* Bytes into a file. A torn write leaves its first half behind, a short one its first byte. */

#define WRITE(name, more_parameters, more_arguments) \
  ssize_t name(int fd, const void *data, size_t size more_parameters) { \
    REAL(ssize_t, name, int, const void *, size_t more_parameters); \
    char room[PATH_MAX]; \
    enum verdict verdict = control && control->armed ? judge(#name, path_of(fd, room), 0) : GO; \
    if (verdict == TEAR) { if (size > 1) real(fd, data, size / 2 more_arguments); die(); } \
    if (verdict == CUT_SHORT && size > 1) return real(fd, data, 1 more_arguments); \
    FINISH(real(fd, data, size more_arguments)); \
  }
#define NO_MORE
#define OFFSET_PARAMETER , off64_t offset
#define OFFSET_ARGUMENT , offset
WRITE(write, NO_MORE, NO_MORE)
WRITE(pwrite, OFFSET_PARAMETER, OFFSET_ARGUMENT)
WRITE(pwrite64, OFFSET_PARAMETER, OFFSET_ARGUMENT)

#define ON_DESCRIPTOR(type, name, parameters, types, arguments) \
  type name parameters { \
    REAL(type, name, types); \
    char room[PATH_MAX]; \
    enum verdict verdict = control && control->armed ? judge(#name, path_of(fd, room), 0) : GO; \
    FINISH(real arguments); \
  }
#define TYPES(...) __VA_ARGS__
ON_DESCRIPTOR(ssize_t, writev, (int fd, const struct iovec *parts, int count), TYPES(int, const struct iovec *, int), (fd, parts, count))
ON_DESCRIPTOR(ssize_t, sendfile, (int fd, int source, off_t *offset, size_t size), TYPES(int, int, off_t *, size_t), (fd, source, offset, size))
ON_DESCRIPTOR(ssize_t, sendfile64, (int fd, int source, off64_t *offset, size_t size), TYPES(int, int, off64_t *, size_t), (fd, source, offset, size))
ON_DESCRIPTOR(int, fsync, (int fd), TYPES(int), (fd))
ON_DESCRIPTOR(int, fdatasync, (int fd), TYPES(int), (fd))
ON_DESCRIPTOR(int, syncfs, (int fd), TYPES(int), (fd))
ON_DESCRIPTOR(int, ftruncate, (int fd, off_t size), TYPES(int, off_t), (fd, size))
ON_DESCRIPTOR(int, ftruncate64, (int fd, off64_t size), TYPES(int, off64_t), (fd, size))
ON_DESCRIPTOR(int, fchmod, (int fd, mode_t mode), TYPES(int, mode_t), (fd, mode))
ON_DESCRIPTOR(int, fchown, (int fd, uid_t user, gid_t group), TYPES(int, uid_t, gid_t), (fd, user, group))
ON_DESCRIPTOR(int, futimens, (int fd, const struct timespec times[2]), TYPES(int, const struct timespec *), (fd, times))
ON_DESCRIPTOR(int, fsetxattr, (int fd, const char *name, const void *value, size_t size, int flags), TYPES(int, const char *, const void *, size_t, int), (fd, name, value, size, flags))

ssize_t copy_file_range(int in, off64_t *from, int fd, off64_t *to, size_t size, unsigned flags) {
  REAL(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned);
  char room[PATH_MAX];
  enum verdict verdict = control && control->armed ? judge("copy_file_range", path_of(fd, room), 0) : GO;
  FINISH(real(in, from, fd, to, size, flags));
}

/* Names in folders. */

#define ON_PATH(name, parameters, types, arguments) \
  int name parameters { \
    REAL(int, name, types); \
    char room[PATH_MAX]; \
    enum verdict verdict = control && control->armed ? judge(#name, path_at(AT_FDCWD, path, room), 0) : GO; \
    FINISH(real arguments); \
  }
ON_PATH(unlink, (const char *path), TYPES(const char *), (path))
ON_PATH(rmdir, (const char *path), TYPES(const char *), (path))
ON_PATH(mkdir, (const char *path, mode_t mode), TYPES(const char *, mode_t), (path, mode))
ON_PATH(chmod, (const char *path, mode_t mode), TYPES(const char *, mode_t), (path, mode))
ON_PATH(truncate, (const char *path, off_t size), TYPES(const char *, off_t), (path, size))
ON_PATH(rename, (const char *from, const char *path), TYPES(const char *, const char *), (from, path))
ON_PATH(link, (const char *from, const char *path), TYPES(const char *, const char *), (from, path))
ON_PATH(symlink, (const char *from, const char *path), TYPES(const char *, const char *), (from, path))

#define AT_FOLDER(name, parameters, types, arguments) \
  int name parameters { \
    REAL(int, name, types); \
    char room[PATH_MAX]; \
    enum verdict verdict = control && control->armed ? judge(#name, path_at(folder, path, room), 0) : GO; \
    FINISH(real arguments); \
  }
AT_FOLDER(unlinkat, (int folder, const char *path, int flags), TYPES(int, const char *, int), (folder, path, flags))
AT_FOLDER(mkdirat, (int folder, const char *path, mode_t mode), TYPES(int, const char *, mode_t), (folder, path, mode))
AT_FOLDER(symlinkat, (const char *to, int folder, const char *path), TYPES(const char *, int, const char *), (to, folder, path))
AT_FOLDER(fchmodat, (int folder, const char *path, mode_t mode, int flags), TYPES(int, const char *, mode_t, int), (folder, path, mode, flags))
AT_FOLDER(fchownat, (int folder, const char *path, uid_t user, gid_t group, int flags), TYPES(int, const char *, uid_t, gid_t, int), (folder, path, user, group, flags))
AT_FOLDER(utimensat, (int folder, const char *path, const struct timespec times[2], int flags), TYPES(int, const char *, const struct timespec *, int), (folder, path, times, flags))
AT_FOLDER(renameat, (int from_folder, const char *from, int folder, const char *path), TYPES(int, const char *, int, const char *), (from_folder, from, folder, path))

static int lacks(long trait, int folder, const char *path, int number) {
  char room[PATH_MAX];
  if (!control || !control->armed || !(control->traits & trait) || !is_ours(path_at(folder, path, room))) return 0;
  errno = number;
  return 1;
}

/* What the kernel finds out by itself, before the file system can say that it does not know a flag, or links. */
static int is_known_to_fail(int from_folder, const char *from, int folder, const char *path) {
  struct stat source, target, above, below;
  if (fstatat(from_folder, from, &source, AT_SYMLINK_NOFOLLOW)) return 1;
  if (!fstat(from_folder, &above) && !fstat(folder, &below) && above.st_dev != below.st_dev) return 1;
  return !fstatat(folder, path, &target, AT_SYMLINK_NOFOLLOW);
}

int renameat2(int from_folder, const char *from, int folder, const char *path, unsigned flags) {
  REAL(int, renameat2, int, const char *, int, const char *, unsigned);
  if (flags && !is_known_to_fail(from_folder, from, folder, path) && lacks(NO_EXCHANGE, folder, path, EINVAL)) return -1;
  char room[PATH_MAX];
  enum verdict verdict = control && control->armed ? judge("renameat2", path_at(folder, path, room), 0) : GO;
  FINISH(real(from_folder, from, folder, path, flags));
}

int linkat(int from_folder, const char *from, int folder, const char *path, int flags) {
  REAL(int, linkat, int, const char *, int, const char *, int);
  if (!is_known_to_fail(from_folder, from, folder, path) && lacks(NO_LINKS, folder, path, EPERM)) return -1;
  char room[PATH_MAX];
  enum verdict verdict = control && control->armed ? judge("linkat", path_at(folder, path, room), 0) : GO;
  FINISH(real(from_folder, from, folder, path, flags));
}

#define MODE_OF(flags) \
  mode_t mode = 0; \
  if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }
#define CHANGES(flags) (control && control->armed && (flags & (O_CREAT | O_TRUNC)))

/* NFS 3 and 4.0 make a new file without any rights, and give it them by a second request, which a death can keep away.
 * Root may open such a file on a local disk; the daemon is not root, nor is it on most servers. */
static int is_half_made(int folder, const char *path, int flags) {
  struct stat found;
  if (flags & O_EXCL || !control || !control->armed || !(control->traits & TWO_STEPS)) return 0;
  if (fstatat(folder, path, &found, AT_SYMLINK_NOFOLLOW) || !S_ISREG(found.st_mode) || found.st_mode & 0777) return 0;
  return lacks(TWO_STEPS, folder, path, EACCES);
}

/* What is cut off when a new file was there is all that follows it: its rights, and its descriptor. */
static int end_amid(enum verdict verdict, int flags, int fd) {
  if (control->traits & TWO_STEPS && flags & O_EXCL && fd >= 0) syscall(SYS_fchmod, fd, 0);
  if (verdict == DIE_AFTER) die();
  if (fd < 0) return fd;
  syscall(SYS_close, fd);
  errno = control->number;
  return -1;
}

#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    MODE_OF(flags); \
    REAL(int, name, const char *, int, ...); \
    char room[PATH_MAX]; \
    if (is_half_made(AT_FDCWD, path, flags)) return -1; \
    enum verdict verdict = CHANGES(flags) ? judge("open", path_at(AT_FDCWD, path, room), 0) : GO; \
    if (verdict == LIE || verdict == DIE_AFTER) return end_amid(verdict, flags, real(path, flags, mode)); \
    FINISH(real(path, flags, mode)); \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
  int name(int folder, const char *path, int flags, ...) { \
    MODE_OF(flags); \
    REAL(int, name, int, const char *, int, ...); \
    char room[PATH_MAX]; \
    if (is_half_made(folder, path, flags)) return -1; \
    enum verdict verdict = CHANGES(flags) ? judge("openat", path_at(folder, path, room), 0) : GO; \
    if (verdict == LIE || verdict == DIE_AFTER) return end_amid(verdict, flags, real(folder, path, flags, mode)); \
    FINISH(real(folder, path, flags, mode)); \
  }
OPENAT(openat)
OPENAT(openat64)

/* Requests. */

static enum verdict judge_send(int fd) {
  int family;
  socklen_t size = sizeof family;
  if (!control || !control->armed) return GO;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) || (family != AF_INET && family != AF_INET6)) return GO;
  return judge("send", "request", 1);
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
  REAL(ssize_t, send, int, const void *, size_t, int);
  enum verdict verdict = judge_send(fd);
  if (verdict == TEAR) { if (size > 1) real(fd, data, size / 2, flags); die(); }
  if (verdict == CUT_SHORT && size > 1) return real(fd, data, 1, flags);
  FINISH(real(fd, data, size, flags));
}
