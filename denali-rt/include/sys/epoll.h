/* Sets of descriptors to wait for. */
#pragma once
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>

typedef union {
    void *ptr;
    int fd;
    uint32_t u32;
    uint64_t u64;
} epoll_data_t;

struct epoll_event {
    uint32_t events;
    epoll_data_t data;
} __attribute__((packed));

#define EPOLL_CLOEXEC O_CLOEXEC
#define EPOLL_CTL_ADD 1
#define EPOLL_CTL_DEL 2
#define EPOLL_CTL_MOD 3

#define EPOLLIN 0x1U
#define EPOLLOUT 0x4U
#define EPOLLERR 0x8U
#define EPOLLHUP 0x10U
#define EPOLLRDHUP 0x2000U
#define EPOLLONESHOT (1U << 30)
#define EPOLLET (1U << 31)

int epoll_create(int size);
int epoll_create1(int flags);
int epoll_ctl(int set, int operation, int descriptor, struct epoll_event *event);
int epoll_pwait(int set, struct epoll_event *events, int max, int timeout, const sigset_t *mask);
int epoll_wait(int set, struct epoll_event *events, int max, int timeout);
