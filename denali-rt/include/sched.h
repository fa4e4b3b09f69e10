/* The only CPU. */
#pragma once
#include <stddef.h>
#include <sys/types.h>

typedef struct {
    unsigned long bits[16];
} cpu_set_t;

int sched_getaffinity(pid_t thread, size_t len, cpu_set_t *set);
int sched_yield(void);
