/* Texts and memory. */
#pragma once
#include <stddef.h>

void *memccpy(void *to, const void *from, int byte, size_t len);
void *memchr(const void *area, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);
void *memcpy(void *to, const void *from, size_t len);
void *memmem(const void *area, size_t len, const void *wanted, size_t wanted_len);
void *memmove(void *to, const void *from, size_t len);
void *mempcpy(void *to, const void *from, size_t len);
void *memrchr(const void *area, int byte, size_t len);
void *memset(void *area, int byte, size_t len);
void explicit_bzero(void *area, size_t len);

char *stpcpy(char *to, const char *from);
char *strcasestr(const char *text, const char *wanted);
char *strcat(char *to, const char *from);
char *strchr(const char *text, int character);
char *strchrnul(const char *text, int character);
int strcmp(const char *a, const char *b);
int strcoll(const char *a, const char *b);
char *strcpy(char *to, const char *from);
size_t strcspn(const char *text, const char *rejected);
char *strdup(const char *text);
char *strerror(int number);
int strerror_r(int number, char *buffer, size_t len) __asm__("__xpg_strerror_r");
size_t strlcat(char *to, const char *from, size_t len);
size_t strlcpy(char *to, const char *from, size_t len);
size_t strlen(const char *text);
char *strncat(char *to, const char *from, size_t len);
int strncmp(const char *a, const char *b, size_t len);
char *strncpy(char *to, const char *from, size_t len);
char *strndup(const char *text, size_t len);
size_t strnlen(const char *text, size_t max);
char *strpbrk(const char *text, const char *accepted);
char *strrchr(const char *text, int character);
char *strsep(char **place, const char *separators);
size_t strspn(const char *text, const char *accepted);
char *strstr(const char *text, const char *wanted);
char *strtok_r(char *text, const char *separators, char **saved);

#include <strings.h>
