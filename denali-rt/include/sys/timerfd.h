/* Timers that are descriptors. */
#pragma once
#include <fcntl.h>
#include <time.h>

#define TFD_TIMER_ABSTIME 1
#define TFD_NONBLOCK O_NONBLOCK
#define TFD_CLOEXEC O_CLOEXEC

int timerfd_create(int clock, int flags);
int timerfd_gettime(int descriptor, struct itimerspec *result);
int timerfd_settime(int descriptor, int flags, const struct itimerspec *setting,
                    struct itimerspec *old);
