/* Stands between a program and the C library, for what is done to the files below one directory and sent to the network: counts
 * these calls; kills the process at one of them, fails it or cuts it short; writes down what was done. Loaded by LD_PRELOAD.
 *
 * What to do stands in a file that all processes map, so that a test can change it while they run: `struct control`, which
 * faults/shim.py repeats. Only calls by absolute path and on descriptors opened here are seen; faults/disk.py finds out if that
 * was not all. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#undef open
#undef openat
#undef pwrite
#undef ftruncate

enum kind { CREATE = 1, WRITE = 2, TRUNCATE = 4, SYNC = 8, RENAME = 16, LINK = 32, UNLINK = 64, MKDIR = 128, SEND = 256, OPEN = 512 };
enum fault { NOTHING, KILL, TEAR, FAIL, CUT };
enum verdict { GO, REFUSED, HALF, HALF_THEN_DIE };

struct control {
  uint32_t calls, at, fault, error, record, kinds;
  char root[1024], log[1024];
};

struct record {
  uint32_t kind, path, other, data; /* the last three: bytes that follow, of each */
  int64_t inode, offset;
};

static struct control *control;
static char ours[1 << 16]; /* by descriptor: whether it is open below the root */
static pthread_mutex_t writing_down = PTHREAD_MUTEX_INITIALIZER;

/* From now on this process, and those it forks, do what stands in this file. */
void faults_obey(const char *name) {
  int fd = name ? (int)syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC, 0) : -1;
  if (fd < 0) return;
  void *place = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (place != MAP_FAILED) control = place;
  syscall(SYS_close, fd);
}

__attribute__((constructor)) static void start(void) { faults_obey(getenv("FAULTS_CONTROL")); }

static int below(const char *path) {
  if (!control || !control->root[0] || !path) return 0;
  size_t length = strlen(control->root);
  return strncmp(path, control->root, length) == 0 && path[length] == '/';
}

static int is_ours(int fd) { return fd >= 0 && fd < (int)sizeof ours && ours[fd]; }

__attribute__((noreturn)) static void die(void) {
  syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
  for (;;) pause();
}

/* Before each call: count it, and say what is to become of it. */
static enum verdict meet(enum kind kind) {
  if (!(control->kinds & kind)) return GO;
  if (__atomic_add_fetch(&control->calls, 1, __ATOMIC_SEQ_CST) != control->at) return GO;
  switch (control->fault) {
    case KILL: die();
    case TEAR: return HALF_THEN_DIE;
    case CUT: return HALF;
    case FAIL: errno = (int)control->error; return REFUSED;
    default: return GO;
  }
}

static int64_t inode(int fd) {
  struct stat found;
  return fstat(fd, &found) == 0 ? (int64_t)found.st_ino : -1;
}

static int64_t inode_of(const char *path) {
  struct stat found;
  return stat(path, &found) == 0 ? (int64_t)found.st_ino : -1;
}

static void note(enum kind kind, int64_t number, int64_t offset, const char *path, const char *other, const void *data, size_t size) {
  int kept = errno;
  struct record head = {kind, path ? strlen(path) : 0, other ? strlen(other) : 0, size, number, offset};
  struct iovec parts[] = {{&head, sizeof head}, {(void *)path, head.path}, {(void *)other, head.other}, {(void *)data, size}};
  int log = (int)syscall(SYS_openat, AT_FDCWD, control->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (log < 0 || syscall(SYS_writev, log, parts, 4) != (long)(sizeof head + head.path + head.other + size)) abort();
  syscall(SYS_close, log);
  errno = kept;
}

/* So that what is written down is in the order in which it was done. */
static int begin(void) {
  int recording = control && control->record;
  if (recording) pthread_mutex_lock(&writing_down);
  return recording;
}

static void end(int recording) {
  if (recording) pthread_mutex_unlock(&writing_down);
}

static int open_at(int directory, const char *path, int flags, mode_t mode) {
  if (!below(path)) return (int)syscall(SYS_openat, directory, path, flags, mode);
  if (meet(OPEN) == REFUSED) return -1;
  int recording = begin();
  int new = recording && (flags & O_CREAT) && inode_of(path) < 0;
  int fd = (int)syscall(SYS_openat, directory, path, flags, mode);
  if (fd >= 0 && fd < (int)sizeof ours) ours[fd] = 1;
  if (fd >= 0 && new) note(CREATE, inode(fd), 0, path, NULL, NULL, 0);
  if (fd >= 0 && recording && (flags & O_TRUNC) && !new) note(TRUNCATE, inode(fd), 0, NULL, NULL, NULL, 0);
  end(recording);
  return fd;
}

static mode_t mode_of(int flags, va_list more) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; }

#define OPENER(NAME, PARAMETERS, DIRECTORY)                  \
  int NAME PARAMETERS {                                      \
    va_list more;                                            \
    va_start(more, flags);                                   \
    mode_t mode = mode_of(flags, more);                      \
    va_end(more);                                            \
    return open_at(DIRECTORY, path, flags, mode);            \
  }
OPENER(open, (const char *path, int flags, ...), AT_FDCWD)
OPENER(open64, (const char *path, int flags, ...), AT_FDCWD)
OPENER(openat, (int directory, const char *path, int flags, ...), directory)
OPENER(openat64, (int directory, const char *path, int flags, ...), directory)

int close(int fd) {
  if (is_ours(fd)) ours[fd] = 0;
  return (int)syscall(SYS_close, fd);
}

/* `offset` -1: at the descriptor's own position. */
static ssize_t put(int fd, const void *data, size_t size, off_t offset) {
  enum verdict verdict = is_ours(fd) ? meet(WRITE) : GO;
  if (verdict == REFUSED) return -1;
  if (verdict != GO) size = (size + 1) / 2;
  int recording = is_ours(fd) && begin();
  int64_t at = recording && offset < 0 ? syscall(SYS_lseek, fd, 0, SEEK_CUR) : offset;
  ssize_t done = offset < 0 ? syscall(SYS_write, fd, data, size) : syscall(SYS_pwrite64, fd, data, size, offset);
  if (recording && done > 0) note(WRITE, inode(fd), at, NULL, NULL, data, (size_t)done);
  end(recording);
  if (verdict == HALF_THEN_DIE) die();
  return done;
}

ssize_t write(int fd, const void *data, size_t size) { return put(fd, data, size, -1); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return put(fd, data, size, offset); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) { return put(fd, data, size, offset); }

/* A call on a descriptor that leaves nothing but its result to write down. */
static int on(int fd, enum kind kind, long number, int64_t argument) {
  if (!is_ours(fd)) return (int)syscall(number, fd, argument);
  if (meet(kind) == REFUSED) return -1;
  int recording = begin();
  int done = (int)syscall(number, fd, argument);
  if (recording && done == 0) note(kind, inode(fd), argument, NULL, NULL, NULL, 0);
  end(recording);
  return done;
}

int fsync(int fd) { return on(fd, SYNC, SYS_fsync, 0); }
int fdatasync(int fd) { return on(fd, SYNC, SYS_fdatasync, 0); }
int ftruncate(int fd, off_t size) { return on(fd, TRUNCATE, SYS_ftruncate, size); }
int ftruncate64(int fd, off_t size) { return on(fd, TRUNCATE, SYS_ftruncate, size); }

/* A call that changes directories. */
#define IN_DIRECTORY(KIND, PATH, OTHER, CALL)                                      \
  if (!below(PATH)) return (int)CALL;                                              \
  if (meet(KIND) == REFUSED) return -1;                                            \
  int recording = begin();                                                         \
  int done = (int)CALL;                                                            \
  if (recording && done == 0) note(KIND, KIND == MKDIR ? inode_of(PATH) : 0, 0, PATH, OTHER, NULL, 0); \
  end(recording);                                                                  \
  return done;

int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
  IN_DIRECTORY(RENAME, old, new, syscall(SYS_renameat2, from, old, to, new, flags))
}
int renameat(int from, const char *old, int to, const char *new) { return renameat2(from, old, to, new, 0); }
int rename(const char *old, const char *new) { return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0); }

int linkat(int from, const char *old, int to, const char *new, int flags) {
  IN_DIRECTORY(LINK, old, new, syscall(SYS_linkat, from, old, to, new, flags))
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }

int unlinkat(int directory, const char *path, int flags) {
  IN_DIRECTORY(UNLINK, path, NULL, syscall(SYS_unlinkat, directory, path, flags))
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

int mkdirat(int directory, const char *path, mode_t mode) {
  IN_DIRECTORY(MKDIR, path, NULL, syscall(SYS_mkdirat, directory, path, mode))
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* What leaves for the network, not for a neighbour. It is written down before it is sent: from then on somebody may know it. */
ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
  int domain = 0;
  socklen_t room = sizeof domain;
  if (control && control->root[0] && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &room) == 0 && domain == AF_INET) {
    if (meet(SEND) == REFUSED) return -1;
    int recording = begin();
    if (recording) note(SEND, 0, 0, NULL, NULL, data, size);
    end(recording);
  }
  return syscall(SYS_sendto, fd, data, size, flags, to, length);
}
ssize_t send(int fd, const void *data, size_t size, int flags) { return sendto(fd, data, size, flags, NULL, 0); }
