/* Random bytes fit for keys. */
#pragma once
#include <sys/types.h>

#define GRND_NONBLOCK 1
#define GRND_RANDOM 2

int getentropy(void *to, size_t len);
ssize_t getrandom(void *to, size_t len, unsigned flags);
