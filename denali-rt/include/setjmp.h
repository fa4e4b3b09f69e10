/* Going back to a function that has not returned. */
#pragma once

typedef struct { unsigned long registers[8]; } jmp_buf[1];

int _setjmp(jmp_buf place) __attribute__((returns_twice));
_Noreturn void _longjmp(jmp_buf place, int value);
int setjmp(jmp_buf place) __attribute__((returns_twice));
_Noreturn void longjmp(jmp_buf place, int value);
