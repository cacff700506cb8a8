/*
 * Ids of messages and sessions.  Floor 2: pure.  40 bits of milliseconds since 2020, 8 bits of
 * the worker's number, a 16-bit counter: unique without asking queue, which
 * refuses a duplicate anyway.
 */
#ifndef SMTPD_MSGID_H
#define SMTPD_MSGID_H

#include <stdint.h>

struct smtpd_msgid {
	uint8_t instance;
	uint16_t counter; /* starts at random */
};

/* In the instance of a session's ids: no worker has such a number, so no message
 * has such an id. */
enum { SMTPD_MSGID_SESSION = 0x80 };

uint64_t smtpd_msgid_next(struct smtpd_msgid *m, int64_t now_ms);

#endif
