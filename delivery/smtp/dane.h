/*
 * DANE discovery for one mail host, RFC 7672 s2.1.3, s2.2.  Floor 2: answers
 * of DNS in, the next question out.
 *
 *	begin -+-> CNAME of the host -+-> TLSA of its names, one by one -> over
 *	       |  (insecure alias)    |
 *	       +----------------------+-> over
 *
 * A host that is not to be asked about (insecure MX records, no alias and
 * insecure addresses) is over at once.
 *
 * An example run for mail.example, an alias of a.host.example:  begin;
 * question TLSA _25._tcp.a.host.example; NODATA, signed; question TLSA
 * _25._tcp.mail.example; records, signed; over: USABLE, base mail.example.
 *
 * Our choices where the RFC leaves one:
 *  - behind insecure MX records no host is asked about (s2.2.1 allows it);
 *  - an address out of the hosts file comes with no word of DNS: INSECURE;
 *  - A and AAAA: who owns a name signs both.  An answer that is no error and
 *    was signed speaks for the name, whatever became of the other one: TLSA
 *    records are asked for then, and those are signed themselves or do not
 *    count, so that one question too many harms nobody.
 */
#ifndef DELIVERY_SMTP_DANE_H
#define DELIVERY_SMTP_DANE_H

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/proto/dane.h"
#include "common/proto/dnsmsg.h"

/* What a look-up by name says of the name; kept of one answer, or the better
 * of two. */
struct dlv_signed {
	bool known; /* there was an answer that is no error */
	bool ad;    /* as it came */
	bool plain; /* and nobody could have said it: hb_dns_answer */
	bool aliased;
	char canonical[HB_MAX_DOMAIN + 1]; /* at the end of the aliases */
};
/* Adds ANSWER to what is known; errors and names too long add nothing. */
void dlv_signed_add(struct dlv_signed *s, const struct hb_dns_answer *answer);

struct dlv_dane_host {
	const char *name; /* that was looked up */
	uint16_t port;
	struct dlv_signed address;
	/* Found by secure MX records: the domain that was asked for them, and
	 * where its aliases ended if there were any; else NULL. */
	const char *domain, *expanded;
};

struct dlv_dane {
	struct hb_dane found; /* in the arena; when it is over */
	struct hb_arena *arena;
	struct dlv_dane_host host;
	const char *bases[2]; /* where TLSA records may be, in order */
	size_t nbases, at;
	struct hb_span question; /* empty: it is over */
	bool insecure;	/* some answer was not signed */
	bool ask_alias; /* is the first link of the alias signed? */
};

/* Of a resolver that is trusted alone.  HOST is copied, its strings are
 * borrowed; the arena outlives D. */
void dlv_dane_begin(struct dlv_dane *d, const struct dlv_dane_host *host,
    struct hb_arena *arena);
/* The type of the question that is to be asked now, its name is D->question. */
enum hb_dns_type dlv_dane_type(const struct dlv_dane *d);
void dlv_dane_answer(struct dlv_dane *d, const struct hb_dns_answer *answer);

#endif
