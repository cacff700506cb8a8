/* Shared by the parts of sendmail.  Floor 4. */
#ifndef HB_TOOLS_SENDMAIL_H
#define HB_TOOLS_SENDMAIL_H

#include "common/proto/conf.h"
#include "common/tools/smopts.h"
#include "common/tools/smsubmit.h"

struct sm {
	struct sm_opts o;
	const char *conf_file; /* absolute, or NULL: the built-in path */
	struct hb_conf *conf;
	char origin[HB_MAX_DOMAIN + 1]; /* appended to names without domain */
	bool malformed; /* some address was malformed */
	struct sm_submit submit;
	struct hb_buf sender;
};

/* Prints "sendmail: ..." and returns CODE. */
int sm_fail(int code, const char *fmt, ...) HB_PRINTF(2, 3);

/* Appends a recipient (canonical text; adds a domain if it has none).  0 or an
 * exit code. */
int sm_add_rcpt(struct sm *s, struct hb_span address) HB_MUSTCHECK;
/* Adds all addresses of a list, as in a header field.  Malformed ones are
 * reported on standard error and recorded. */
int sm_add_list(struct sm *s, struct hb_span list) HB_MUSTCHECK;

/* Modes: each returns the exit code. */
int sm_deliver(struct sm *s);
int sm_smtp(struct sm *s);

#endif
