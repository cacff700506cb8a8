/* Passing a message to hauberk-submit.  Floor 3. */
#ifndef HB_TOOLS_SMSUBMIT_H
#define HB_TOOLS_SMSUBMIT_H

#include "common/proto/conf.h"
#include "common/proto/envelope.h"

struct sm_submit {
	const struct hb_conf *limits;
	const char *conf; /* -C, absolute; NULL: the built-in path */
	bool verbose; /* reports the result on standard output */
	struct hb_env env;
	struct hb_buf rcpts; /* records by hb_drop_rcpt_put */
	struct hb_span body; /* wire form */
};

/*
 * Returns 0 when the message is durable; otherwise an exit code of sysexits,
 * after a message on standard error.  Lines too long for SMTP are encoded where
 * the message may be changed (common/proto/longlines.h), and elsewhere limited
 * as at the SMTP door: EX_DATAERR.  A message that queue would refuse
 * (common/proto/incoming.h) is not passed on: EX_UNAVAILABLE.
 */
int sm_submit(const struct sm_submit *s) HB_MUSTCHECK;

#endif
