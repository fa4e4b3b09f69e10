/* More about memory. */
#pragma once
#include <stdlib.h>

size_t malloc_usable_size(void *area);
void *memalign(size_t align, size_t size);
