/*
 * Mail addresses.  Floor 1.  RFC 5321 s4.1.2, s4.1.3; RFC 6531 s3.3.
 *
 * The canonical text of an address is LOCAL@domain: the local part as the
 * sender wrote it (case kept, quoted only where necessary, in UTF-8 and in no
 * other normal form), the domain in lower case.  The empty text is the null
 * path.  Spans point into the input.
 *
 * Who takes U-labels (HB_ADDR_IDN) makes A-labels of them at once:
 * hb_idna_address.
 */
#ifndef HB_PROTO_ADDRESS_H
#define HB_PROTO_ADDRESS_H

#include "common/base/buf.h"
#include "common/base/limits.h"

#define HB_ADDR_NULL 1u	 /* "<>" is allowed: local and domain are empty */
#define HB_ADDR_LOCAL 2u /* the domain may be missing ("<Postmaster>") */
#define HB_ADDR_UTF8 4u	 /* UTF-8 in the local part */
#define HB_ADDR_IDN 8u	 /* U-labels in the domain */

/* symbol, what is wrong with an address: a few words for a reply */
#define HB_ADDR_FAULTS(X)                                                      \
	X(NONE, "")                                                            \
	X(NO_FROM, "'FROM:' is missing")                                       \
	X(NO_TO, "'TO:' is missing")                                           \
	X(MISSING, "the address is missing")                                   \
	X(EMPTY, "the address is empty")                                       \
	X(NO_OPEN, "'<' is missing")                                           \
	X(NO_CLOSE, "'>' is missing")                                          \
	X(BEHIND, "a space is missing behind '>'")                             \
	X(SPACE, "a space stands in the address")                              \
	X(AT, "'@' stands in the address twice")                               \
	X(ROUTE, "the source route is malformed")                              \
	X(LOCAL_PART, "the local part is malformed")                           \
	X(QUOTE, "a quote is not closed")                                      \
	X(DOMAIN, "the domain is malformed")                                   \
	X(NO_DOMAIN, "the domain is missing")                                  \
	X(LONG, "the address is too long")
enum hb_addr_fault {
#define X(sym, text) HB_ADDR_FAULT_##sym,
	HB_ADDR_FAULTS(X)
#undef X
};
const char *hb_addr_fault_text(enum hb_addr_fault fault);

struct hb_addr {
	struct hb_span local;  /* as written: with its quotes */
	struct hb_span domain; /* as written; a literal with its brackets */
	bool quoted;	       /* local is a quoted string */
	bool utf8;	       /* local has bytes above 127 */
	bool idn;	       /* domain has them */
	bool routed;	       /* a source route was in front */
	enum hb_addr_fault fault; /* if it is invalid: HB_E_SYNTAX, _RANGE */
};

/*
 * Parses a path at the front of S: "<" [source route ":"] mailbox ">".  The
 * source route is checked and dropped (RFC 5321 s3.3, appendix C).  Returns
 * bytes used; HB_E_SYNTAX; HB_E_RANGE (domain or path too long);
 * HB_E_UNSUPPORTED (bytes above 127 without HB_ADDR_UTF8 or HB_ADDR_IDN).
 */
int hb_addr_parse_path(struct hb_span s, unsigned flags,
    struct hb_addr *out) HB_MUSTCHECK;

/* Parses all of S as a mailbox without angle brackets.  0 or errors as
 * above. */
int hb_addr_parse(struct hb_span s, unsigned flags,
    struct hb_addr *out) HB_MUSTCHECK;

/* Appends the canonical text.  Returns 0 or HB_E_LIMIT (of the buffer). */
int hb_addr_format(const struct hb_addr *a, struct hb_buf *out) HB_MUSTCHECK;

/*
 * Cuts canonical text at its last "@".  Without one, all of it is the local
 * part.  Nothing else is checked.
 */
void hb_addr_split(struct hb_span text, struct hb_span *local,
    struct hb_span *domain);

/*
 * Appends the meaning of a local part to OUT: without quotes and backslashes.
 * Returns 0 or HB_E_LIMIT (of the buffer).
 */
int hb_addr_unquote(struct hb_span local, struct hb_buf *out) HB_MUSTCHECK;

/* Is LOCAL abuse or MAILER-DAEMON, in any case?  Both are aliases of
 * postmaster. */
bool hb_addr_is_role(struct hb_span local);

/* Is LOCAL postmaster, in any case (RFC 5321 s4.5.1)? */
bool hb_addr_is_postmaster(struct hb_span local);

#endif
