/* Clocks, sleeps and dates; the only time zone is UTC. */
#pragma once
#include <sys/types.h>

struct timespec {
    time_t tv_sec;
    long tv_nsec;
};

struct itimerspec {
    struct timespec it_interval;
    struct timespec it_value;
};

struct tm {
    int tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year, tm_wday, tm_yday, tm_isdst;
    long tm_gmtoff;
    const char *tm_zone;
};

#define CLOCKS_PER_SEC 1000000L
#define CLOCK_REALTIME 0
#define CLOCK_MONOTONIC 1
#define CLOCK_PROCESS_CPUTIME_ID 2
#define CLOCK_THREAD_CPUTIME_ID 3
#define CLOCK_MONOTONIC_RAW 4
#define CLOCK_REALTIME_COARSE 5
#define CLOCK_MONOTONIC_COARSE 6
#define CLOCK_BOOTTIME 7
#define TIMER_ABSTIME 1

char *asctime(const struct tm *date);
char *asctime_r(const struct tm *date, char *to);
clock_t clock(void);
int clock_getres(clockid_t clock, struct timespec *result);
int clock_gettime(clockid_t clock, struct timespec *result);
int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *left);
char *ctime(const time_t *time);
char *ctime_r(const time_t *time, char *to);
double difftime(time_t later, time_t earlier);
struct tm *gmtime(const time_t *time);
struct tm *gmtime_r(const time_t *time, struct tm *result);
struct tm *localtime(const time_t *time);
struct tm *localtime_r(const time_t *time, struct tm *result);
time_t mktime(struct tm *date);
int nanosleep(const struct timespec *time, struct timespec *left);
size_t strftime(char *to, size_t len, const char *format, const struct tm *date);
time_t time(time_t *result);
time_t timegm(struct tm *date);
void tzset(void);
