/*
 * sendmail's access table: which keys are asked for, in which order, and what
 * the first entry says.  Floor 2: a machine without callbacks, which gives
 * out keys and takes answers.
 *
 * A check is a row of searches.  A search goes from the most to the least
 * specific key, each with its tag and then, where sendmail does so, without;
 * the first entry ends it.  The first search with an entry ends the check.
 *
 *	client     the name of the client, if its address resolves back, and the
 *	           domains above it; then the address, and networks around it
 *	sender     user+detail@dom, user+*@dom, user@dom; user+detail@, user@;
 *	           dom and the domains above it
 *	recipient  the same, `user@' at domains of this host only
 *	relay      may the client relay to the recipient?  The recipient's domain,
 *	           the client's certificate, its name, its address: each alone
 *	tls        what is demanded of the client's channel: its name, address,
 *	           then the tag alone
 *
 * Networks are written as sendmail writes them, by whole octets (192.0.2) or
 * groups (2001:db8, IPv6:2001:db8), or with a length (192.0.2.0/25).
 */
#ifndef QUEUE_ROUTER_ACCESS_H
#define QUEUE_ROUTER_ACCESS_H

#include "common/proto/access.h"
#include "common/proto/netaddr.h"
#include "queue/router/rules.h"

enum rt_access_check {
	RT_ACCESS_CLIENT,
	RT_ACCESS_TLS,
	RT_ACCESS_SENDER,
	RT_ACCESS_RCPT,
	RT_ACCESS_USER, /* a recipient at a domain of this host */
	RT_ACCESS_RELAY
};

struct rt_access_search {
	/* Writes key number I, without its tag: 1 to KEY, 0 there is no such
	 * key but more come, -1 there are no more. */
	int (*key)(struct hb_span what, unsigned i, struct hb_buf *key);
	const char *tag;
	bool tagged; /* never without its tag */
	struct hb_span what;
};

enum { RT_ACCESS_SEARCHES = 4 };

/* Zero it before the first use; free it in the end. */
struct rt_access {
	enum rt_access_check check;
	struct rt_access_search search[RT_ACCESS_SEARCHES];
	unsigned n, at, level;
	bool bare; /* the key once more, without its tag */
	struct hb_buf key;
};

/* Begins a check about Q, whose texts it borrows. */
void rt_access_begin(struct rt_access *a, enum rt_access_check check,
    const struct ipc_check *q);
void rt_access_free(struct rt_access *a);
/* The next key to look up, which lives until the next call; false: the table
 * says nothing. */
bool rt_access_key(struct rt_access *a, struct hb_span *key);

/* What an entry says. */
struct rt_access_said {
	enum hb_action action;
	unsigned code;
	struct hb_span status, text;
	enum hb_reason reason;
	struct hb_span hold; /* why the message is held; empty: it is not */
	bool relay;	     /* the client may relay */
};
/* The entry of the key asked for last has VALUE.  True: it decides, as *SAID,
 * with spans of VALUE; false: go on with rt_access_key. */
bool rt_access_found(struct rt_access *a, const struct ipc_check *q,
    struct hb_span value, struct rt_access_said *said);
/* What is said when the table cannot be read, or has an entry that nobody
 * understands: the operator's mistake, so the client tries again. */
extern const struct rt_access_said rt_access_mistake;

#endif
