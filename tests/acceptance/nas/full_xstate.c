/* User-mode Linux as Debian 12 has it keeps 2,696 bytes of a process's vector registers, all of AVX-512. Linux takes them
 * back only as many as it has, which on a processor with AMX is more, and the machine would end as its first process
 * starts (Linux 6.13 asks how many there are). Preloaded, this lays what it keeps over what the process has. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <linux/ptrace.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static long call(long request, long pid, void *address, void *data) {
  return syscall(SYS_ptrace, request, pid, address, data);
}

static long give_registers(long pid, const struct iovec *kept) {
  static char registers[1 << 16];
  struct iovec all = {registers, sizeof registers};
  if (call(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &all) < 0)
    return -1;
  memcpy(registers, kept->iov_base, kept->iov_len < all.iov_len ? kept->iov_len : all.iov_len);
  return call(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE, &all);
}

long ptrace(int request, ...) {
  va_list rest;
  va_start(rest, request);
  long pid = va_arg(rest, int);
  void *address = va_arg(rest, void *), *data = va_arg(rest, void *);
  va_end(rest);
  if (request == PTRACE_SETREGSET && address == (void *)NT_X86_XSTATE)
    return give_registers(pid, data);
  if (request != PTRACE_PEEKTEXT && request != PTRACE_PEEKDATA && request != PTRACE_PEEKUSR)
    return call(request, pid, address, data);
  long word;
  if (call(request, pid, address, &word) < 0)
    return -1;
  errno = 0;
  return word;
}
