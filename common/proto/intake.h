/*
 * What an envelope has to be wherever one comes in: a drop, a frame of smtpd.
 * Floor 1, pure.  RFC 5321 s4.1.2, RFC 3461 s4, RFC 6531 s3.3.
 *
 * Each path is parsed and kept in its canonical text, each other text is
 * printable.  So no writer of commands, header lines or an environment meets
 * a line end, and none has to quote.
 */
#ifndef HB_PROTO_INTAKE_H
#define HB_PROTO_INTAKE_H

#include "common/base/mem.h"
#include "common/proto/envelope.h"

/*
 * Every text of *E is checked and kept in A, the sender in canonical form;
 * HB_ENV_SMTPUTF8 is set when it needs that.  0, HB_E_SYNTAX, HB_E_RANGE or
 * HB_E_UNSUPPORTED (UTF-8 in the domain).
 */
int hb_intake_env(struct hb_env *e, struct hb_arena *a) HB_MUSTCHECK;
/*
 * OUT gets what a new recipient may say of itself: address, notify, orcpt.
 * 0 or as above; a recipient with UTF-8 sets HB_ENV_SMTPUTF8 in *FLAGS.
 */
int hb_intake_rcpt(const struct hb_rcpt *in, struct hb_arena *a,
    struct hb_rcpt *out, uint32_t *flags) HB_MUSTCHECK;

/* The same of one that waited elsewhere: what aliases made of it stays.  A
 * route of the other host counts for a mailbox alone; a file names no command
 * and no other file. */
int hb_intake_moved_rcpt(const struct hb_rcpt *in, struct hb_arena *a,
    struct hb_rcpt *out, uint32_t *flags) HB_MUSTCHECK;

/* For writers.  Is S a path as it may stand between < and >: parsed as a
 * mailbox, or empty? */
bool hb_intake_is_path(struct hb_span s);
/* No control character. */
bool hb_intake_is_text(struct hb_span s);
/* "type;xtext" of RFC 3461 s4.2, or empty. */
bool hb_intake_is_orcpt(struct hb_span s);

#endif
