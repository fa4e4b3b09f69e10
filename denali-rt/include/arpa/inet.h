/* Addresses as text. */
#pragma once
#include <netinet/in.h>

in_addr_t inet_addr(const char *text);
int inet_aton(const char *text, struct in_addr *result);
const char *inet_ntop(int family, const void *address, char *to, socklen_t len);
int inet_pton(int family, const char *text, void *result);
