/* Limits and use. */
#pragma once
#include <sys/time.h>

typedef unsigned long rlim_t;

struct rlimit {
    rlim_t rlim_cur;
    rlim_t rlim_max;
};

struct rusage {
    struct timeval ru_utime, ru_stime;
    long ru_maxrss;
    long ru_others[13];
};

#define RLIM_INFINITY (~0UL)
#define RLIMIT_STACK 3
#define RLIMIT_CORE 4
#define RLIMIT_NOFILE 7
#define RLIMIT_AS 9
#define RUSAGE_SELF 0

int getrlimit(int resource, struct rlimit *result);
int getrusage(int who, struct rusage *result);
int setrlimit(int resource, const struct rlimit *limit);
