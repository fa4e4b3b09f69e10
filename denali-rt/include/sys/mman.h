/* Memory that belongs to nobody else. */
#pragma once
#include <sys/types.h>

#define PROT_NONE 0
#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4
#define MAP_SHARED 1
#define MAP_PRIVATE 2
#define MAP_FIXED 0x10
#define MAP_ANONYMOUS 0x20
#define MAP_ANON MAP_ANONYMOUS
#define MAP_FAILED ((void *)-1)
#define MADV_DONTNEED 4

int madvise(void *area, size_t len, int advice);
void *mmap(void *address, size_t len, int protection, int flags, int descriptor, off_t offset);
int mprotect(void *area, size_t len, int protection);
int munmap(void *area, size_t len);
