/* Policy text from the web: what parses must print and parse to the same. */
#include <stdlib.h>

#include "common/base/err.h"
#include "sts/match.h"
#include "sts/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* As sites write it. */
static void
print(const struct sts_policy *p, struct hb_buf *out)
{
	hb_buf_addf(out, "version: STSv1\nmode: %s\n", sts_mode_word(p->mode));
	for (size_t i = 0; i < p->nmx; i++) {
		hb_buf_adds(out, "mx: ");
		hb_buf_add(out, p->mx[i]);
		hb_buf_adds(out, "\n");
	}
	hb_buf_addf(out, "max_age: %u\n", (unsigned)p->max_age_s);
}

static void
check_same(const struct sts_policy *a, const struct sts_policy *b)
{
	if (a->mode != b->mode || a->max_age_s != b->max_age_s ||
	    a->nmx != b->nmx)
		abort();
	for (size_t i = 0; i < a->nmx; i++)
		if (!hb_span_eq(a->mx[i], b->mx[i]))
			abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hb_arena *arena = hb_arena_new();
	struct hb_buf text = HB_BUF_INIT(0);
	struct sts_policy p, again;
	const char *why;

	if (sts_policy_parse(hb_span(data, n), arena, &p, &why) == 0) {
		print(&p, &text);
		if (sts_policy_parse(hb_buf_span(&text), arena, &again, &why) <
		    0)
			abort();
		check_same(&p, &again);
		sts_match_policy(&p, hb_span(data, n));
	}
	hb_buf_free(&text);
	hb_arena_free(&arena);
	return 0;
}
