/*
 * Requests signatures from the key agent.  Private to common/io; see tls.h.
 */
#ifndef HB_IO_KEYCLIENT_H
#define HB_IO_KEYCLIENT_H

#include "common/io/tls.h"
#include "common/proto/ipc.h"

/* Adds a reference: each key made with the client holds one. */
void hb_keyclient_ref(struct hb_keyclient *k);
void hb_keyclient_unref(struct hb_keyclient *k);

/*
 * Sends REQ (sets its ref) and appends the answer to SIG.  Blocks at most 200
 * ms.  0; HB_E_PERM (the agent refused); HB_E_TIMEOUT; HB_E_TEMP (an earlier
 * request is still open, or no channel: at once); HB_E_IO.
 */
int hb_keyclient_sign(struct hb_keyclient *k, struct ipc_sign *req,
    struct hb_buf *sig) HB_MUSTCHECK;

#endif
