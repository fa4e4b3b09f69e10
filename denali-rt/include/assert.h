/* Assertions. Included again, they follow the NDEBUG of then. */
#undef assert
#ifdef NDEBUG
#define assert(condition) ((void)0)
#else
#define assert(condition) \
    ((condition) ? (void)0 : __assert_fail(#condition, __FILE__, __LINE__, __func__))
#endif
#ifndef __cplusplus
#undef static_assert
#define static_assert _Static_assert
#endif

_Noreturn void __assert_fail(const char *what, const char *file, unsigned line, const char *function);
