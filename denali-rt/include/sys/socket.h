/* Sockets. */
#pragma once
#include <sys/types.h>
#include <sys/uio.h>

typedef unsigned socklen_t;
typedef unsigned short sa_family_t;

struct sockaddr {
    sa_family_t sa_family;
    char sa_data[14];
};

struct sockaddr_storage {
    sa_family_t ss_family;
    char ss_padding[118];
    unsigned long ss_align;
};

struct msghdr {
    void *msg_name;
    socklen_t msg_namelen;
    struct iovec *msg_iov;
    size_t msg_iovlen;
    void *msg_control;
    size_t msg_controllen;
    int msg_flags;
};

struct linger {
    int l_onoff;
    int l_linger;
};

#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define PF_UNSPEC AF_UNSPEC
#define PF_INET AF_INET
#define PF_INET6 AF_INET6

#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_NONBLOCK 04000
#define SOCK_CLOEXEC 02000000

#define SOMAXCONN 4096

#define SOL_SOCKET 1
#define SO_REUSEADDR 2
#define SO_TYPE 3
#define SO_ERROR 4
#define SO_BROADCAST 6
#define SO_SNDBUF 7
#define SO_RCVBUF 8
#define SO_KEEPALIVE 9
#define SO_LINGER 13
#define SO_REUSEPORT 15
#define SO_RCVTIMEO 20
#define SO_SNDTIMEO 21
#define SO_ACCEPTCONN 30
#define SO_PROTOCOL 38
#define SO_DOMAIN 39

#define MSG_OOB 0x1
#define MSG_PEEK 0x2
#define MSG_TRUNC 0x20
#define MSG_DONTWAIT 0x40
#define MSG_WAITALL 0x100
#define MSG_NOSIGNAL 0x4000

#define SHUT_RD 0
#define SHUT_WR 1
#define SHUT_RDWR 2

int accept(int descriptor, struct sockaddr *name, socklen_t *len);
int accept4(int descriptor, struct sockaddr *name, socklen_t *len, int flags);
int bind(int descriptor, const struct sockaddr *name, socklen_t len);
int connect(int descriptor, const struct sockaddr *name, socklen_t len);
int getpeername(int descriptor, struct sockaddr *name, socklen_t *len);
int getsockname(int descriptor, struct sockaddr *name, socklen_t *len);
int getsockopt(int descriptor, int level, int name, void *value, socklen_t *len);
int listen(int descriptor, int backlog);
ssize_t recv(int descriptor, void *to, size_t len, int flags);
ssize_t recvfrom(int descriptor, void *to, size_t len, int flags, struct sockaddr *name,
                 socklen_t *name_len);
ssize_t recvmsg(int descriptor, struct msghdr *message, int flags);
ssize_t send(int descriptor, const void *from, size_t len, int flags);
ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags);
ssize_t sendto(int descriptor, const void *from, size_t len, int flags,
               const struct sockaddr *name, socklen_t name_len);
int setsockopt(int descriptor, int level, int name, const void *value, socklen_t len);
int shutdown(int descriptor, int how);
int socket(int family, int type, int protocol);
