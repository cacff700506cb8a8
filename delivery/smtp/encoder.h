/*
 * The body of a message on its way to a server that takes 7-bit octets alone
 * (common/proto/sevenbit.h), a piece at a time: whatever its size, a piece is
 * all that is in memory, and all that is done in a turn.
 */
#ifndef DELIVERY_SMTP_ENCODER_H
#define DELIVERY_SMTP_ENCODER_H

#include "common/base/buf.h"
#include "delivery/smtp/pool.h"

struct dlv_encoder;

/* NULL: BODY cannot be made 7-bit, as far as its bytes in memory tell. */
struct dlv_encoder *dlv_encoder_new(const struct dlv_body *body);
void dlv_encoder_free(struct dlv_encoder **e); /* accepts NULL inside */
/* Appends the next piece of BODY to OUT, behind the last one the final dot.  0;
 * HB_E_UNSUPPORTED: it cannot be made 7-bit; HB_E_CORRUPT: it could end early,
 * or its file cannot be read. */
int dlv_encoder_next(struct dlv_encoder *e, const struct dlv_body *body,
    struct hb_buf *out) HB_MUSTCHECK;
bool dlv_encoder_is_done(const struct dlv_encoder *e);

#endif
