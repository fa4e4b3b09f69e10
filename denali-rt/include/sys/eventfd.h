/* Counters that are descriptors. */
#pragma once
#include <fcntl.h>
#include <stdint.h>

typedef uint64_t eventfd_t;

#define EFD_SEMAPHORE 1
#define EFD_NONBLOCK O_NONBLOCK
#define EFD_CLOEXEC O_CLOEXEC

int eventfd(unsigned count, int flags);
int eventfd_read(int descriptor, eventfd_t *result);
int eventfd_write(int descriptor, eventfd_t count);
