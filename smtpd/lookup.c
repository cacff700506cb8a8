/*
 * DNS questions about a client: its name (PTR, and the name's addresses: it
 * counts when the client's is among them) and the zones that may list it, side
 * by side.  Floor 4.  What has no answer after SMTPD_ORIGIN_MS is given up, so
 * that nobody's mail waits for a dead server.
 */
#include "config.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "common/io/dns.h"
#include "common/io/trouble.h"
#include "common/proto/dnsbl.h"
#include "common/proto/domain.h"
#include "common/proto/stats.h"
#include "smtpd/worker.h"

enum {
	NAMES_MAX = 4,	 /* looked at of one PTR answer */
	TEXT_MAX = 250,	 /* of a zone's TXT record, in the reply */
	FAILURES = 5,	 /* in a row, and the zone rests */
	REST_MS = 300000
};

/* A zone of the configuration, as it was last seen. */
struct smtpd_zone {
	unsigned failures; /* in a row */
	int64_t rest_ms;   /* monotonic: not asked until then */
};

struct asked {
	struct smtpd_lookup *lookup;
	size_t zone;
	struct hb_dns_query *query; /* NULL: answered */
};

struct smtpd_lookup {
	struct smtpd_client *client;
	void (*answered)(struct smtpd_client *c);
	struct hb_timer *timer;
	struct smtpd_origin_wants open; /* what is not told yet */
	struct hb_arena *arena;
	struct hb_dns_query *name; /* PTR, then addresses */
	struct hb_span names[NAMES_MAX];
	size_t n_names, next_name;
	enum hb_dns_type family; /* of the addresses */
	struct hb_dns_query *text; /* TXT of the zone that lists it */
	size_t listed; /* that zone */
	size_t n_asked, n_open;
	struct asked asked[];
};

/* --- telling --- */

static void
end(struct smtpd_lookup *l)
{
	for (size_t i = 0; i < l->n_asked; i++)
		hb_dns_cancel(l->asked[i].query);
	hb_dns_cancel(l->name);
	hb_dns_cancel(l->text);
	hb_timer_free(&l->timer);
	hb_arena_free(&l->arena);
	l->client->lookup = NULL;
	free(l);
}

void
smtpd_lookup_end(struct smtpd_client *c)
{
	if (c->lookup != NULL)
		end(c->lookup);
}

/* The client goes on, and may end. */
static void
go_on(struct smtpd_lookup *l)
{
	struct smtpd_client *c = l->client;
	void (*answered)(struct smtpd_client *) = l->answered;

	if (!l->open.name && !l->open.listing)
		end(l);
	answered(c);
}

static void
tell_name(struct smtpd_lookup *l, struct hb_span name)
{
	l->open.name = false;
	smtpd_session_named(l->client->session, name);
}

static void
tell_clean(struct smtpd_lookup *l)
{
	l->open.listing = false;
	smtpd_session_listed(l->client->session, HB_SPAN_NONE);
}

static void
tell_listed(struct smtpd_lookup *l, struct hb_span text)
{
	const struct hb_conf *conf = l->client->worker->env->conf;
	char addr[HB_NETADDR_TEXT];
	struct hb_buf why = HB_BUF_INIT(0);

	hb_netaddr_format(&l->client->addr, addr);
	hb_buf_addf(&why, "%s is listed by %s", addr,
	    conf->dnsbl.v[l->listed].zone);
	if (text.n > 0)
		hb_buf_adds(&why, ": ");
	/* a zone's words are one line */
	text = hb_span_head(text, TEXT_MAX);
	for (size_t i = 0; i < text.n; i++)
		hb_buf_adds(&why, (char[]){ text.p[i] < ' ' ? '?'
		    : (char)text.p[i], '\0' });
	l->open.listing = false;
	smtpd_session_listed(l->client->session, hb_buf_span(&why));
	hb_buf_free(&why);
}

/* --- the name --- */

static void ask_address(struct smtpd_lookup *l);

static bool
has_address(const struct hb_dns_answer *a, const struct hb_netaddr *addr)
{
	size_t n = addr->family == 4 ? 4 : 16;

	for (size_t i = 0; i < a->n; i++)
		if (hb_span_eq(a->rr[i].data, hb_span(addr->b, n)))
			return true;
	return false;
}

static void
on_address(void *ctx, const struct hb_dns_answer *a)
{
	struct smtpd_lookup *l = ctx;

	l->name = NULL;
	if (!has_address(a, &l->client->addr)) {
		ask_address(l);
		if (l->name != NULL)
			return;
		tell_name(l, HB_SPAN_NONE);
	} else {
		tell_name(l, l->names[l->next_name - 1]);
	}
	go_on(l);
}

/* Of the next name, if there is one. */
static void
ask_address(struct smtpd_lookup *l)
{
	if (l->next_name < l->n_names)
		l->name = hb_dns_ask(l->client->worker->dns,
		    l->names[l->next_name++], l->family, on_address, l);
}

static void
on_ptr(void *ctx, const struct hb_dns_answer *a)
{
	struct smtpd_lookup *l = ctx;

	l->name = NULL;
	for (size_t i = 0; i < a->n && l->n_names < NAMES_MAX; i++)
		if (hb_domain_is_dns_name(a->rr[i].name))
			l->names[l->n_names++] = hb_arena_span(l->arena,
			    a->rr[i].name);
	ask_address(l);
	if (l->name != NULL)
		return;
	tell_name(l, HB_SPAN_NONE);
	go_on(l);
}

static void
ask_name(struct smtpd_lookup *l)
{
	const struct hb_netaddr *addr = &l->client->addr;
	char name[HB_REVERSE_NAME];

	/* below the two zones of DNS itself a name is never too long */
	if (hb_reverse_name(addr, HB_SPAN_NONE, name) < 0)
		name[0] = '\0';
	l->family = addr->family == 4 ? HB_DNS_A : HB_DNS_AAAA;
	l->name = hb_dns_ask(l->client->worker->dns, hb_span_str(name),
	    HB_DNS_PTR, on_ptr, l);
}

/* --- zones --- */

static void
zone_is_well(struct smtpd_worker *w, size_t zone)
{
	w->zones[zone].failures = 0;
	hb_trouble_end(HB_EV_DNSBL,
	    hb_span_str(w->env->conf->dnsbl.v[zone].zone));
}

static void
zone_failed(struct smtpd_worker *w, size_t zone, enum hb_dnsbl_says how)
{
	static const char *const texts[] = {
		[HB_DNSBL_SILENT] = "does not answer: nobody is refused by "
		    "it, and it is asked again every five minutes",
		[HB_DNSBL_REFUSES] = "refuses to answer this server "
		    "(127.255.255.0/24): its terms of use, or a resolver "
		    "that others use too, are often why",
		[HB_DNSBL_STRANGE] = "answers what no list of clients does: "
		    "its name may belong to somebody else now",
	};
	struct smtpd_zone *z = &w->zones[zone];

	hb_stat(HB_STAT_DNSBL_FAILED);
	if (++z->failures < FAILURES && how == HB_DNSBL_SILENT)
		return;
	z->rest_ms = hb_mono_ms() + REST_MS;
	hb_trouble_begin(HB_EV_DNSBL,
	    hb_span_str(w->env->conf->dnsbl.v[zone].zone),
	    hb_span_str(texts[how]));
}

static void
on_text(void *ctx, const struct hb_dns_answer *a)
{
	struct smtpd_lookup *l = ctx;

	l->text = NULL;
	tell_listed(l, a->n > 0 ? a->rr[0].data : HB_SPAN_NONE);
	go_on(l);
}

/* The first zone that lists it decides. */
static void
found(struct smtpd_lookup *l, const struct asked *by)
{
	struct smtpd_worker *w = l->client->worker;
	char name[HB_REVERSE_NAME];

	for (size_t i = 0; i < l->n_asked; i++) {
		hb_dns_cancel(l->asked[i].query);
		l->asked[i].query = NULL;
	}
	l->n_open = 0;
	l->listed = by->zone;
	if (hb_reverse_name(&l->client->addr,
		hb_span_str(w->env->conf->dnsbl.v[by->zone].zone), name) == 0)
		l->text = hb_dns_ask(w->dns, hb_span_str(name), HB_DNS_TXT,
		    on_text, l);
}

static void
on_zone(void *ctx, const struct hb_dns_answer *a)
{
	struct asked *by = ctx;
	struct smtpd_lookup *l = by->lookup;
	struct smtpd_worker *w = l->client->worker;
	enum hb_dnsbl_says says = hb_dnsbl_read(
	    &w->env->conf->dnsbl.v[by->zone], a);

	by->query = NULL;
	l->n_open--;
	if (says == HB_DNSBL_CLEAN || says == HB_DNSBL_LISTED) {
		hb_stat(says == HB_DNSBL_LISTED ? HB_STAT_DNSBL_LISTED
						: HB_STAT_DNSBL_CLEAN);
		zone_is_well(w, by->zone);
	} else {
		zone_failed(w, by->zone, says);
	}
	if (says == HB_DNSBL_LISTED) {
		found(l, by);
	} else if (l->n_open == 0) {
		tell_clean(l);
		go_on(l);
	}
}

static void
ask_zones(struct smtpd_lookup *l)
{
	struct smtpd_worker *w = l->client->worker;
	char name[HB_REVERSE_NAME];

	for (size_t i = 0; i < w->env->conf->dnsbl.n; i++) {
		struct asked *a = &l->asked[l->n_asked];

		if (hb_mono_ms() < w->zones[i].rest_ms ||
		    hb_reverse_name(&l->client->addr,
			hb_span_str(w->env->conf->dnsbl.v[i].zone), name) < 0)
			continue;
		*a = (struct asked){ .lookup = l, .zone = i };
		a->query = hb_dns_ask(w->dns, hb_span_str(name), HB_DNS_A,
		    on_zone, a);
		l->n_asked++;
		l->n_open++;
	}
}

/* --- life --- */

/* What has not come does not count. */
static void
give_up(struct smtpd_lookup *l)
{
	if (l->open.name)
		tell_name(l, HB_SPAN_NONE);
	if (l->open.listing)
		tell_clean(l);
	go_on(l);
}

static void
on_timer(void *ctx)
{
	struct smtpd_lookup *l = ctx;

	for (size_t i = 0; i < l->n_asked; i++)
		if (l->asked[i].query != NULL)
			zone_failed(l->client->worker, l->asked[i].zone,
			    HB_DNSBL_SILENT);
	if (l->open.listing && l->text != NULL)
		tell_listed(l, HB_SPAN_NONE);
	give_up(l);
}

static bool
can_ask(struct smtpd_worker *w)
{
	struct hb_buf err = HB_BUF_INIT(0);

	if (w->dns == NULL)
		w->dns = hb_dns_new(w->env->loop, w->env->conf,
		    hb_buf_span(&w->resolv), &err);
	if (w->dns == NULL)
		HB_LOG(HB_LOG_ERROR, HB_EV_DNS,
		    hb_kv_span(HB_K_ERROR, hb_buf_span(&err)));
	if (w->zones == NULL)
		w->zones = hb_calloc(w->env->conf->dnsbl.n + 1,
		    sizeof(*w->zones));
	hb_buf_free(&err);
	return w->dns != NULL;
}

void
smtpd_lookup_begin(struct smtpd_client *c,
    const struct smtpd_origin_wants *wants,
    void (*answered)(struct smtpd_client *c))
{
	struct smtpd_worker *w = c->worker;
	size_t zones = wants->listing ? w->env->conf->dnsbl.n : 0;
	struct smtpd_lookup *l;

	l = hb_calloc(1, sizeof(*l) + zones * sizeof(l->asked[0]));
	l->client = c;
	l->answered = answered;
	l->open = *wants;
	l->arena = hb_arena_new();
	l->timer = hb_timer_new(w->env->loop, on_timer, l);
	c->lookup = l;
	if (can_ask(w) && wants->name)
		ask_name(l);
	if (w->dns != NULL && wants->listing)
		ask_zones(l);
	/* nobody to ask: at the end of the turn */
	hb_timer_set(l->timer, l->name != NULL || l->n_open > 0
	    ? SMTPD_ORIGIN_MS : 0);
}

void
smtpd_lookup_give_up(struct smtpd_client *c)
{
	if (c->lookup != NULL)
		give_up(c->lookup);
}

void
smtpd_lookup_reset(struct smtpd_worker *w)
{
	struct hb_span resolv;

	hb_dns_free(&w->dns);
	free(w->zones);
	w->zones = NULL;
	hb_trouble_end_all(HB_EV_DNSBL);
	hb_buf_clear(&w->resolv);
	if (hb_role_file(w->env, HB_FILE_RESOLV, 0, &resolv))
		hb_buf_add(&w->resolv, resolv);
	w->site.names = true;
	w->site.names_decide = w->env->conf->access.kind != HB_MAP_NONE;
	w->site.dnsbl = w->env->conf->dnsbl.n > 0;
}
