/*
 * Checks of every envelope that enters: from a drop or in a frame of smtpd.
 * Floor 1, pure.  RFC 5321 s4.1.2, RFC 3461 s4, RFC 6531 s3.3.
 *
 * Each path is parsed and kept in canonical form; all other text is printable.
 * Code that writes commands, header lines or an environment therefore meets no
 * line end and need not quote.
 */
#ifndef HB_PROTO_INTAKE_H
#define HB_PROTO_INTAKE_H

#include "common/base/mem.h"
#include "common/proto/envelope.h"

/*
 * Checks every text of *E and copies it to A, the sender in canonical form.  0,
 * HB_E_SYNTAX, HB_E_RANGE or HB_E_UNSUPPORTED (a domain with U-labels).
 */
int hb_intake_env(struct hb_env *e, struct hb_arena *a) HB_MUSTCHECK;
/*
 * Copies to OUT the fields that a new recipient may carry: address, notify,
 * orcpt.  0 or errors as above.
 */
int hb_intake_rcpt(const struct hb_rcpt *in, struct hb_arena *a,
    struct hb_rcpt *out) HB_MUSTCHECK;

/* The same for a recipient imported from another queue: its expansion is kept.
 * A route of the other host is accepted only for a mailbox; the file cannot
 * name a command or another file. */
int hb_intake_moved_rcpt(const struct hb_rcpt *in, struct hb_arena *a,
    struct hb_rcpt *out) HB_MUSTCHECK;

/* For writers: may S stand between < and >?  True for a valid mailbox or empty
 * text. */
bool hb_intake_is_path(struct hb_span s);
/* Is S free of control characters? */
bool hb_intake_is_text(struct hb_span s);
/* "type;xtext" of RFC 3461 s4.2, "utf-8;unitext" of RFC 6533 s3, or empty. */
bool hb_intake_is_orcpt(struct hb_span s);

#endif
