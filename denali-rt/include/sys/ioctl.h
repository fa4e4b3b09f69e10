/* More of what can be done to a descriptor. */
#pragma once

#define FIONREAD 0x541b
#define FIONBIO 0x5421
#define FIOCLEX 0x5451

int ioctl(int descriptor, unsigned long request, ...);
