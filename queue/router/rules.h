/*
 * Rules on where mail goes and who may send it; the caller looks up the facts.
 * Floor 2, no I/O.
 *
 * An address is LOCAL@domain in canonical form (address.h).  Local names are
 * tried from the most to the least specific: the whole address, the local part,
 * the local part without its detail, each first in aliases and then among the
 * users; last the catch-all "@domain" of aliases.
 */
#ifndef QUEUE_ROUTER_RULES_H
#define QUEUE_ROUTER_RULES_H

#include "common/proto/conf.h"
#include "common/proto/ipc.h"

/* The result of a lookup.  A lookup without an immediate answer returns
 * RT_LATER, which no callback gets: the answer never comes before the lookup
 * returns. */
enum rt_found { RT_TEMP, RT_FOUND, RT_NOTFOUND, RT_LATER };
typedef void (*rt_found_fn)(void *ctx, enum rt_found found);

/* What to look up. */
struct rt_query {
	enum rt_query_kind {
		RT_QUERY_ALIAS,
		RT_QUERY_USER,	 /* a mailbox KEY at DOMAIN */
		RT_QUERY_INCLUDE /* the content of a list's file */
	} kind;
	struct hb_span key, domain;
	struct hb_buf *value; /* of the alias or file found */
};

/* Is DOMAIN delivered here?  True for an empty one. */
bool rt_is_local_domain(const struct hb_conf *c, struct hb_span domain);

/*
 * The route of a remote domain (or address literal in brackets), canonical:
 * `route`, otherwise the smarthost, otherwise its MX records.  Appends to OUT.
 * HB_E_SYNTAX for a literal that is not an address.
 */
int rt_remote_route(const struct hb_conf *c, struct hb_span domain,
    struct hb_buf *out) HB_MUSTCHECK;

/* The configuration line that routes mail for DOMAIN, for a person.  Appends
 * nothing for a remote domain that uses its own MX records. */
void rt_rule(const struct hb_conf *c, struct hb_span domain,
    struct hb_buf *out);

/* The local part before `recipient-delimiter`, or all of it without detail.  A
 * name that begins with the delimiter has no detail. */
struct hb_span rt_without_detail(const struct hb_conf *c,
    struct hb_span local);

/* May NAME be a mailbox: 1 to 64 bytes, no slash, no control bytes, not "." or
 * "..", no leading hyphen (it becomes part of paths and arguments). */
bool rt_is_mailbox_name(struct hb_span name);

/* Kind of the alias target TEXT. */
enum rt_target_kind {
	RT_TARGET_ADDRESS,
	RT_TARGET_FINAL, /* "\name": not looked up in aliases again */
	RT_TARGET_FILE,	 /* "/path" */
	RT_TARGET_PIPE,	 /* "|command" */
	RT_TARGET_INCLUDE, /* ":include:/path" */
	RT_TARGET_ERROR	   /* "error:x.y.z text" */
};
/* TEXT as written in the alias; *REST is the part after the mark. */
enum rt_target_kind rt_target_kind(struct hb_span text, struct hb_span *rest);

/* The router's answer to CHECK; text and status are constants. */
struct rt_verdict {
	enum hb_action action;
	unsigned code;
	const char *status;
	enum hb_reason reason;
	const char *text;
};
extern const struct rt_verdict rt_accept;

/* Does `relay-from` contain the client's address? */
bool rt_may_relay(const struct hb_conf *c, const struct ipc_check *q);
/* MAIL: may this login use this sender?  On submission U may send as U at a
 * local domain, and as itself if it is an address; or LOGINS decides, what
 * `sender-login` has for the sender (if FOUND), when that is configured. */
struct rt_verdict rt_check_sender(const struct hb_conf *c,
    const struct ipc_check *q, enum rt_found found, struct hb_span logins);
/* Does the recipient hold a route?  RFC 5321 s3.6.1 knows none in a local part;
 * a site that takes mail for a domain may have an old server behind it that
 * does. */
bool rt_is_routed(const struct ipc_check *q);
/* RCPT of a domain that is not local. */
struct rt_verdict rt_check_relay(const struct hb_conf *c,
    const struct ipc_check *q);

#endif
