/* Values of the system. */
#pragma once

#define AT_PAGESZ 6
#define AT_CLKTCK 17

unsigned long getauxval(unsigned long kind);
