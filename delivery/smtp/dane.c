/* DANE discovery.  RFC 7672 s2.1.3, s2.2, s3.2.  Floor 2. */
#include "delivery/smtp/dane.h"

#include <stdio.h>

enum { MAX_NAME = 253 }; /* as text, RFC 1035 s2.3.4 */

void
dlv_signed_add(struct dlv_signed *s, const struct hb_dns_answer *answer)
{
	struct dlv_signed now = { .known = true, .ad = answer->ad,
		.plain = answer->plain && !answer->ad, .aliased = answer->aliased };

	if (answer->status == HB_DNS_TEMP ||
	    hb_span_copy(answer->canonical, now.canonical,
		sizeof(now.canonical)) < 0)
		return;
	/* the better of two: signed, else one that tells of an alias */
	if (!s->known || now.ad > s->ad ||
	    (now.ad == s->ad && now.aliased > s->aliased))
		*s = now;
}

/* --- names --- */

static bool
same_name(const char *a, const char *b)
{
	return hb_span_eq_nocase(hb_span_str(a), hb_span_str(b));
}

static void
add_name(struct hb_dane *f, const char *name)
{
	if (name == NULL || f->nnames == HB_DANE_NAMES)
		return;
	for (size_t i = 0; i < f->nnames; i++)
		if (same_name(f->names[i], name))
			return;
	f->names[f->nnames++] = name;
}

/* RFC 7672 s3.2.2: the base; after secure MX records also the domain and its
 * expanded form; else the name before the aliases were followed. */
static void
set_names(struct dlv_dane *d, const char *base)
{
	d->found.base = base;
	add_name(&d->found, base);
	if (d->host.domain != NULL) {
		add_name(&d->found, d->host.domain);
		add_name(&d->found, d->host.expanded);
	} else {
		add_name(&d->found, d->host.name);
	}
}

static void
add_base(struct dlv_dane *d, const char *name)
{
	if (d->nbases > 0 && same_name(d->bases[0], name))
		return;
	d->bases[d->nbases++] = name;
}

static struct hb_span
tlsa_name(const struct dlv_dane *d)
{
	char text[HB_MAX_DOMAIN + 32];
	int n = snprintf(text, sizeof(text), "_%u._tcp.%s",
	    (unsigned)d->host.port, d->bases[d->at]);

	return n > 0 && n <= MAX_NAME
	    ? hb_arena_span(d->arena, hb_span(text, (size_t)n))
	    : HB_SPAN_NONE;
}

/* --- the course --- */

static void
end(struct dlv_dane *d, enum hb_dane_state state)
{
	d->found.state = state;
	d->question = HB_SPAN_NONE;
}

/* Under a name so long that it cannot exist there is nothing to find. */
static void
ask_base(struct dlv_dane *d)
{
	for (; d->at < d->nbases; d->at++) {
		d->question = tlsa_name(d);
		if (d->question.n > 0)
			return;
	}
	end(d, d->insecure ? HB_DANE_INSECURE : HB_DANE_NONE);
}

void
dlv_dane_begin(struct dlv_dane *d, const struct dlv_dane_host *host,
    struct hb_arena *arena)
{
	const struct dlv_signed *s = &host->address;

	*d = (struct dlv_dane){ .host = *host, .arena = arena };
	if (!s->known || (!s->ad && !s->aliased)) {
		/* RFC 7672 s2.2.2: such servers may choke on the question */
		end(d, HB_DANE_INSECURE);
		return;
	}
	if (s->ad && s->aliased)
		add_base(d, hb_arena_cstr(arena, hb_span_str(s->canonical)));
	add_base(d, host->name);
	d->ask_alias = !s->ad;
	if (d->ask_alias)
		d->question = hb_span_str(host->name);
	else
		ask_base(d);
}

enum hb_dns_type
dlv_dane_type(const struct dlv_dane *d)
{
	return d->ask_alias ? HB_DNS_CNAME : HB_DNS_TLSA;
}

static void
on_tlsa(struct dlv_dane *d, const struct hb_dns_answer *answer)
{
	if (answer->ad && answer->status == HB_DNS_OK) {
		set_names(d, d->bases[d->at]);
		hb_dane_take(&d->found, answer->rr, answer->n, d->arena);
		d->found = *hb_dane_keep(&d->found, d->arena);
		end(d, d->found.state);
		return;
	}
	d->insecure = d->insecure || !answer->ad;
	d->at++;
	ask_base(d);
}

void
dlv_dane_answer(struct dlv_dane *d, const struct hb_dns_answer *answer)
{
	/* RFC 7672 s2.1.1 */
	if (answer->status == HB_DNS_TEMP || (answer->plain && !answer->ad)) {
		end(d, HB_DANE_ERROR);
		return;
	}
	if (!d->ask_alias) {
		on_tlsa(d, answer);
		return;
	}
	/* The alias leads out of what is signed: is at least its first link? */
	d->ask_alias = false;
	if (answer->ad)
		ask_base(d);
	else
		end(d, HB_DANE_INSECURE);
}
