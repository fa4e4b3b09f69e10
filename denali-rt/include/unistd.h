/* Descriptors and the system. */
#pragma once
#include <sys/types.h>

#define STDIN_FILENO 0
#define STDOUT_FILENO 1
#define STDERR_FILENO 2

#define F_OK 0
#define X_OK 1
#define W_OK 2
#define R_OK 4

#define SEEK_SET 0
#define SEEK_CUR 1
#define SEEK_END 2

#define _SC_ARG_MAX 0
#define _SC_CLK_TCK 2
#define _SC_OPEN_MAX 4
#define _SC_PAGESIZE 30
#define _SC_PAGE_SIZE 30
#define _SC_IOV_MAX 60
#define _SC_NPROCESSORS_CONF 83
#define _SC_NPROCESSORS_ONLN 84
#define _SC_PHYS_PAGES 85
#define _SC_AVPHYS_PAGES 86
#define _SC_HOST_NAME_MAX 180

extern char **environ;

_Noreturn void _exit(int code);
int access(const char *path, int mode);
int chdir(const char *path);
int close(int descriptor);
int dup(int descriptor);
int dup2(int descriptor, int to);
int dup3(int descriptor, int to, int flags);
char *getcwd(char *to, size_t len);
gid_t getegid(void);
int getentropy(void *to, size_t len);
uid_t geteuid(void);
gid_t getgid(void);
int gethostname(char *to, size_t len);
int getpagesize(void);
pid_t getpid(void);
pid_t getppid(void);
uid_t getuid(void);
int isatty(int descriptor);
off_t lseek(int descriptor, off_t offset, int from);
int pipe(int ends[2]);
int pipe2(int ends[2], int flags);
ssize_t read(int descriptor, void *to, size_t len);
int setuid(uid_t user);
unsigned sleep(unsigned seconds);
long sysconf(int name);
int unlink(const char *path);
int usleep(useconds_t microseconds);
ssize_t write(int descriptor, const void *from, size_t len);
