#include "queue/manager/grey.h"

#include "common/base/bytes.h"
#include "common/base/hash.h"

#define DAY_MS (24 * 3600 * (int64_t)1000)
enum { CONTACT_DAYS = 2, NETWORK_DAYS = 365 };

static bool
is_fresh(int64_t ms, int days, int64_t now_ms)
{
	return ms != 0 && now_ms - ms < days * DAY_MS;
}

struct q_grey_verdict
q_grey_judge(const struct q_grey_seen *seen, int64_t delay_ms, int64_t now_ms)
{
	int64_t age = now_ms - seen->contact;

	if (is_fresh(seen->network, NETWORK_DAYS, now_ms))
		return (struct q_grey_verdict){ 0,
			is_fresh(seen->network, 1, now_ms) ? Q_GREY_NOTHING
							   : Q_GREY_NETWORK };
	if (!is_fresh(seen->contact, CONTACT_DAYS, now_ms))
		return (struct q_grey_verdict){ delay_ms, Q_GREY_CONTACT };
	if (age < delay_ms)
		return (struct q_grey_verdict){ delay_ms - age,
			Q_GREY_NOTHING };
	return (struct q_grey_verdict){ 0, Q_GREY_NETWORK };
}

/* --- rows --- */

static void
put_network(char kind, const struct hb_netaddr *a, struct hb_buf *key)
{
	hb_buf_clear(key);
	hb_buf_add(key, hb_span(&kind, 1));
	hb_buf_add(key, hb_span(a->b, a->family == 6 ? 8 : 3));
}

void
q_grey_network(const struct hb_netaddr *a, struct hb_buf *key)
{
	put_network('n', a, key);
}

bool
q_grey_is_network(struct hb_span key)
{
	return key.n > 0 && key.p[0] == 'n';
}

static void
hash(struct hb_siphash *h, struct hb_span s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = hb_lower(s.p[i]);

		hb_siphash_update(h, hb_span(&c, 1));
	}
}

/* Who finds two addresses with one hash has saved himself a minute. */
void
q_grey_contact(const struct hb_netaddr *a, struct hb_span sender,
    struct hb_span rcpt, struct hb_buf *key)
{
	static const unsigned char no_secret[16];
	struct hb_siphash h;

	hb_siphash_init(&h, no_secret);
	hash(&h, sender);
	hb_siphash_update(&h, HB_SPAN("\0"));
	hash(&h, rcpt);
	put_network('c', a, key);
	hb_buf_add_le(key, hb_siphash_final(&h), 8);
}

void
q_grey_put(int64_t ms, struct hb_buf *value)
{
	hb_buf_clear(value);
	hb_buf_add_le(value, (uint64_t)ms, 8);
}

int64_t
q_grey_get(struct hb_span value)
{
	return value.n == 8 ? (int64_t)hb_get_le64(value.p) : 0;
}

bool
q_grey_is_old(struct hb_span key, int64_t ms, int64_t now_ms)
{
	return !is_fresh(ms, q_grey_is_network(key) ? NETWORK_DAYS
						    : CONTACT_DAYS, now_ms);
}
