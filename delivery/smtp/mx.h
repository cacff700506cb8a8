/*
 * From DNS answers to the ordered list of mail hosts, RFC 5321 s5.1,
 * RFC 7505.  Floor 2: no DNS, no random source of its own.
 *
 *	dlv_mx_begin(MX answer) -> dlv_mx_address(A and AAAA answers of each
 *	host) -> dlv_mx_more: addresses of the next ones -> dlv_mx_finish
 */
#ifndef DELIVERY_SMTP_MX_H
#define DELIVERY_SMTP_MX_H

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/proto/conf.h"
#include "common/proto/dnsmsg.h"
#include "common/proto/envelope.h"
#include "common/proto/netaddr.h"
#include "delivery/smtp/dane.h"

struct dlv_host {
	char name[HB_MAX_DOMAIN + 1]; /* as in the MX record, lower case */
	uint16_t preference;
	bool implicit;	/* the domain itself: it has no MX records */
	bool unknown;	/* an address lookup failed temporarily */
	struct dlv_signed address; /* security of the name in DNS */
	struct hb_netaddr addr[HB_MAX_HOST_ADDRESSES]; /* with port */
	size_t naddr;
};

struct dlv_mx {
	struct dlv_host *hosts; /* in the arena */
	size_t n;
	/* Of HOSTS: those after the first N are not looked up yet. */
	size_t known;
	/* After dlv_mx_finish: includes the hosts at the end that cannot be
	 * tried because they have no address. */
	size_t listed;
	/* The answer about MX records (also that there are none) as received;
	 * the canonical name is the domain's.  Not known: there was no
	 * query. */
	struct dlv_signed records;
	/* A host, or an address of one, is unknown for now, or there are more
	 * hosts than are looked up. */
	bool incomplete;
	/* OK: the hosts can be tried in this order.  Otherwise defer or fail,
	 * with a reason. */
	enum hb_result result;
	enum hb_reason reason;
};

/* How a host is identified as this one: mail must not loop. */
enum dlv_own {
	DLV_OWN_MX, /* by name or address, RFC 5321 s5.1 */
	/* By address: the operator may use its name for another server on
	 * another port of this host. */
	DLV_OWN_HOP
};

/* Uniform below N. */
typedef uint32_t (*dlv_random_fn)(uint32_t n);

/* result OK: now look up the addresses of the first N of M->hosts. */
void dlv_mx_begin(struct dlv_mx *m, struct hb_span domain,
    const struct hb_dns_answer *answer, dlv_random_fn random,
    struct hb_arena *arena);
/* Hosts without DNS: one host of a route. */
void dlv_mx_single(struct dlv_mx *m, struct hb_span host,
    struct hb_arena *arena);
/* An A or AAAA answer for host I. */
void dlv_mx_address(struct dlv_mx *m, size_t i,
    const struct hb_dns_answer *answer, uint16_t port);
/* All addresses are known.  Returns true if N has grown because too few hosts
 * are usable: look up the addresses of the new ones. */
bool dlv_mx_more(struct dlv_mx *m);
/* Drops this host and those that are not preferred to it, and moves hosts
 * without address behind those that have one. */
void dlv_mx_finish(struct dlv_mx *m, const struct hb_conf *conf,
    enum dlv_own own);

#endif
