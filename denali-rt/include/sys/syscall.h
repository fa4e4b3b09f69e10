/* System calls by number. */
#pragma once

#define SYS_gettid 186
#define SYS_futex 202
#define SYS_getrandom 318

long syscall(long number, ...);
