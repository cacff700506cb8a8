/*
 * An entry of the access table: a key, a line end, its value.  What a value
 * says is a reply that can be sent, and what is told of an entry fits what is
 * made of it.
 */
#include <stdlib.h>

#include "queue/router/access.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
must_be(bool right)
{
	if (!right)
		abort();
}

static void
judge(enum rt_access_check check, const struct ipc_check *q,
    struct hb_span key, struct hb_span value)
{
	struct rt_access a = { .key = HB_BUF_INIT(0) };
	struct rt_access_said said;
	struct hb_span asked;
	unsigned keys = 0;

	rt_access_begin(&a, check, q);
	while (rt_access_key(&a, &asked)) {
		must_be(++keys < 5000);
		if (!hb_span_eq_nocase(asked, key) ||
		    !rt_access_found(&a, q, value, &said))
			continue;
		must_be(said.action == HB_ACTION_ACCEPT ||
		    said.action == HB_ACTION_DISCARD ||
		    said.code / 100 ==
			(said.action == HB_ACTION_TEMPFAIL ? 4 : 5));
		must_be(said.status.n <= 16);
		break;
	}
	rt_access_free(&a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hb_span value = hb_span(data, n),
		       key = hb_span_cut(&value, '\n'),
		       untagged = key;
	struct ipc_check q = { .client = HB_SPAN("2001:db8::1") };

	(void)hb_span_cut(&untagged, ':');
	if (untagged.n == 0)
		untagged = key;
	untagged = hb_span_head(untagged, HB_MAX_PATH);
	q.sender = q.rcpt = q.client_name = q.cert = untagged;
	(void)hb_access_fault(key, value);
	for (unsigned c = RT_ACCESS_CLIENT; c <= RT_ACCESS_RELAY; c++)
		judge((enum rt_access_check)c, &q, key, value);
	q.client = untagged;
	judge(RT_ACCESS_CLIENT, &q, key, value);
	return 0;
}
