/* Memory, numbers, sorting, environment, and the end of the program. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define EXIT_SUCCESS 0
#define EXIT_FAILURE 1
#define RAND_MAX 2147483647

typedef struct { int quot, rem; } div_t;
typedef struct { long quot, rem; } ldiv_t;
typedef struct { long long quot, rem; } lldiv_t;

void *aligned_alloc(size_t align, size_t size);
void *calloc(size_t count, size_t size);
void free(void *area);
void *malloc(size_t size);
int posix_memalign(void **result, size_t align, size_t size);
void *realloc(void *area, size_t size);
void *reallocarray(void *area, size_t count, size_t size);

int abs(int number);
long labs(long number);
long long llabs(long long number);
div_t div(int number, int by);
ldiv_t ldiv(long number, long by);
lldiv_t lldiv(long long number, long long by);

double atof(const char *text);
int atoi(const char *text);
long atol(const char *text);
long long atoll(const char *text);
double strtod(const char *text, char **end);
float strtof(const char *text, char **end);
long strtol(const char *text, char **end, int base);
long long strtoll(const char *text, char **end, int base);
unsigned long strtoul(const char *text, char **end, int base);
unsigned long long strtoull(const char *text, char **end, int base);

void *bsearch(const void *key, const void *start, size_t count, size_t size,
              int (*compare)(const void *, const void *));
void qsort(void *start, size_t count, size_t size, int (*compare)(const void *, const void *));
void qsort_r(void *start, size_t count, size_t size,
             int (*compare)(const void *, const void *, void *), void *argument);

int rand(void);
int rand_r(unsigned *seed);
long random(void);
void srand(unsigned seed);
void srandom(unsigned seed);
uint32_t arc4random(void);
void arc4random_buf(void *to, size_t len);
uint32_t arc4random_uniform(uint32_t bound);

int clearenv(void);
char *getenv(const char *name);
int putenv(char *entry);
char *secure_getenv(const char *name);
int setenv(const char *name, const char *value, int overwrite);
int unsetenv(const char *name);

_Noreturn void _Exit(int code);
_Noreturn void abort(void);
int atexit(void (*function)(void));
_Noreturn void exit(int code);
