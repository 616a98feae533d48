/* Clocks that a test sets while the program runs: preloaded, steered through a small file that is mapped shared.
 *
 *   cc -shared -fPIC -O1 -o set_clocks.so set_clocks.c
 *   LD_PRELOAD=set_clocks.so SET_CLOCKS=/tmp/shifts program
 *
 * Setting the wall clock moves CLOCK_REALTIME alone; sleep moves CLOCK_BOOTTIME as well. CLOCK_MONOTONIC goes on as it
 * does. Time namespaces cannot do that: they leave the wall clock alone. set_clocks.py is the other side.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct shifts {
  double set;   /* seconds by which somebody has set the wall clock */
  double slept; /* seconds that the machine has slept */
};

static const volatile struct shifts *shifts;

__attribute__((constructor)) static void map_shifts(void) {
  const char *path = getenv("SET_CLOCKS");
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *found = mmap(NULL, sizeof *shifts, PROT_READ, MAP_SHARED, fd, 0);
  if (found != MAP_FAILED) shifts = found;
  close(fd);
}

static double shift_of(clockid_t clock) {
  if (!shifts) return 0;
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI:
      return shifts->set + shifts->slept;
    case CLOCK_BOOTTIME:
      return shifts->slept;
    default:
      return 0;
  }
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  long failed = syscall(SYS_clock_gettime, clock, now);
  double shift = shift_of(clock);
  if (failed || shift == 0) return (int)failed;
  double whole = floor(shift);
  now->tv_sec += (time_t)whole;
  now->tv_nsec += (long)((shift - whole) * 1e9);
  if (now->tv_nsec >= 1000000000L) {
    now->tv_nsec -= 1000000000L;
    now->tv_sec += 1;
  }
  return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec exact;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *where) {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
  if (where) *where = now.tv_sec;
  return now.tv_sec;
}
