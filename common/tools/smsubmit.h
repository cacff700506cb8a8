/* Handing a message to hauberk-submit.  Floor 3. */
#ifndef HB_TOOLS_SMSUBMIT_H
#define HB_TOOLS_SMSUBMIT_H

#include "common/proto/conf.h"
#include "common/proto/envelope.h"

struct sm_submit {
	const struct hb_conf *limits;
	const char *conf; /* -C, absolute; NULL: the built-in path */
	bool verbose; /* says on standard output what became of it */
	struct hb_env env;
	struct hb_buf rcpts; /* records by hb_drop_rcpt_put */
	struct hb_span body; /* wire form */
};

/*
 * 0 when the message is durable; else an exit code of sysexits, after a
 * message on standard error.  Lines that are too long for SMTP are encoded
 * where the message may be touched (common/proto/longlines.h), and bounded as
 * at the SMTP door where it may not: EX_DATAERR.  What queue would not take
 * (common/proto/incoming.h) is not handed over: EX_UNAVAILABLE.
 */
int sm_submit(const struct sm_submit *s) HB_MUSTCHECK;

#endif
