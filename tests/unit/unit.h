/* What each unit test includes first: cmocka and span helpers. */
#ifndef HB_TESTS_UNIT_H
#define HB_TESTS_UNIT_H

#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef HAVE_CMOCKA
#error "cmocka is missing (Debian: libcmocka-dev); install it, configure again"
#endif
#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/span.h"

#define assert_span(got, want)                                                 \
	do {                                                                   \
		struct hb_span got_ = (got);                                   \
		assert_int_equal(got_.n, strlen(want));                        \
		assert_memory_equal(got_.p != NULL ? (const void *)got_.p : "",\
		    (want), strlen(want));                                     \
	} while (0)

/*
 * A copy of S that ends where readable memory ends, so that an over-read
 * traps.  Kept until the process ends.
 */
static inline struct hb_span
at_page_end(struct hb_span s)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t len = (s.n / page + 2) * page;
	unsigned char *m = mmap(NULL, len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED || mprotect(m + len - page, page, PROT_NONE) != 0)
		abort();
	m += len - page - s.n;
	if (s.n > 0)
		memcpy(m, s.p, s.n);
	return hb_span(m, s.n);
}

#endif
