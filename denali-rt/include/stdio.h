/* Streams on the console and on descriptors. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <sys/types.h>

#define EOF (-1)
#define BUFSIZ 1024
#define _IOFBF 0
#define _IOLBF 1
#define _IONBF 2

typedef struct denali_file FILE;

extern FILE *stdin;
extern FILE *stdout;
extern FILE *stderr;
#define stdin stdin
#define stdout stdout
#define stderr stderr

#define DENALI_FORMAT(at, first) __attribute__((__format__(__printf__, at, first)))

int asprintf(char **result, const char *format, ...) DENALI_FORMAT(2, 3);
int dprintf(int descriptor, const char *format, ...) DENALI_FORMAT(2, 3);
int fprintf(FILE *stream, const char *format, ...) DENALI_FORMAT(2, 3);
int printf(const char *format, ...) DENALI_FORMAT(1, 2);
int snprintf(char *to, size_t len, const char *format, ...) DENALI_FORMAT(3, 4);
int sprintf(char *to, const char *format, ...) DENALI_FORMAT(2, 3);
int vasprintf(char **result, const char *format, va_list arguments) DENALI_FORMAT(2, 0);
int vdprintf(int descriptor, const char *format, va_list arguments) DENALI_FORMAT(2, 0);
int vfprintf(FILE *stream, const char *format, va_list arguments) DENALI_FORMAT(2, 0);
int vprintf(const char *format, va_list arguments) DENALI_FORMAT(1, 0);
int vsnprintf(char *to, size_t len, const char *format, va_list arguments) DENALI_FORMAT(3, 0);
int vsprintf(char *to, const char *format, va_list arguments) DENALI_FORMAT(2, 0);

void clearerr(FILE *stream);
int fclose(FILE *stream);
FILE *fdopen(int descriptor, const char *mode);
int feof(FILE *stream);
int ferror(FILE *stream);
int fflush(FILE *stream);
int fgetc(FILE *stream);
char *fgets(char *to, int len, FILE *stream);
int fileno(FILE *stream);
FILE *fopen(const char *path, const char *mode);
int fputc(int character, FILE *stream);
int fputs(const char *text, FILE *stream);
size_t fread(void *to, size_t size, size_t count, FILE *stream);
size_t fwrite(const void *data, size_t size, size_t count, FILE *stream);
int getc(FILE *stream);
int getchar(void);
void perror(const char *text);
int putc(int character, FILE *stream);
int putchar(int character);
int puts(const char *text);
void setbuf(FILE *stream, char *buffer);
void setlinebuf(FILE *stream);
int setvbuf(FILE *stream, char *buffer, int mode, size_t len);
int ungetc(int character, FILE *stream);
