/* Trust in the resolver.  Floor 2. */
#include "delivery/smtp/trust.h"

enum {
	FIRST_REST_MS = 1000,
	LONGEST_REST_MS = 60 * 1000, /* while something is not known, or bad */
	HOUR_MS = 60 * 60 * 1000
};

static const struct {
	enum dlv_trust trust;
	const char *text;
} reasons[] = {
#define X(sym, how, what) [DLV_TRUST_BY_##sym] = { DLV_TRUST_##how, what },
	DLV_TRUST_REASONS(X)
#undef X
};

const char *
dlv_trust_word(enum dlv_trust t)
{
	static const char *const words[] = {
		[DLV_TRUST_UNKNOWN] = "unknown",
		[DLV_TRUST_YES] = "yes",
		[DLV_TRUST_NO] = "no",
	};

	return words[t];
}

const char *
dlv_trust_text(enum dlv_trust_reason r)
{
	return reasons[r].text;
}

enum dlv_trust
dlv_trust_now(const struct dlv_truster *t)
{
	return reasons[t->why].trust;
}

bool
dlv_trust_is_due(const struct dlv_truster *t)
{
	return t->why == DLV_TRUST_BY_UNANSWERED && t->silent == 0;
}

static bool
all_local(const struct dlv_trust_words *w)
{
	for (size_t i = 0; i < w->nservers; i++)
		if (!hb_netaddr_is_loopback(&w->servers[i]))
			return false;
	return true;
}

/* UNANSWERED: a probe has to tell. */
static enum dlv_trust_reason
said(const struct dlv_trust_words *w)
{
	if (w->said == HB_TRUST_NO)
		return DLV_TRUST_BY_SAID_NO;
	if (w->said == HB_TRUST_YES && w->probe == NULL)
		return DLV_TRUST_BY_SAID_YES;
	if (w->nservers == 0)
		return DLV_TRUST_BY_NO_RESOLVER;
	if (w->said == HB_TRUST_AUTO && !all_local(w))
		return DLV_TRUST_BY_NOT_LOCAL;
	return DLV_TRUST_BY_UNANSWERED;
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
same_words(const struct dlv_trust_words *a, const struct dlv_trust_words *b)
{
	if (a->said != b->said || a->nservers != b->nservers ||
	    !same_text(a->probe, b->probe) || !same_text(a->bad, b->bad))
		return false;
	for (size_t i = 0; i < a->nservers; i++)
		if (!hb_netaddr_eq(&a->servers[i], &b->servers[i]))
			return false;
	return true;
}

void
dlv_trust_begin(struct dlv_truster *t, const struct dlv_trust_words *words)
{
	if (dlv_trust_now(t) == DLV_TRUST_UNKNOWN || !same_words(&t->words, words))
		t->why = said(words);
	t->words = *words;
	t->silent = 0;
	dlv_trust_again(t);
}

void
dlv_trust_again(struct dlv_truster *t)
{
	bool probed = said(&t->words) == DLV_TRUST_BY_UNANSWERED;

	t->server = probed ? 0 : t->words.nservers;
	t->ask_bad = false;
	t->passed = t->quiet = 0;
	t->mute = false;
	t->failed = DLV_TRUST_BY_UNANSWERED;
}

/* NS of the root is what every resolver knows; a name may be one whose
 * address alone is badly signed. */
bool
dlv_trust_ask(const struct dlv_truster *t, struct dlv_trust_question *out)
{
	const struct dlv_trust_words *w = &t->words;
	const char *probe = w->probe != NULL ? w->probe : ".";

	if (t->server >= w->nservers)
		return false;
	out->server = t->server;
	out->name = t->ask_bad ? w->bad : probe;
	out->type = strcmp(out->name, ".") == 0 ? HB_DNS_NS : HB_DNS_A;
	return true;
}

static void
next_server(struct dlv_truster *t)
{
	t->ask_bad = false;
	if (++t->server == t->words.nservers) {
		if (t->failed != DLV_TRUST_BY_UNANSWERED)
			t->why = t->failed;
		else if (t->passed > 0)
			t->why = DLV_TRUST_BY_PASSED;
		else if (t->mute && dlv_trust_now(t) == DLV_TRUST_UNKNOWN)
			t->why = DLV_TRUST_BY_NO_EDNS;
		t->silent = t->quiet > 0 ? t->silent + 1 : 0;
	}
}

static void
miss(struct dlv_truster *t, bool mute)
{
	t->mute = t->mute || mute;
	t->quiet++;
	next_server(t);
}

static void
fail(struct dlv_truster *t, enum dlv_trust_reason why)
{
	t->failed = why;
	next_server(t);
}

static void
pass(struct dlv_truster *t)
{
	t->passed++;
	next_server(t);
}

void
dlv_trust_answer(struct dlv_truster *t, const struct hb_dns_answer *a)
{
	bool answered = a->status != HB_DNS_TEMP;
	bool mute = answered && a->plain && !a->ad;

	if (t->ask_bad && answered)
		fail(t, DLV_TRUST_BY_BAD_ANSWERED);
	else if (t->ask_bad && a->servfail)
		pass(t);
	else if (!answered || mute)
		miss(t, mute);
	else if (!a->ad)
		fail(t, DLV_TRUST_BY_UNSIGNED);
	else if (t->words.bad != NULL)
		t->ask_bad = true;
	else
		pass(t);
}

int64_t
dlv_trust_rest_ms(const struct dlv_truster *t)
{
	int64_t rest = FIRST_REST_MS;

	if (said(&t->words) != DLV_TRUST_BY_UNANSWERED)
		return -1;
	if (t->silent == 0)
		return dlv_trust_now(t) == DLV_TRUST_YES ? HOUR_MS
							 : LONGEST_REST_MS;
	for (unsigned i = 1; i < t->silent && rest < LONGEST_REST_MS; i++)
		rest *= 2;
	return rest < LONGEST_REST_MS ? rest : LONGEST_REST_MS;
}
