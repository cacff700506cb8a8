/* A DNS that is played: hb_dns_ask is the test's, which calls later_dns. */
#ifndef TESTS_UNIT_NODNS_H
#define TESTS_UNIT_NODNS_H

#include "common/base/limits.h"
#include "common/io/dns.h"
#include "tests/unit/later.h"

struct hb_dns_query {
	struct later *later;
	hb_dns_fn cb;
	void *ctx;
	enum hb_dns_type type;
	char name[HB_MAX_DOMAIN + 32];
};

static inline struct hb_dns_query *
later_dns(struct hb_loop *loop, void (*fn)(void *query), struct hb_span name,
    enum hb_dns_type type, hb_dns_fn cb, void *ctx)
{
	struct hb_dns_query *q = HB_NEW(struct hb_dns_query);

	*q = (struct hb_dns_query){ .cb = cb, .ctx = ctx, .type = type };
	HB_ASSERT(hb_span_copy(name, q->name, sizeof(q->name)) == 0);
	q->later = later(loop, fn, q);
	return q;
}

void
hb_dns_cancel(struct hb_dns_query *q)
{
	if (q != NULL)
		later_cancel(q->later);
}

void
hb_dns_forget(struct hb_dns *d, struct hb_span name, enum hb_dns_type type)
{
}

#endif
