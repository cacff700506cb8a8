/* Enhanced status codes, RFC 3463, RFC 2034.  Floor 1. */
#ifndef HB_PROTO_STATUS_H
#define HB_PROTO_STATUS_H

#include "common/base/span.h"

/* "2.", "4." or "5.", then two numbers of one to three digits. */
bool hb_status_is_valid(struct hb_span s);
/* Length of the enhanced code at the front of reply text ("5.1.1 no such
 * user"); 0 if there is none or its class is not that of the reply CODE. */
size_t hb_status_at_front(struct hb_span text, unsigned code);

#endif
