/*
 * International domain names: U-labels become A-labels.  Floor 1.  RFC 5890
 * s2.3.2.1, RFC 5891 s5, RFC 6531 s3.7.1.
 *
 * Inside of this server a domain is A-labels in lower case: maps, policies,
 * rules and look-ups know no other form.  So it is made here, and by whoever
 * reads a name from outside: smtpd (MAIL, RCPT), sendmail, the router (targets
 * of aliases), the parent (the configuration), hauberkctl.  A role that does
 * not read such names does not link the library.
 */
#ifndef HB_PROTO_IDNA_H
#define HB_PROTO_IDNA_H

#include "common/base/buf.h"

/*
 * Appends NAME in A-labels and lower case, without a final dot.  0;
 * HB_E_SYNTAX: IDNA2008 knows no such name, or it is none for DNS; HB_E_RANGE:
 * too long in one of its forms.
 */
int hb_idna_domain(struct hb_span name, struct hb_buf *out) HB_MUSTCHECK;

/* The same in place, for the domain of ADDRESS, canonical text (address.h).  A
 * domain in ASCII stays as it is. */
int hb_idna_address(struct hb_buf *address) HB_MUSTCHECK;

#endif
