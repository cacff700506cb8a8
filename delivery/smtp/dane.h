/*
 * DANE discovery for one mail host, RFC 7672 s2.1.3, s2.2.  Floor 2: DNS
 * answers in, the next query out.
 *
 *	begin -+-> CNAME of the host -+-> TLSA of its names, one by one -> end
 *	       |  (insecure alias)    |
 *	       +----------------------+-> end
 *
 * A host that needs no query (insecure MX records, no alias and insecure
 * addresses) ends at once.
 *
 * An example run for mail.example, an alias of a.host.example:  begin;
 * question TLSA _25._tcp.a.host.example; NODATA, signed; question TLSA
 * _25._tcp.mail.example; records, signed; end: USABLE, base mail.example.
 *
 * Our choices where the RFC leaves one:
 *  - hosts of insecure MX records are not queried (s2.2.1 allows it);
 *  - an address from the hosts file has no DNS answer: INSECURE;
 *  - A and AAAA: the owner of a name signs both.  A signed answer that is not
 *    an error speaks for the name, whatever the result of the other one: TLSA
 *    records are queried then, and those must be signed themselves to count, so
 *    that a superfluous query harms nobody.
 */
#ifndef DELIVERY_SMTP_DANE_H
#define DELIVERY_SMTP_DANE_H

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/proto/dane.h"
#include "common/proto/dnsmsg.h"

/* Security of a name according to a lookup by name; from one answer, or the
 * better of two. */
struct dlv_signed {
	bool known; /* there was an answer without error */
	bool ad;    /* as received */
	bool plain; /* and the server could not set it: hb_dns_answer */
	bool aliased;
	char canonical[HB_MAX_DOMAIN + 1]; /* at the end of the CNAME chain */
};
/* Merges ANSWER; errors and names that are too long add nothing. */
void dlv_signed_add(struct dlv_signed *s, const struct hb_dns_answer *answer);

struct dlv_dane_host {
	const char *name; /* the name looked up */
	uint16_t port;
	struct dlv_signed address;
	/* Found by secure MX records: the domain queried for them, and the end
	 * of its CNAME chain if there was one; otherwise NULL. */
	const char *domain, *expanded;
};

struct dlv_dane {
	struct hb_dane found; /* in the arena; valid at the end */
	struct hb_arena *arena;
	struct dlv_dane_host host;
	const char *bases[2]; /* possible TLSA base domains, in order */
	size_t nbases, at;
	struct hb_span question; /* empty: the end */
	bool insecure;	/* some answer was not signed */
	bool ask_alias; /* is the first link of the alias signed? */
};

/* Only for a trusted resolver.  HOST is copied, its strings are borrowed; the
 * arena outlives D. */
void dlv_dane_begin(struct dlv_dane *d, const struct dlv_dane_host *host,
    struct hb_arena *arena);
/* The type of the query to send now; its name is D->question. */
enum hb_dns_type dlv_dane_type(const struct dlv_dane *d);
void dlv_dane_answer(struct dlv_dane *d, const struct hb_dns_answer *answer);

#endif
