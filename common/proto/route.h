/*
 * Where a recipient goes, as one canonical text.  Floor 1.
 *
 *	mx://DOMAIN              the domain's MX records
 *	smtp://HOST[:PORT]       that host, STARTTLS as policy demands
 *	smtp+tls://HOST[:PORT]   that host, verified STARTTLS demanded
 *	smtps://HOST[:PORT]      that host, implicit TLS, verified
 *	lmtp://HOST:PORT         LMTP over TCP
 *	lmtp:PATH                LMTP over a unix socket
 *	local:USER               local delivery as USER, as `deliver` says
 *	file:PATH@USER           an alias "/path", as USER
 *	pipe:USER:COMMAND        an alias "|command", as USER
 *	error:x.y.z TEXT         refused with this status and text
 *	discard:                 accepted and thrown away
 *
 * The USER of file: and pipe: is an account; "-" means that of `user local`.
 * The USER of local: is a mailbox name: an account with `local-users passwd`.
 *
 * HOST is a name, an IPv4 address or an IPv6 address in brackets.
 */
#ifndef HB_PROTO_ROUTE_H
#define HB_PROTO_ROUTE_H

#include "common/base/buf.h"

#define HB_ROUTES(X)                                                           \
	X(MX, "mx://", 25)                                                     \
	X(SMTP, "smtp://", 25)                                                 \
	X(SMTP_TLS, "smtp+tls://", 25)                                         \
	X(SMTPS, "smtps://", 465)                                              \
	X(LMTP, "lmtp://", 24)                                                 \
	X(LMTP_UNIX, "lmtp:", 0)                                               \
	X(LOCAL, "local:", 0)                                                  \
	X(FILE, "file:", 0)                                                    \
	X(PIPE, "pipe:", 0)                                                    \
	X(ERROR, "error:", 0)                                                  \
	X(DISCARD, "discard:", 0)

#define HB_LOCAL_ACCOUNT "-"

enum hb_route_kind {
#define X(sym, prefix, port) HB_ROUTE_##sym,
	HB_ROUTES(X)
#undef X
	HB_ROUTE_COUNT
};

struct hb_route {
	enum hb_route_kind kind;
	struct hb_span host; /* MX: the domain; without brackets */
	bool literal;	     /* host is an address: no policy */
	uint16_t port;	     /* 0: default of the kind (MX: smtp-port) */
	struct hb_span user; /* LOCAL, FILE, PIPE */
	struct hb_span rest; /* path, command or error text */
	struct hb_span status; /* ERROR: x.y.z */
};

/* Parses all of S.  Spans point into S.  Returns 0, HB_E_SYNTAX, HB_E_RANGE. */
int hb_route_parse(struct hb_span s, struct hb_route *out) HB_MUSTCHECK;
/* Appends the canonical text (host in lower case, default port left out). */
int hb_route_format(const struct hb_route *r, struct hb_buf *out) HB_MUSTCHECK;
/* mx, smtp*, lmtp*: routes that a delivery worker handles. */
bool hb_route_is_remote(enum hb_route_kind k);

#endif
