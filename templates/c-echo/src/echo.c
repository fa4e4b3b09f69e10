/* Sends back what clients send, on port 7 (RFC 862): one thread, any number of connections.
 *
 * Arguments: [PORT [CONNECTIONS]]; unless told otherwise, port 7 and 256 connections. */

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT 7
#define CONNECTIONS 256
#define BUFFER_LEN 4096
#define EVENTS 64

/* A connection, with what it has sent and not got back yet. */
struct connection {
    int socket;
    bool has_ended; /* the client has sent its last */
    size_t begin, end; /* where in the buffer that is */
    char buffer[BUFFER_LEN];
};

static int set;
static unsigned long open_connections, connections_max = CONNECTIONS;

/* Prints what failed, and ends the program. */
static _Noreturn void fail(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

/* Returns a number from 1 to max; 0 if the text is none. Its tests are in main.rs. */
unsigned long number_in(const char *text, unsigned long max)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    return errno == 0 && *end == '\0' && end != text && value <= max ? value : 0;
}

/* Reads a number from 1 to max; ends the program with a message if it is none. */
static unsigned long number(const char *text, unsigned long max)
{
    unsigned long value = number_in(text, max);
    if (value == 0) {
        fprintf(stderr, "echo: `%s` is not a number from 1 to %lu\n", text, max);
        exit(2);
    }
    return value;
}

static int listen_on(unsigned short port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_ANY),
    };
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (listener < 0)
        fail("socket");
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0)
        fail("bind");
    if (listen(listener, SOMAXCONN) < 0)
        fail("listen");
    return listener;
}

static void close_connection(struct connection *connection)
{
    close(connection->socket); /* which takes it out of the set, too */
    free(connection);
    open_connections--;
}

/* Waits for room to write while something is to be sent back, and for something to read otherwise. */
static bool watch(struct connection *connection, int operation)
{
    bool writes = connection->begin < connection->end;
    struct epoll_event event = {
        .events = writes ? EPOLLOUT : EPOLLIN,
        .data.ptr = connection,
    };
    return epoll_ctl(set, operation, connection->socket, &event) == 0;
}

/* Accepts all connections that wait; those beyond the limit are closed at once. */
static void accept_all(int listener)
{
    for (;;) {
        int socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (socket < 0) {
            if (errno != EAGAIN)
                perror("accept");
            return;
        }
        struct connection *connection = NULL;
        if (open_connections < connections_max)
            connection = malloc(sizeof *connection);
        if (connection == NULL) {
            fprintf(stderr, "echo: refused a connection beyond %lu\n", open_connections);
            close(socket);
            continue;
        }
        open_connections++;
        connection->socket = socket;
        connection->has_ended = false;
        connection->begin = connection->end = 0;
        if (!watch(connection, EPOLL_CTL_ADD)) {
            perror("epoll_ctl");
            close_connection(connection);
        }
    }
}

/* Moves what can be moved. Returns whether the connection goes on. */
static bool serve(struct connection *connection)
{
    for (;;) {
        while (connection->begin < connection->end) {
            ssize_t sent = send(connection->socket, connection->buffer + connection->begin,
                                connection->end - connection->begin, MSG_NOSIGNAL);
            if (sent < 0)
                return errno == EAGAIN;
            connection->begin += (size_t)sent;
        }
        if (connection->has_ended)
            return false;
        ssize_t received = recv(connection->socket, connection->buffer, BUFFER_LEN, 0);
        if (received < 0)
            return errno == EAGAIN;
        connection->has_ended = received == 0;
        connection->begin = 0;
        connection->end = (size_t)received;
    }
}

int main(int count, char **arguments)
{
    unsigned short port = PORT;
    if (count > 1)
        port = (unsigned short)number(arguments[1], 65535);
    if (count > 2)
        connections_max = number(arguments[2], 10000);

    int listener = listen_on(port);
    set = epoll_create1(0);
    struct epoll_event arrival = {.events = EPOLLIN, .data.ptr = NULL};
    if (set < 0 || epoll_ctl(set, EPOLL_CTL_ADD, listener, &arrival) < 0)
        fail("epoll");
    printf("listening on port %d for up to %lu connections\n", port, connections_max);

    struct epoll_event events[EVENTS];
    for (;;) {
        int ready = epoll_wait(set, events, EVENTS, -1);
        if (ready < 0)
            fail("epoll_wait");
        for (int at = 0; at < ready; at++) {
            struct connection *connection = events[at].data.ptr;
            if (connection == NULL)
                accept_all(listener);
            else if (!serve(connection) || !watch(connection, EPOLL_CTL_MOD))
                close_connection(connection);
        }
    }
}
