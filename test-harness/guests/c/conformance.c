/* Uses the C library as a C program does, and prints `ok AREA` for each area that keeps its word. */

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define check(condition) \
    ((condition) ? (void)0 : failed(#condition, __FILE__, __LINE__))

static void failed(const char *what, const char *file, int line)
{
    printf("FAILED %s:%d: %s (errno %d)\n", file, line, what, errno);
    exit(1);
}

static int compare_int(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

static void texts(void)
{
    char buffer[64] = "GET /index.html HTTP/1.1";
    char *saved, *word = strtok_r(buffer, " ", &saved);
    check(strcmp(word, "GET") == 0 && strcmp(strtok_r(NULL, " ", &saved), "/index.html") == 0);
    check(strlen("denali") == 6 && strchr("denali", 'n')[1] == 'a' && strstr("denali", "xy") == NULL);
    check(memcmp("abc", "abd", 3) < 0 && isdigit('7') && !isalpha('7') && toupper('x') == 'X');
    char *copy = strdup("kept");
    check(copy != NULL && strcasecmp(copy, "KEPT") == 0);
    free(copy);
}

static int format(char *to, size_t len, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int count = vsnprintf(to, len, format, arguments);
    va_end(arguments);
    return count;
}

static void formats(void)
{
    char to[128];
    check(snprintf(to, sizeof to, "%d|%5s|%-5s|%05.1f|%#x|%c|%%", -7, "ab", "cd", 3.14159, 255, 'z') == 29);
    check(strcmp(to, "-7|   ab|cd   |003.1|0xff|z|%") == 0);
    check(format(to, sizeof to, "%d %d %d %d %d %d %d %s %.2f %" PRIu64, 1, 2, 3, 4, 5, 6, 7, "eight", 9.0, UINT64_MAX) == 45);
    check(strcmp(to, "1 2 3 4 5 6 7 eight 9.00 18446744073709551615") == 0);
    check(snprintf(to, 4, "%s", "abcdef") == 6 && strcmp(to, "abc") == 0);
    check(snprintf(to, sizeof to, "%Lf %Lg", 1.5L, 1e10L) == 14 && strcmp(to, "1.500000 1e+10") == 0);
    char *allocated;
    check(asprintf(&allocated, "%s-%d", "x", 1) == 3 && strcmp(allocated, "x-1") == 0);
    free(allocated);
    errno = ENOENT;
    check(snprintf(to, sizeof to, "%m") == 25 && strcmp(to, "No such file or directory") == 0);
}

static void numbers(void)
{
    char *end;
    check(strtol("  -42abc", &end, 10) == -42 && strcmp(end, "abc") == 0);
    check(strtoul("0x1f", NULL, 0) == 31 && atoi("17") == 17);
    errno = 0;
    check(strtol("99999999999999999999", NULL, 10) == LONG_MAX && errno == ERANGE);
    check(strtod("1.5e3x", &end) == 1500.0 && *end == 'x');
    int array[] = {5, 3, 9, 1, 7}, key = 7;
    qsort(array, 5, sizeof array[0], compare_int);
    check(array[0] == 1 && array[4] == 9);
    check(bsearch(&key, array, 5, sizeof array[0], compare_int) == &array[3]);
    check(div(7, 2).quot == 3 && ldiv(-7, 2).rem == -1);
}

static void memory(void)
{
    char *area = malloc(100);
    check(area != NULL && malloc_usable_size(area) >= 100 && (uintptr_t)area % 16 == 0);
    memset(area, 7, 100);
    area = realloc(area, 10000);
    check(area != NULL && area[99] == 7);
    free(area);
    errno = 0;
    check(malloc(SIZE_MAX / 2) == NULL && errno == ENOMEM);
    check(malloc(64UL << 20) == NULL && errno == ENOMEM); /* beyond the VM's limit */
    void *aligned;
    check(posix_memalign(&aligned, 4096, 10) == 0 && (uintptr_t)aligned % 4096 == 0);
    free(aligned);
    int *zeros = calloc(100, sizeof *zeros);
    check(zeros != NULL && zeros[99] == 0);
    free(zeros);
}

static void environment(void)
{
    check(getenv("COLOR") != NULL && strcmp(getenv("COLOR"), "blue") == 0);
    check(environ[0] != NULL && getenv("NOTHING") == NULL);
    check(setenv("COLOR", "red", 0) == 0 && strcmp(getenv("COLOR"), "blue") == 0);
    check(setenv("COLOR", "red", 1) == 0 && strcmp(getenv("COLOR"), "red") == 0);
    check(unsetenv("COLOR") == 0 && getenv("COLOR") == NULL);
}

static void clocks(void)
{
    struct timespec before, after, pause = {.tv_nsec = 2000000};
    check(clock_gettime(CLOCK_MONOTONIC, &before) == 0 && nanosleep(&pause, NULL) == 0);
    check(clock_gettime(CLOCK_MONOTONIC, &after) == 0);
    check((after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec >= 2000000);
    struct timeval now;
    check(gettimeofday(&now, NULL) == 0 && now.tv_sec > 1600000000 && time(NULL) >= now.tv_sec);
    time_t leap = 951782400;
    struct tm date;
    char text[32];
    check(gmtime_r(&leap, &date) != NULL && strftime(text, sizeof text, "%Y-%m-%d", &date) == 10);
    check(strcmp(text, "2000-02-29") == 0 && timegm(&date) == leap);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int counter, calls, destroyed;

static void call(void) { calls++; }
static void destroy(void *value) { destroyed += (int)(intptr_t)value; }

static void *count_up(void *argument)
{
    pthread_once(&once, call);
    pthread_setspecific(key, argument);
    errno = (int)(intptr_t)argument;
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&lock);
        int before = counter;
        if (i % 100 == 0)
            sched_yield();
        counter = before + 1;
        pthread_cond_signal(&changed);
        pthread_mutex_unlock(&lock);
    }
    check(errno == (int)(intptr_t)argument && pthread_getspecific(key) == argument);
    if (argument == (void *)3)
        pthread_exit((void *)33);
    return argument;
}

static void threads(void)
{
    pthread_t started[4];
    check(pthread_key_create(&key, destroy) == 0);
    for (intptr_t i = 0; i < 4; i++)
        check(pthread_create(&started[i], NULL, count_up, (void *)i) == 0);
    pthread_mutex_lock(&lock);
    while (counter < 4000)
        check(pthread_cond_wait(&changed, &lock) == 0);
    pthread_mutex_unlock(&lock);
    intptr_t sum = 0;
    for (int i = 0; i < 4; i++) {
        void *result;
        check(pthread_join(started[i], &result) == 0);
        sum += (intptr_t)result;
    }
    check(sum == 0 + 1 + 2 + 33 && counter == 4000 && calls == 1 && destroyed == 0 + 1 + 2 + 3);
    pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
    check(pthread_mutex_lock(&recursive) == 0 && pthread_mutex_lock(&recursive) == 0);
    check(pthread_mutex_unlock(&recursive) == 0 && pthread_mutex_unlock(&recursive) == 0);
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_sec += (soon.tv_nsec += 3000000) / 1000000000;
    soon.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lock);
    check(pthread_cond_timedwait(&changed, &lock, &soon) == ETIMEDOUT);
    pthread_mutex_unlock(&lock);
    sem_t semaphore;
    check(sem_init(&semaphore, 0, 1) == 0 && sem_wait(&semaphore) == 0 && sem_trywait(&semaphore) == -1);
    check(errno == EAGAIN && sem_post(&semaphore) == 0 && sem_wait(&semaphore) == 0);
}

static void *write_later(void *argument)
{
    usleep(2000);
    check(write(*(int *)argument, "hello", 5) == 5);
    return NULL;
}

static void descriptors(void)
{
    int ends[2];
    pthread_t writer;
    char buffer[16];
    check(pipe(ends) == 0 && pthread_create(&writer, NULL, write_later, &ends[1]) == 0);
    struct pollfd waiting = {.fd = ends[0], .events = POLLIN};
    check(poll(&waiting, 1, -1) == 1 && waiting.revents == POLLIN);
    int available;
    check(ioctl(ends[0], FIONREAD, &available) == 0 && available == 5);
    check(read(ends[0], buffer, sizeof buffer) == 5 && pthread_join(writer, NULL) == 0);
    check(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0 && read(ends[0], buffer, 1) == -1);
    check(errno == EAGAIN && poll(&waiting, 1, 0) == 0);
    struct iovec pieces[2] = {{"ab", 2}, {"cd", 2}};
    check(writev(ends[1], pieces, 2) == 4);
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(ends[0], &readable);
    check(select(ends[0] + 1, &readable, NULL, NULL, NULL) == 1 && FD_ISSET(ends[0], &readable));
    struct stat status;
    check(fstat(ends[0], &status) == 0 && S_ISFIFO(status.st_mode) && isatty(1) == 0);
    int other = dup(ends[1]);
    check(other > ends[1] && close(ends[1]) == 0 && close(other) == 0);
    check(read(ends[0], buffer, 4) == 4 && read(ends[0], buffer, 1) == 0 && close(ends[0]) == 0);
    check(close(ends[0]) == -1 && errno == EBADF && open("/etc/passwd", O_RDONLY) == -1 && errno == ENOENT);
    int set = epoll_create1(0), count = eventfd(0, EFD_NONBLOCK), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = count};
    check(epoll_ctl(set, EPOLL_CTL_ADD, count, &event) == 0);
    event.data.fd = timer;
    check(epoll_ctl(set, EPOLL_CTL_ADD, timer, &event) == 0);
    struct itimerspec soon = {.it_value.tv_nsec = 2000000};
    check(timerfd_settime(timer, 0, &soon, NULL) == 0);
    check(epoll_wait(set, &event, 1, -1) == 1 && event.data.fd == timer && close(timer) == 0);
    check(epoll_wait(set, &event, 1, 1) == 0 && eventfd_write(count, 3) == 0);
    check(epoll_wait(set, &event, 1, -1) == 1 && event.data.fd == count);
    uint64_t value;
    check(eventfd_read(count, &value) == 0 && value == 3 && close(count) == 0 && close(set) == 0);
}

static void sockets(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    check(listener >= 0 && setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
    check(bind(listener, (struct sockaddr *)&address, len) == 0 && listen(listener, 8) == 0);
    check(getsockname(listener, (struct sockaddr *)&address, &len) == 0 && ntohs(address.sin_port) == 9);
    check(fcntl(listener, F_SETFL, O_NONBLOCK) == 0);
    check(accept(listener, NULL, NULL) == -1 && errno == EAGAIN);
    int taken = socket(AF_INET, SOCK_STREAM, 0);
    check(bind(taken, (struct sockaddr *)&address, len) == 0 && listen(taken, 1) == -1 && errno == EADDRINUSE);
    check(recv(taken, &yes, 1, 0) == -1 && errno == ENOTCONN && close(taken) == 0 && close(listener) == 0);
    check(socket(AF_UNIX, SOCK_STREAM, 0) == -1 && errno == EAFNOSUPPORT);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    check(getaddrinfo("10.1.2.3", "80", &hints, &found) == 0 && found->ai_next == NULL);
    char text[INET_ADDRSTRLEN];
    struct sockaddr_in *first = (struct sockaddr_in *)found->ai_addr;
    check(inet_ntop(AF_INET, &first->sin_addr, text, sizeof text) == text && strcmp(text, "10.1.2.3") == 0);
    freeaddrinfo(found);
    check(getaddrinfo("10.1.2.3", "no-such", &hints, &found) == EAI_SERVICE);
    int datagrams = socket(AF_INET, SOCK_DGRAM, 0);
    address.sin_port = htons(5000);
    check(bind(datagrams, (struct sockaddr *)&address, len) == 0);
    struct timeval moment = {.tv_usec = 3000};
    check(setsockopt(datagrams, SOL_SOCKET, SO_RCVTIMEO, &moment, sizeof moment) == 0);
    check(recv(datagrams, &yes, sizeof yes, 0) == -1 && errno == EAGAIN && close(datagrams) == 0);
}

static void send_all(int to, const char *bytes, size_t len)
{
    for (ssize_t sent; len > 0; bytes += sent, len -= sent) {
        sent = send(to, bytes, len, MSG_NOSIGNAL);
        check(sent > 0);
    }
}

static void *mirror(void *listener)
{
    char buffer[2048];
    ssize_t count;
    int peer = accept(*(int *)listener, NULL, NULL);
    check(peer >= 0);
    while ((count = recv(peer, buffer, sizeof buffer, 0)) > 0)
        send_all(peer, buffer, count);
    check(count == 0 && close(peer) == 0);
    return NULL;
}

/* From the program to itself, by either protocol. */
static void loopback(void)
{
    static const char *hosts[] = {"127.0.0.1", "::1"};
    for (int at = 0; at < 2; at++) {
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *found;
        check(getaddrinfo(hosts[at], "4001", &hints, &found) == 0);
        int client = socket(found->ai_family, SOCK_STREAM, 0);
        check(connect(client, found->ai_addr, found->ai_addrlen) == -1 && errno == ECONNREFUSED);
        check(close(client) == 0);
        int listener = socket(found->ai_family, SOCK_STREAM, 0);
        check(bind(listener, found->ai_addr, found->ai_addrlen) == 0 && listen(listener, 1) == 0);
        pthread_t thread;
        check(pthread_create(&thread, NULL, mirror, &listener) == 0);
        client = socket(found->ai_family, SOCK_STREAM, 0);
        check(connect(client, found->ai_addr, found->ai_addrlen) == 0);
        struct sockaddr_storage peer;
        socklen_t len = sizeof peer;
        check(getpeername(client, (struct sockaddr *)&peer, &len) == 0 && len == found->ai_addrlen);
        check(peer.ss_family == found->ai_family);
        char bytes[3000], back[3000];
        for (int round = 0; round < 20; round++) {
            memset(bytes, 'a' + round, sizeof bytes);
            send_all(client, bytes, sizeof bytes);
            struct pollfd waiting = {.fd = client, .events = POLLIN};
            check(poll(&waiting, 1, 5000) == 1 && waiting.revents & POLLIN);
            size_t got = 0;
            for (ssize_t count; got < sizeof back; got += count) {
                count = recv(client, back + got, sizeof back - got, 0);
                check(count > 0);
            }
            check(memcmp(bytes, back, sizeof back) == 0);
        }
        check(shutdown(client, SHUT_WR) == 0 && recv(client, back, 1, 0) == 0);
        check(pthread_join(thread, NULL) == 0 && close(client) == 0 && close(listener) == 0);
        freeaddrinfo(found);
    }
}

static void *nothing(void *argument)
{
    return argument;
}

/* Without memory everything that has an error to give gives it, and later all is as before. */
static void exhaustion(void)
{
    pthread_t thread;
    struct addrinfo *found;
    char *text;
    int ends[2];
    void **all = NULL, **piece;
    for (size_t size = 1 << 16; size >= 16; size /= 2)
        for (errno = 0; (piece = malloc(size)) != NULL; all = piece)
            *piece = all;
    check(errno == ENOMEM && calloc(1, 64) == NULL && errno == ENOMEM);
    check(realloc(NULL, 64) == NULL && strdup("a text that takes more than a few bytes") == NULL);
    check(setenv("MORE", "than there is room for in the heap", 1) == -1 && errno == ENOMEM);
    check(asprintf(&text, "%0100d", 1) == -1);
    check(pthread_create(&thread, NULL, nothing, NULL) == EAGAIN);
    for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
        int descriptor = socket(AF_INET, type, 0);
        struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(4002)};
        if (descriptor == -1) {
            check(errno == ENOMEM || errno == ENOBUFS);
            continue;
        }
        int bound = bind(descriptor, (struct sockaddr *)&own, sizeof own);
        if (bound == 0 && type == SOCK_STREAM)
            bound = listen(descriptor, 5);
        check(bound == 0 || errno == ENOMEM || errno == ENOBUFS);
        check(close(descriptor) == 0);
    }
    check(getaddrinfo("10.1.2.3", "80", NULL, &found) == EAI_MEMORY);
    check(pipe(ends) == -1 && errno == ENOMEM);
    int epoll = epoll_create1(0);
    check(epoll == -1 ? errno == ENOMEM : close(epoll) == 0);
    for (; all != NULL; all = piece) {
        piece = *all;
        free(all);
    }
    check(pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0);
    check(pipe(ends) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
    check(setenv("MORE", "room", 1) == 0 && asprintf(&text, "%d", 1) == 1);
    free(text);
}

static jmp_buf back;

static void jump(void)
{
    volatile int round = 0;
    int value = setjmp(back);
    check(value == round);
    if (round++ < 3)
        longjmp(back, round);
}

static void rest(void)
{
    unsigned char one[16], two[16];
    check(getrandom(one, sizeof one, 0) == 16 && getentropy(two, sizeof two) == 0 && memcmp(one, two, 16) != 0);
    struct utsname name;
    check(uname(&name) == 0 && strcmp(name.sysname, "Denali") == 0);
    char host[65];
    check(gethostname(host, sizeof host) == 0 && strcmp(host, name.nodename) == 0);
    check(sysconf(_SC_PAGESIZE) == 4096 && sysconf(_SC_NPROCESSORS_ONLN) == 1 && getpid() == 1);
    check(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    struct rlimit limit;
    check(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= 1024);
    check(fopen("/etc/passwd", "r") == NULL && errno == ENOENT && getchar() == EOF && feof(stdin));
}

static void goodbye(void) { puts("ok atexit"); }

int main(int count, char **arguments)
{
    static const struct { const char *name; void (*test)(void); } areas[] = {
        {"texts", texts}, {"formats", formats}, {"numbers", numbers}, {"memory", memory},
        {"environment", environment}, {"clocks", clocks}, {"threads", threads},
        {"descriptors", descriptors}, {"sockets", sockets}, {"loopback", loopback},
        {"exhaustion", exhaustion}, {"jump", jump}, {"rest", rest},
    };
    check(count == 2 && strcmp(arguments[0], "conformance") == 0 && strcmp(arguments[1], "argument") == 0);
    check(arguments[2] == NULL && atexit(goodbye) == 0);
    for (size_t at = 0; at < sizeof areas / sizeof areas[0]; at++) {
        areas[at].test();
        printf("ok %s\n", areas[at].name);
    }
    fputs("no line end, but written at the end", stdout);
    return 7;
}
