/* Texts and memory, the older names. */
#pragma once
#include <stddef.h>

int bcmp(const void *a, const void *b, size_t len);
void bzero(void *area, size_t len);
int ffs(int bits);
int strcasecmp(const char *a, const char *b);
int strncasecmp(const char *a, const char *b, size_t len);
