/* Words for TLS facts.  Floor 1. */
#include "common/proto/tlsfacts.h"

#include <stdio.h>

static const char *const rank_words[] = {
#define X(sym, word) [HB_RANK_##sym] = (word),
	HB_RANKS(X)
#undef X
};

const char *
hb_rank_word(enum hb_rank r)
{
	return r < HB_RANK_COUNT ? rank_words[r] : "";
}

static const char *
trust_word(const struct hb_tls_facts *f)
{
	if (hb_tls_facts_dane(f))
		return "dane";
	return hb_tls_facts_verified(f) ? "verified" : "unverified";
}

void
hb_tls_facts_word(const struct hb_tls_facts *f, char dst[32])
{
	if (f->state != HB_TLSF_DONE) {
		(void)snprintf(dst, 32, "none");
		return;
	}
	(void)snprintf(dst, 32, "TLSv1.%d/%s", f->version % 10,
	    trust_word(f));
}
