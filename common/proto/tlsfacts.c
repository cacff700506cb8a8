/* Words for TLS facts.  Floor 1. */
#include "common/proto/tlsfacts.h"

#include <stdio.h>

void
hb_tls_facts_word(const struct hb_tls_facts *f, char dst[32])
{
	if (f->state != HB_TLSF_DONE) {
		(void)snprintf(dst, 32, "none");
		return;
	}
	(void)snprintf(dst, 32, "TLSv1.%d/%s", f->version % 10,
	    hb_tls_facts_verified(f) ? "verified" : "unverified");
}
