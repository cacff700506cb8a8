/* The ordered list of mail hosts.  RFC 5321 s5.1, RFC 7505.  Floor 2. */
#include "delivery/smtp/mx.h"

#include <stdlib.h>

#include "common/proto/here.h"

static void
refuse(struct dlv_mx *m, enum hb_result result, enum hb_reason reason)
{
	m->n = 0;
	m->result = result;
	m->reason = reason;
}

/* Letters, digits, hyphens, underscores and dots: what can be connected to
 * and shown. */
static bool
is_host_name(struct hb_span s)
{
	if (s.n == 0 || s.n > HB_MAX_DOMAIN)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!hb_is_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '_' &&
		    s.p[i] != '.')
			return false;
	return true;
}

static struct dlv_host *
add_host(struct dlv_mx *m, struct hb_span name, uint16_t preference)
{
	struct dlv_host *h = &m->hosts[m->n];

	if (!is_host_name(name))
		return NULL;
	memset(h, 0, sizeof(*h));
	(void)hb_span_lower(name, h->name);
	h->preference = preference;
	m->n++;
	return h;
}

static int
by_preference(const void *a, const void *b)
{
	const struct hb_dns_rr *x = *(const struct hb_dns_rr *const *)a;
	const struct hb_dns_rr *y = *(const struct hb_dns_rr *const *)b;

	return (x->preference > y->preference) -
	    (x->preference < y->preference);
}

/* RFC 5321 s5.1: hosts of equal preference in random order. */
static void
shuffle_equals(const struct hb_dns_rr **rr, size_t n, dlv_random_fn random)
{
	size_t from = 0, to;

	while (from < n) {
		for (to = from + 1; to < n &&
		     rr[to]->preference == rr[from]->preference; to++)
			;
		for (size_t left = to - from; left > 1; left--) {
			size_t pick = from + random((uint32_t)left);
			const struct hb_dns_rr *t = rr[pick];

			rr[pick] = rr[from + left - 1];
			rr[from + left - 1] = t;
		}
		from = to;
	}
}

static bool
is_null_mx(const struct hb_dns_answer *a)
{
	return a->n == 1 && a->rr[0].name.n == 0;
}

static bool
has_host(const struct dlv_mx *m, struct hb_span name)
{
	for (size_t i = 0; i < m->n; i++)
		if (hb_span_eq_nocase(hb_span_str(m->hosts[i].name), name))
			return true;
	return false;
}

static void
take_records(struct dlv_mx *m, const struct hb_dns_answer *a,
    dlv_random_fn random, struct hb_arena *arena)
{
	const struct hb_dns_rr **rr = hb_arena_alloc(arena,
	    a->n * sizeof(struct hb_dns_rr *));
	size_t i;

	for (i = 0; i < a->n; i++)
		rr[i] = &a->rr[i];
	qsort(rr, a->n, sizeof(*rr), by_preference);
	shuffle_equals(rr, a->n, random);
	for (i = 0; i < a->n && m->n < HB_MAX_MX_LISTED; i++)
		if (!has_host(m, rr[i]->name))
			add_host(m, rr[i]->name, rr[i]->preference);
	m->incomplete = i < a->n;
	m->known = m->n;
	if (m->n > HB_MAX_MX_HOSTS)
		m->n = HB_MAX_MX_HOSTS;
	if (m->n == 0)
		refuse(m, HB_RESULT_FAIL, HB_REASON_DNS_NO_ADDRESS);
}

static size_t
hosts_of_use(const struct dlv_mx *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n; i++)
		n += m->hosts[i].naddr > 0;
	return n;
}

bool
dlv_mx_more(struct dlv_mx *m)
{
	size_t room = HB_MAX_MX_HOSTS - hosts_of_use(m);
	size_t left = m->known - m->n;

	if (m->result != HB_RESULT_OK || room == 0 || left == 0)
		return false;
	m->n += left < room ? left : room;
	return true;
}

void
dlv_mx_single(struct dlv_mx *m, struct hb_span host, struct hb_arena *arena)
{
	*m = (struct dlv_mx){ .result = HB_RESULT_OK };
	m->hosts = hb_arena_alloc(arena, sizeof(*m->hosts));
	if (add_host(m, host, 0) == NULL)
		refuse(m, HB_RESULT_FAIL, HB_REASON_DNS_NXDOMAIN);
	m->known = m->n;
}

void
dlv_mx_begin(struct dlv_mx *m, struct hb_span domain,
    const struct hb_dns_answer *answer, dlv_random_fn random,
    struct hb_arena *arena)
{
	struct dlv_signed records = { .known = false };

	dlv_signed_add(&records, answer);
	*m = (struct dlv_mx){ .result = HB_RESULT_OK, .records = records };
	switch (answer->status) {
	case HB_DNS_TEMP:
		refuse(m, HB_RESULT_DEFER, HB_REASON_DNS_TEMP);
		return;
	case HB_DNS_NXDOMAIN:
		refuse(m, HB_RESULT_FAIL, HB_REASON_DNS_NXDOMAIN);
		return;
	case HB_DNS_NODATA:
		dlv_mx_single(m, domain, arena);
		m->records = records;
		if (m->n == 1)
			m->hosts[0].implicit = true;
		return;
	case HB_DNS_OK:
		break;
	}
	if (is_null_mx(answer)) { /* RFC 7505 s4.1 */
		refuse(m, HB_RESULT_FAIL, HB_REASON_NULL_MX);
		return;
	}
	m->hosts = hb_arena_alloc(arena,
	    (answer->n < HB_MAX_MX_LISTED ? answer->n : HB_MAX_MX_LISTED) *
		sizeof(*m->hosts));
	take_records(m, answer, random, arena);
}

/* IPv6 and IPv4 alternate, so that one family without connectivity does not
 * use up every try. */
static void
place(struct dlv_host *h, const struct hb_netaddr *a)
{
	size_t at = h->naddr, same = 0;

	for (size_t i = 0; i < h->naddr; i++)
		same += h->addr[i].family == a->family;
	if (h->naddr == HB_MAX_HOST_ADDRESSES)
		return;
	/* the same family's k-th address stands at 2k or 2k + 1 */
	if (same * 2 + (a->family == 4) < at)
		at = same * 2 + (a->family == 4);
	memmove(&h->addr[at + 1], &h->addr[at],
	    (h->naddr - at) * sizeof(*a));
	h->addr[at] = *a;
	h->naddr++;
}

void
dlv_mx_address(struct dlv_mx *m, size_t i, const struct hb_dns_answer *answer,
    uint16_t port)
{
	struct dlv_host *h = &m->hosts[i];

	if (answer->status == HB_DNS_TEMP)
		h->unknown = true;
	dlv_signed_add(&h->address, answer);
	for (size_t k = 0; k < answer->n; k++) {
		const struct hb_dns_rr *rr = &answer->rr[k];
		struct hb_netaddr a = { .port = port };

		if (rr->type != HB_DNS_A && rr->type != HB_DNS_AAAA)
			continue;
		a.family = rr->type == HB_DNS_A ? 4 : 6;
		memcpy(a.b, rr->data.p, rr->data.n < 16 ? rr->data.n : 16);
		place(h, &a);
	}
}

static bool
is_self(const struct hb_conf *c, enum dlv_own own, const struct dlv_host *h)
{
	if (own == DLV_OWN_MX && hb_here_is_name(c, hb_span_str(h->name)))
		return true;
	for (size_t i = 0; i < h->naddr; i++) {
		struct hb_netaddr a = h->addr[i];

		(void)hb_netaddr_unmap(&a);
		if (hb_here_is_endpoint(c, &a))
			return true;
	}
	return false;
}

/* ::ffff:192.0.2.1 is how a program writes an IPv4 address; no network has a
 * host there. */
static void
drop_mapped(struct dlv_host *h)
{
	size_t kept = 0;

	for (size_t i = 0; i < h->naddr; i++) {
		struct hb_netaddr a = h->addr[i];

		if (!hb_netaddr_unmap(&a))
			h->addr[kept++] = a;
	}
	h->naddr = kept;
}

/* The list is sorted: cuts it at the first host of this host's preference. */
static void
drop_self(struct dlv_mx *m, const struct hb_conf *c, enum dlv_own how)
{
	for (size_t i = 0; i < m->n; i++) {
		uint16_t own = m->hosts[i].preference;

		if (!is_self(c, how, &m->hosts[i]))
			continue;
		while (i > 0 && m->hosts[i - 1].preference == own)
			i--;
		m->n = m->known = i;
		if (m->n == 0)
			refuse(m, HB_RESULT_FAIL, HB_REASON_MX_SELF);
		return;
	}
}

/* Behind the others, in the same order; returns how many others there are. */
static size_t
part_homeless(struct dlv_mx *m)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->n; i++) {
		struct dlv_host h;

		if (m->hosts[i].naddr == 0)
			continue;
		if (kept < i) {
			h = m->hosts[i];
			memmove(&m->hosts[kept + 1], &m->hosts[kept],
			    (i - kept) * sizeof(h));
			m->hosts[kept] = h;
		}
		kept++;
	}
	return kept;
}

void
dlv_mx_finish(struct dlv_mx *m, const struct hb_conf *conf, enum dlv_own own)
{
	bool unknown = false;

	drop_self(m, conf, own);
	if (m->result != HB_RESULT_OK)
		return;
	for (size_t i = 0; i < m->n; i++) {
		unknown = unknown || m->hosts[i].unknown;
		drop_mapped(&m->hosts[i]);
	}
	m->incomplete = m->incomplete || m->n < m->known || unknown;
	m->listed = m->n;
	m->n = part_homeless(m);
	if (m->n > 0)
		return;
	/* RFC 5321 s5.1: an error, or trouble of DNS that will pass; or what
	 * would do was not looked at */
	if (unknown)
		refuse(m, HB_RESULT_DEFER, HB_REASON_DNS_TEMP);
	else if (m->incomplete)
		refuse(m, HB_RESULT_DEFER, HB_REASON_DNS_NO_ADDRESS);
	else
		refuse(m, HB_RESULT_FAIL, HB_REASON_DNS_NO_ADDRESS);
}
